"""Cityscapes on disk.

    leftImg8bit/{train,val}/CITY/CITY_SEQ_FRAME_leftImg8bit.png
    gtFine/..._gtFine_labelIds.png        labelIds of labels.py; the 19 that are evaluated become 0..18
    disparity/..._disparity.png           16 bits: 0 unknown, else (p - 1) / 256 px
    camera/..._camera.json                baseline and focal length: depth = baseline x fx / disparity

Source: mcordts/cityscapesScripts (README, helpers/labels.py).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from codriver.errors import SourceError
from training.dense.benchmarks.files import labelled, picture
from training.dense.benchmarks.splits import SPLITS, Listed, refs_of
from training.dense.geometry import IGNORE
from training.dense.scene import Scene, SceneRef

EVALUATED = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)  # labelIds, by trainId
HIGHEST = 33
TRAIN_IDS = np.full(256, IGNORE, dtype=np.uint8)
TRAIN_IDS[list(EVALUATED)] = np.arange(len(EVALUATED))

BY_FOLDER = True  # pictures are all of a folder


def is_here(root: Path) -> bool:
    return (root / "leftImg8bit").is_dir()


def index(root: Path, split: str) -> list[SceneRef]:
    """Pictures of one of our splits; see `refs_of`."""
    theirs = SPLITS[split]
    return refs_of(listed(root, theirs), drive_of, root / "leftImg8bit" / theirs, split)


def drive_of(name: str) -> str:
    """CITY/CITY_SEQ: a sequence."""
    return name.rsplit("_", 1)[0]


def listed(root: Path, theirs: str) -> Listed:
    """Names of the pictures of one of the benchmark's splits, and what finds a picture's files by its name."""
    ending = "_leftImg8bit.png"
    paths = (root / "leftImg8bit" / theirs).glob(f"*/*{ending}")
    names = sorted(f"{path.parent.name}/{path.name.removesuffix(ending)}" for path in paths)

    def found(name: str) -> SceneRef:
        files = {
            "semantics": root / "gtFine" / theirs / f"{name}_gtFine_labelIds.png",
            "disparity": root / "disparity" / theirs / f"{name}_disparity.png",
        }
        return SceneRef(name, root / "leftImg8bit" / theirs / f"{name}{ending}", files)

    return names, found


def read(ref: SceneRef) -> Scene:
    """Picture and truth, in the picture's own size. A SourceError names the file and what is wrong with it."""
    image = picture(ref.image)
    ids = labelled(ref.files["semantics"], image.shape[:2], np.uint8)
    if ids.max() > HIGHEST and set(np.unique(ids[ids > HIGHEST]).tolist()) != {255}:
        raise SourceError(f"{ref.files['semantics']}: holds {ids.max()}, expected labelIds from 0 to {HIGHEST}")
    codes = labelled(ref.files["disparity"], image.shape[:2], np.uint16)
    return Scene(ref.name, image, {"semantics": TRAIN_IDS[ids], "disparity": disparity_px(codes)})


def disparity_px(codes: NDArray[np.uint16]) -> NDArray[np.float32]:
    """0 is unknown and stays 0. 1 means infinitely far: that is known, and becomes the smallest step above 0."""
    return np.where(codes == 0, 0, np.maximum(codes.astype(np.float32) - 1, 2**-8) / 256).astype(np.float32)
