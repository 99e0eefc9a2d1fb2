"""NYUD-v2 on disk, in the two forms that code for several tasks reads.

    gt_sets/{train,val}.txt     a name a line
    images/NAME.png or .jpg
    segmentation/NAME.png       8 bits: 0 unknown, else 1 + the class, one of 40
    depth/NAME.npy              floats, metres, 0 unknown
    normals/NAME.png or .npy    red, green, blue = 255 (n + 1) / 2; or floats (h, w, 3); the first points right
    edge/NAME.png or .npy       0 and 255; or 0 and 1

With .png throughout: what InvPT and MTMamba read (NYUDv2). With .jpg and .npy: MTI-Net's and ATRC's (NYUD_MT).
Eight bits have no 0 in the middle, so a hole among normals is stored as 127 or 128: lengths below one half are unknown.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from codriver.errors import SourceError
from training.dense.benchmarks.files import colored, labelled, numbers, picture
from training.dense.benchmarks.splits import SPLITS, Listed, refs_of
from training.dense.geometry import IGNORE, unit_normals
from training.dense.scene import Scene, SceneRef

CLASSES = 40
NEIGHBOURS = 12  # pictures with numbers in a row that count as of one place: about four rooms, three pictures each
FOLDERS = {"semantics": "segmentation", "depth": "depth", "normals": "normals", "edges": "edge"}
ENDINGS = {
    "images": (".png", ".jpg"),
    "segmentation": (".png",),
    "depth": (".npy",),
    "normals": (".png", ".npy"),
    "edge": (".png", ".npy"),
}
BRIGHT = 128  # from here on a pixel of an edge's picture is an edge

BY_FOLDER = False  # pictures are those of a list; other files may lie beside them


def is_here(root: Path) -> bool:
    return (root / "gt_sets").is_dir() and (root / "edge").is_dir()


def index(root: Path, split: str) -> list[SceneRef]:
    """Pictures of one of our splits; see `refs_of`."""
    theirs = SPLITS[split]
    return refs_of(listed(root, theirs), drive_of, _list(root, theirs), split)


def drive_of(name: str) -> str:
    """The dozen of numbers that a name falls into: neighbours show one room."""
    digits = "".join(letter for letter in name if letter.isdigit())
    return f"dozen {(int(digits) - 1) // NEIGHBOURS}" if digits else name


def listed(root: Path, theirs: str) -> Listed:
    """Names of the pictures of one of the benchmark's splits, and what finds a picture's files by its name."""
    names = _names(_list(root, theirs))
    again = [name for name, count in Counter(names).items() if count > 1]
    others = [other for other in set(SPLITS.values()) - {theirs} if _list(root, other).is_file()]
    again += sorted(set(names).intersection(*(_names(_list(root, other)) for other in others))) if others else []
    if again:
        raise SourceError(f"{_list(root, theirs)}: {again[0]} stands twice in gt_sets, and {len(again) - 1} more do")

    def found(name: str) -> SceneRef:
        image = _file(root, "images", name)
        if not image.is_file():
            raise SourceError(f"{image} is missing, and .jpg too, but {_list(root, theirs)} names it")
        return SceneRef(name, image, {task: _file(root, folder, name) for task, folder in FOLDERS.items()})

    return names, found


def _list(root: Path, theirs: str) -> Path:
    return root / "gt_sets" / f"{theirs}.txt"


def _names(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} cannot be read: {error}; fetch the lists of pictures anew") from error
    return [line.strip() for line in lines if line.strip()]


def _file(root: Path, folder: str, name: str) -> Path:
    """The file of whichever form is there; both at once are refused, as nobody can tell which is meant."""
    paths = [root / folder / f"{name}{ending}" for ending in ENDINGS[folder]]
    here = [path for path in paths if path.is_file()]
    if len(here) > 1:
        raise SourceError(f"{here[0]} lies beside {here[1].name}; keep the one of the form that you mean")
    return here[0] if here else paths[0]


def read(ref: SceneRef) -> Scene:
    """Picture and truth, in the picture's own size. A SourceError names the file and what is wrong with it."""
    image = picture(ref.image)
    size = image.shape[:2]
    truth = {
        "semantics": semantics(ref.files["semantics"], size),
        "depth": depth_m(ref.files["depth"], size),
        "normals": normals(ref.files["normals"], size),
        "edges": edges(ref.files["edges"], size),
    }
    return Scene(ref.name, image, truth)


def semantics(path: Path, size: tuple[int, ...]) -> NDArray[np.uint8]:
    """(h, w) 0..39, IGNORE where nothing was annotated."""
    codes = labelled(path, size)
    if codes.max() > CLASSES:
        raise SourceError(f"{path}: holds {codes.max()}, expected 0 (unknown) and 1 to {CLASSES}")
    return np.where(codes == 0, IGNORE, codes.astype(np.int64) - 1).astype(np.uint8)


def depth_m(path: Path, size: tuple[int, ...]) -> NDArray[np.float32]:
    """(h, w), 0 unknown."""
    found = numbers(path, size, "f")
    if found.min() < 0:
        raise SourceError(f"{path}: holds {found.min()}, expected metres, 0 where unknown")
    return found


def normals(path: Path, size: tuple[int, ...]) -> NDArray[np.float32]:
    """(h, w, 3) of length 1, or 0 where unknown."""
    if path.suffix == ".png":
        return unit_normals(2 * colored(path, size)[..., ::-1].astype(np.float32) / 255 - 1)
    found = numbers(path, (*size, 3), "f")
    if np.abs(found).max() > 1.01:
        raise SourceError(f"{path}: holds {np.abs(found).max():.3g}, expected parts of unit vectors, -1 to 1")
    return unit_normals(found)


def edges(path: Path, size: tuple[int, ...]) -> NDArray[np.uint8]:
    """(h, w) 1 edge, 0 none."""
    if path.suffix == ".png":
        grey = labelled(path, size)
        if 0 < grey.max() < BRIGHT:
            raise SourceError(f"{path}: holds {grey.max()} at most, expected 0 and 255")
        return np.asarray(grey >= BRIGHT, dtype=np.uint8)
    found = numbers(path, size, "fbu")
    if found.min() < 0 or found.max() > 1:
        raise SourceError(f"{path}: holds {found.min():.3g} to {found.max():.3g}, expected 0 and 1")
    return np.asarray(found > 0.5, dtype=np.uint8)
