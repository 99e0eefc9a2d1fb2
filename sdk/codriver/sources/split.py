"""The lists of clips that AIDE ships: training.csv, validation.csv, testing.csv."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from codriver.errors import ConfigError, SourceError

SPLITS = {"train": "training.csv", "val": "validation.csv", "test": "testing.csv"}


@dataclass(frozen=True)
class ClipRef:
    """Where a clip lies."""

    id: str
    folder: Path
    annotation: Path


def read_split(root: Path, split: str) -> list[ClipRef]:
    """Clips of one split, in the order of its CSV. Every row's clip and annotation must exist."""
    if split not in SPLITS:
        raise ConfigError(f"split {split!r} is not one of {', '.join(SPLITS)}")
    path = root / SPLITS[split]
    if not path.is_file():
        raise SourceError(f"{path} is missing; a data set holds {', '.join(SPLITS.values())} beside AIDE_Dataset/")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    refs = [_clip_ref(root, path, number, row) for number, row in enumerate(rows[1:], start=2) if row]
    if not refs:
        raise SourceError(f"{path} lists no clip; expected the header row 0,1 and a row for each clip")
    return refs


def _clip_ref(root: Path, csv_path: Path, number: int, row: list[str]) -> ClipRef:
    where = f"{csv_path}, row {number}"
    if len(row) != 2:
        raise SourceError(f"{where}: {len(row)} columns, expected 2: clip folder, annotation")
    folder, annotation = (root / part.strip() for part in row)
    if not folder.is_dir():
        raise SourceError(f"{where}: clip folder {folder} does not exist; mend the row or restore the clip")
    if not annotation.is_file():
        raise SourceError(f"{where}: annotation {annotation} does not exist; mend the row or restore the file")
    return ClipRef(folder.name, folder, annotation)


def split_digest(refs: Iterable[ClipRef]) -> str:
    """sha256 over the annotations of these clips, in order: two results with one digest speak of the same clips."""
    digest = hashlib.sha256()
    for ref in refs:
        digest.update(ref.id.encode() + b"\0" + ref.annotation.read_bytes())
    return digest.hexdigest()
