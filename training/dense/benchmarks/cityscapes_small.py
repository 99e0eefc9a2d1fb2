"""Cityscapes as NumPy files of 128x256, as mtan gives it out and LibMTL reads it.

    {train,val}/image/N.npy     floats (h, w, 3), red, green, blue from 0 to 1
    {train,val}/label/N.npy     (h, w) 0 to 6, -1 unknown
    {train,val}/depth/N.npy     floats (h, w, 1), inverse depth without a unit, 0 unknown

Which of the 19 classes each of the seven holds is not public: they are named by number. Pictures are numbered from 0.
Sources: lorenmt/mtan and median-research-group/LibMTL, create_dataset.py.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from codriver.errors import SourceError
from training.dense.benchmarks.files import numbers
from training.dense.benchmarks.nyudv2 import drive_of
from training.dense.benchmarks.splits import SPLITS, Listed, refs_of
from training.dense.geometry import IGNORE
from training.dense.scene import Scene, SceneRef

CLASSES = 7
BY_FOLDER = True  # pictures are all of a folder


def is_here(root: Path) -> bool:
    """NYUD-v2 has a twin in this form, with a folder of normals."""
    train = root / "train"
    return all((train / kind).is_dir() for kind in ("image", "label", "depth")) and not (train / "normal").is_dir()


def index(root: Path, split: str) -> list[SceneRef]:
    """Pictures of one of our splits; see `refs_of`."""
    theirs = SPLITS[split]
    return refs_of(listed(root, theirs), drive_of, root / theirs / "image", split)


def listed(root: Path, theirs: str) -> Listed:
    """Names of the pictures of one of the benchmark's splits, and what finds a picture's files by its name."""
    folder = root / theirs
    names = sorted((path.stem for path in (folder / "image").glob("*.npy")), key=lambda name: (len(name), name))

    def found(name: str) -> SceneRef:
        files = {"semantics": folder / "label" / f"{name}.npy", "inverse_depth": folder / "depth" / f"{name}.npy"}
        return SceneRef(name, folder / "image" / f"{name}.npy", files)

    return names, found


def read(ref: SceneRef) -> Scene:
    """Picture and truth, in the picture's own size. A SourceError names the file and what is wrong with it."""
    image = picture(ref.image)
    size = image.shape[:2]
    truth = {
        "semantics": classes(ref.files["semantics"], size),
        "inverse_depth": depth(ref.files["inverse_depth"], size),
    }
    return Scene(ref.name, image, truth)


def picture(path: Path) -> NDArray[np.uint8]:
    """(h, w, 3) BGR."""
    found = numbers(path, None, "f")
    if found.ndim != 3 or found.shape[2] != 3:
        raise SourceError(f"{path}: got {found.shape}, expected (h, w, 3)")
    if found.min() < 0 or found.max() > 1:
        raise SourceError(f"{path}: holds {found.min():.3g} to {found.max():.3g}, expected colours from 0 to 1")
    return np.ascontiguousarray((255 * found[..., ::-1]).round().astype(np.uint8))


def classes(path: Path, size: tuple[int, ...]) -> NDArray[np.uint8]:
    """(h, w) 0 to 6, IGNORE where nothing was annotated."""
    found = numbers(path, size, "fiu")
    odd = found[(found != found.round()) | (found < -1) | (found >= CLASSES)]
    if len(odd):
        raise SourceError(f"{path}: holds {odd[0]:g}, expected -1 (unknown) and 0 to {CLASSES - 1}")
    return np.where(found < 0, IGNORE, found).astype(np.uint8)


def depth(path: Path, size: tuple[int, ...]) -> NDArray[np.float32]:
    """(h, w), 0 unknown."""
    found = numbers(path, (*size, 1), "f")[..., 0]
    if found.min() < 0:
        raise SourceError(f"{path}: holds {found.min():.3g}, expected inverse depth, 0 where unknown")
    return found
