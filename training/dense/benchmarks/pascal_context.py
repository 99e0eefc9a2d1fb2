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

import cv2
import numpy as np
from numpy.typing import NDArray

from codriver.errors import SourceError
from training.dense.benchmarks.files import colored, indexed, labelled, matlab, of_size, picture
from training.dense.benchmarks.pascal_parts import human_parts, part_list
from training.dense.benchmarks.splits import SPLITS, Listed, refs_of
from training.dense.geometry import IGNORE, unit_normals
from training.dense.kinds.contours import thinned
from training.dense.scene import Scene, SceneRef

CLASSES = 21
SALIENT_ABOVE = 127
NYU_CLASSES = np.array(  # those of LabelMap's 459 that NYU-v2 names too, and tvmonitor
    [
        int(number)
        for number in (
            "3 4 6 9 10 11 13 15 17 18 22 23 29 30 33 34 36 37 38 39 41 43 46 49 50 51 53 55 56 59 61 62 65 66 68 69 "
            "72 73 78 83 84 85 87 88 95 96 101 104 105 107 111 113 115 122 124 135 141 142 143 146 150 154 157 158 "
            "159 165 172 174 181 183 184 191 193 195 197 199 202 213 215 216 219 220 223 225 228 230 232 233 238 239 "
            "242 243 246 250 251 252 255 260 261 263 269 272 273 275 281 283 284 285 286 287 288 290 291 292 293 295 "
            "304 307 309 310 314 315 319 323 329 330 331 336 342 345 349 350 351 352 355 357 368 370 371 374 379 380 "
            "383 384 397 401 403 405 407 408 411 412 413 414 417 419 421 423 427 429 430 432 440 441 442 443 444 446 "
            "454 457"
        ).split()
    ]
)

BY_FOLDER = False  # pictures are those of a list; other files may lie beside them


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
            "normals": root / "normals_distill" / f"{name}.png",
            "edges": root / "pascal-context" / "trainval" / f"{name}.mat",
        }
        return SceneRef(name, root / "JPEGImages" / f"{name}.jpg", files, known and known[name])

    return names, found


def read(ref: SceneRef) -> Scene:
    """Picture and truth, in the picture's own size. A SourceError names the file and what is wrong with it."""
    image = picture(ref.image)
    size = image.shape[:2]
    label_map = labels(ref.files["edges"], size)
    truth = {
        "semantics": semantics(ref.files["semantics"], size),
        "human_parts": human_parts(ref.files["human_parts"], size, ref.record),
        "saliency": (labelled(ref.files["saliency"], size) > SALIENT_ABOVE).astype(np.uint8),
        "normals": normals(ref.files["normals"], label_map),
        "edges": edges(label_map),
    }
    return Scene(ref.name, image, truth)


def semantics(path: Path, size: tuple[int, ...]) -> NDArray[np.uint8]:
    classes = indexed(path, size)
    odd = classes[(classes >= CLASSES) & (classes != IGNORE)]
    if len(odd):
        raise SourceError(f"{path}: holds {odd[0]}, expected 0 to {CLASSES - 1} and {IGNORE}")
    return classes


def labels(path: Path, size: tuple[int, ...]) -> NDArray[np.int32]:
    """(h, w) LabelMap: classes 1 to 459."""
    found = of_size(matlab(path, "LabelMap"), size, path)
    if found.ndim != 2 or found.dtype.kind not in "ui":
        raise SourceError(f"{path}: LabelMap is {found.dtype} {found.shape}, expected whole numbers (h, w)")
    return found.astype(np.int32)


def edges(label_map: NDArray[np.int32]) -> NDArray[np.uint8]:
    """(h, w) 1 where the Laplacian of the class numbers is not 0, thinned.

    It has gaps where equal steps up and down cancel, as in the benchmark's own truth.
    """
    steps = cv2.Laplacian(label_map.astype(np.float64), cv2.CV_64F)
    return thinned(steps != 0).astype(np.uint8)


def normals(path: Path, label_map: NDArray[np.int32]) -> NDArray[np.float32]:
    """(h, w, 3) of length 1; 0 where the class is none of NYU's, on which the network that answered them learned."""
    codes = colored(path, label_map.shape)[..., ::-1].astype(np.float32)
    found = unit_normals(codes / np.float32(127.5) - np.float32(1))
    return np.where(np.isin(label_map, NYU_CLASSES)[..., None], found, np.float32(0))
