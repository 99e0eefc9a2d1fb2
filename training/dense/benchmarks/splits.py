"""Which pictures a split has, for every benchmark alike.

The labels of a benchmark's own `test` are withheld: ours is its `val`, and our `val` is a tenth of its `train`, whole
drives at a time, so that neighbours stay together. A drive falls by the digest of its name, whatever else is there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from codriver.errors import SourceError
from training.dense.scene import SceneRef

SPLITS = {"train": "train", "val": "train", "test": "val"}  # ours -> the benchmark's
VAL_SHARE = 0.1  # of train
Listed = tuple[list[str], Callable[[str], SceneRef]]  # names of pictures, and what finds a picture's files by its name


def refs_of(listed: Listed, drive_of: Callable[[str], str], folder: Path, split: str) -> list[SceneRef]:
    """Pictures of one of our splits, by name; a SourceError names the first file that is missing, and how many are.

    listed: of the benchmark's split. drive_of: name of a picture -> of its drive. folder: for the message.
    """
    names, found = listed
    if not names:
        raise SourceError(f"{folder} holds no pictures; give the data set's own top folder")
    if SPLITS[split] == "train":
        names = [name for name in names if for_validation(drive_of(name)) == (split == "val")]
    refs = [found(name) for name in names]
    missing = [path for ref in refs for path in ref.files.values() if not path.is_file()]
    if missing:
        raise SourceError(f"{missing[0]} is missing, and {len(missing) - 1} more; every picture needs all its labels")
    return refs


def for_validation(drive: str) -> bool:
    return int(hashlib.sha256(drive.encode()).hexdigest()[:8], 16) < VAL_SHARE * 2**32
