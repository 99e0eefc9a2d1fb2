"""The lists of clips that AIDE ships: training.csv, validation.csv, testing.csv."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from codriver.errors import ConfigError, SourceError

SPLITS = {"train": "training.csv", "val": "validation.csv", "test": "testing.csv"}
HEADER = ["0", "1"]  # literally


@dataclass(frozen=True)
class ClipRef:
    """Where a clip lies."""

    id: str
    folder: Path
    annotation: Path


@dataclass(frozen=True)
class Problem:
    """Something in a data set that has to be mended before anything is learned from it."""

    file: Path
    got: str  # what the file is, says or lacks: "is missing"
    expected: str
    remedy: str
    at: str = ""  # where in the file

    def __str__(self) -> str:
        where = f"{self.file}, {self.at}:" if self.at else f"{self.file}"
        return f"{where} {self.got}; expected {self.expected}; {self.remedy}"


def read_split(root: Path, split: str) -> list[ClipRef]:
    """Clips of one split, in the order of its CSV. Every row's clip and annotation must exist.

    A clip that another split lists as well is refused: no figure that rests on it would mean anything.
    """
    refs, problems = scan_split(root, split)
    problems += shared_clips(root, split)
    if problems:
        raise SourceError(first_of(problems))
    return refs


def first_of(problems: Sequence[Problem]) -> str:
    """What to say of many problems in one line."""
    return f"{problems[0]}" + (f" (and {len(problems) - 1} more)" if len(problems) > 1 else "")


def scan_split(root: Path, split: str) -> tuple[list[ClipRef], list[Problem]]:
    """The clips of the rows that can be used, and what is wrong with the other rows."""
    if split not in SPLITS:
        raise ConfigError(f"split {split!r} is not one of {', '.join(SPLITS)}")
    path, again = root / SPLITS[split], "copy the data set's CSVs again"
    try:
        rows = _rows(path)
    except FileNotFoundError:
        return [], [Problem(path, "is missing", f"{', '.join(SPLITS.values())} beside AIDE_Dataset/", again)]
    except (OSError, ValueError, csv.Error) as error:
        return [], [Problem(path, f"cannot be read ({error})", "a CSV in UTF-8", again)]
    refs: list[ClipRef] = []
    problems: list[Problem] = []
    if not any(rows[1:]):
        problems.append(Problem(path, "lists no clip", "the header row 0,1 and a row for each clip", again))
    elif [part.strip() for part in rows[0]] != HEADER:
        got = f"begins with {','.join(rows[0])!r}"
        problems.append(Problem(path, got, "the header row 0,1; a clip in its place is lost", "put the header back"))
    for number, row in enumerate(rows[1:], start=2):
        if row:
            found = _read_row(root, row)
            if isinstance(found, ClipRef):
                refs.append(found)
            else:
                problems.append(replace(found, file=path, at=f"row {number}"))
    return refs, problems + _twice(path, refs)


def shared_clips(root: Path, split: str) -> list[Problem]:
    """The clips of a split that another split lists as well."""
    path = root / SPLITS[split]
    here = _listed(path)
    problems = []
    for other in (name for key, name in SPLITS.items() if key != split):
        there = _listed(root / other)
        for clip in (clip for clip in here if clip in there):
            got = f"lists {clip}, and so does {other}, row {there[clip]}"
            remedy = "take one of the two rows out"
            problems.append(Problem(path, got, "each clip in one split", remedy, f"row {here[clip]}"))
    return problems


def _rows(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets like to put a byte order mark first
        return list(csv.reader(file))


def _listed(path: Path) -> dict[str, int]:
    """Clip -> row, of whatever can be read."""
    try:
        rows = _rows(path)
    except (OSError, ValueError, csv.Error):
        return {}
    return {row[0].strip().rstrip("/"): number for number, row in enumerate(rows[1:], start=2) if row}


def _read_row(root: Path, row: list[str]) -> ClipRef | Problem:
    """A clip, or a problem of which the caller knows the file and the row."""
    if len(row) != 2:
        return Problem(root, f"{len(row)} columns", "2: clip folder, annotation", "mend the row")
    folder, annotation = (root / part.strip() for part in row)
    if not folder.is_dir():
        got = f"clip folder {folder} does not exist"
        return Problem(root, got, "a folder in AIDE_Dataset/", "mend the row or restore the clip")
    if not annotation.is_file():
        got = f"annotation {annotation} does not exist"
        return Problem(root, got, "a file in AIDE_Dataset/annotation/", "mend the row or restore the file")
    if annotation.stem != folder.name:
        got = f"clip {folder.name} with annotation {annotation.name}"
        return Problem(root, got, f"{folder.name}.json; other labels are another clip's", "mend the row")
    return ClipRef(folder.name, folder, annotation)


def _twice(path: Path, refs: list[ClipRef]) -> list[Problem]:
    counts = Counter(ref.id for ref in refs)
    return [
        Problem(path, f"lists {clip} {count} times", "each clip once", "take the other rows out")
        for clip, count in counts.items()
        if count > 1
    ]


def split_digest(refs: Iterable[ClipRef]) -> str:
    """sha256 over the annotations of these clips, in order: two results with one digest speak of the same clips."""
    digest = hashlib.sha256()
    for ref in refs:
        digest.update(ref.id.encode() + b"\0" + ref.annotation.read_bytes())
    return digest.hexdigest()
