"""Cityscapes on disk.

    leftImg8bit/{train,val}/CITY/CITY_SEQ_FRAME_leftImg8bit.png
    gtFine/..._gtFine_labelIds.png        labelIds of labels.py; the 19 that are evaluated become 0..18
    disparity/..._disparity.png           16 bits: 0 unknown, else (p - 1) / 256 px
    camera/..._camera.json                baseline and focal length: depth = baseline x fx / disparity

Source: mcordts/cityscapesScripts (README, helpers/labels.py). The labels of `test` are withheld, so ours is the
benchmark's `val`; our `val` is a tenth of its `train`, whole sequences at a time, chosen by their names' digests.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codriver.errors import SourceError
from training.dense.benchmarks.files import labelled, picture
from training.dense.geometry import IGNORE
from training.dense.scene import Scene, SceneRef

SPLITS = {"train": "train", "val": "train", "test": "val"}  # ours -> the benchmark's
EVALUATED = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)  # labelIds, by trainId
HIGHEST = 33
VAL_SHARE = 0.1
TRAIN_IDS = np.full(256, IGNORE, dtype=np.uint8)
TRAIN_IDS[list(EVALUATED)] = np.arange(len(EVALUATED))


def is_here(root: Path) -> bool:
    return (root / "leftImg8bit").is_dir()


def index(root: Path, split: str) -> list[SceneRef]:
    """Pictures of a split, by name; a SourceError names the first file that is missing, and how many are."""
    theirs = SPLITS[split]
    names, found = listed(root, theirs)
    if not names:
        raise SourceError(f"{root / 'leftImg8bit' / theirs} holds no pictures; give the folder that holds leftImg8bit")
    if theirs == "train":
        names = [name for name in names if for_validation(name) == (split == "val")]
    refs = [found(name) for name in names]
    missing = [path for ref in refs for path in ref.files.values() if not path.is_file()]
    if missing:
        raise SourceError(f"{missing[0]} is missing, and {len(missing) - 1} more; every picture needs all its labels")
    return refs


def listed(root: Path, theirs: str) -> tuple[list[str], Any]:
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


def for_validation(name: str) -> bool:
    """Whether a training picture is kept apart to choose by: whole sequences, so that neighbours stay together."""
    sequence = name.rsplit("_", 1)[0]
    return int(hashlib.sha256(sequence.encode()).hexdigest()[:8], 16) < VAL_SHARE * 2**32


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
