"""PASCAL-Context for several tasks, on disk as facebookresearch/astmt gives it out (PASCAL_MT).

    ImageSets/Context/{train,val}.txt       names of pictures
    JPEGImages/NAME.jpg
    semseg/VOC12/NAME.png                   0 to 20, 255 void, palette or grey; if it is not there,
    semseg/pascal-context/NAME.png          this one
    human_parts/NAME.mat                    see pascal_parts.py; ImageSets/Parts/{train,val}.txt
    sal_distill/NAME.png                    grey: above 127 stands out
    pascal-context/trainval/NAME.mat        LabelMap: one of 459 classes; edges are where it changes
    normals_distill/NAME.png                2 v / 255 - 1, red is x; means something for NYU's classes alone

Saliency and normals are answers of other networks. Sources: astmt's and brdav/atrc's pascal_context.py.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from codriver.errors import SourceError
from training.dense.benchmarks.files import indexed, labelled, picture
from training.dense.benchmarks.pascal_parts import human_parts, part_list
from training.dense.benchmarks.splits import SPLITS, Listed, refs_of
from training.dense.geometry import IGNORE
from training.dense.scene import Scene, SceneRef

CLASSES = 21
SALIENT_ABOVE = 127


def is_here(root: Path) -> bool:
    return (root / "ImageSets" / "Context").is_dir()


def index(root: Path, split: str) -> list[SceneRef]:
    """Pictures of one of our splits; see `refs_of`."""
    theirs = SPLITS[split]
    return refs_of(listed(root, theirs), drive_of, _names(root, theirs), split)


def drive_of(name: str) -> str:
    """Photos have nothing to do with one another; of footage's 0004-08 the clip."""
    return name.split("-")[0]


def _names(root: Path, theirs: str) -> Path:
    return root / "ImageSets" / "Context" / f"{theirs}.txt"


def listed(root: Path, theirs: str) -> Listed:
    """Names of the pictures of one of the benchmark's splits, and what finds a picture's files by its name."""
    path = _names(root, theirs)
    names = path.read_text(encoding="utf-8").split() if path.is_file() else []
    parts = root / "ImageSets" / "Parts" / f"{theirs}.txt"
    known = part_list(parts)

    def found(name: str) -> SceneRef:
        if known is not None and name not in known:
            raise SourceError(f"{parts} has no entry for {name}; remove it to do without")
        voc = root / "semseg" / "VOC12" / f"{name}.png"
        files = {
            "semantics": voc if voc.is_file() else root / "semseg" / "pascal-context" / f"{name}.png",
            "human_parts": root / "human_parts" / f"{name}.mat",
            "saliency": root / "sal_distill" / f"{name}.png",
        }
        return SceneRef(name, root / "JPEGImages" / f"{name}.jpg", files, known and known[name])

    return names, found


def read(ref: SceneRef) -> Scene:
    """Picture and truth, in the picture's own size. A SourceError names the file and what is wrong with it."""
    image = picture(ref.image)
    size = image.shape[:2]
    truth = {
        "semantics": semantics(ref.files["semantics"], size),
        "human_parts": human_parts(ref.files["human_parts"], size, ref.record),
        "saliency": (labelled(ref.files["saliency"], size) > SALIENT_ABOVE).astype(np.uint8),
    }
    return Scene(ref.name, image, truth)


def semantics(path: Path, size: tuple[int, ...]) -> NDArray[np.uint8]:
    classes = indexed(path, size)
    odd = classes[(classes >= CLASSES) & (classes != IGNORE)]
    if len(odd):
        raise SourceError(f"{path}: holds {odd[0]}, expected 0 to {CLASSES - 1} and {IGNORE}")
    return classes
