"""Read a whole data set and report everything that is wrong with it, without stopping at the first.

A problem is what training refuses, in the same words; a note is what training copes with: masked, and counted here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codriver.arrays import Box, Image
from codriver.errors import SourceError
from codriver.files.atomic import sha256
from codriver.frames.preprocess import MIN_BODY_PX, MIN_FACE_PX, crop
from codriver.tasks import AIDE, TASK_SETS, VIEWS, TaskSet
from training.data.cache import run_all
from training.data.clip_files import ClipRecord, Note, count_classes, decode, read_record
from training.data.sampling import UNIFORM, Sampling
from workshop.aide_splits import SPLITS, ClipRef, Problem, scan_split, shared_clips

# Of AIDE's own splits, in the order of the classes (counted on UbH-GCN's label files; reference/model.md 2.5).
AIDES_EMOTIONS = {
    "train": [259, 1123, 208, 155, 139],
    "val": [55, 241, 45, 34, 30],
    "test": [84, 363, 67, 50, 45],
}


@dataclass(frozen=True)
class CheckConfig:
    task_set: TaskSet = AIDE
    sampling: Sampling = UNIFORM  # whose frames are decoded
    all_frames: bool = False  # decode every frame, not only those
    workers: int = 2  # threads


@dataclass
class ClipReport:
    """One clip."""

    ref: ClipRef
    labels: NDArray[np.int64]  # (tasks,), -1 where there is none
    problems: list[Problem]
    notes: list[Note]
    frames: int = 0  # that were read
    poses: str = ""  # digest of an annotation with poses: those of two clips are never the same


@dataclass
class DataReport:
    """A data set."""

    root: Path
    counts: dict[str, dict[str, list[int]]] = field(default_factory=dict)  # split -> task -> clips by class
    clips: dict[str, int] = field(default_factory=dict)  # split -> clips that its CSV lists
    problems: dict[str, list[Problem]] = field(default_factory=dict)  # split -> problems
    notes: list[Note] = field(default_factory=list)
    frames: int = 0

    @property
    def found(self) -> int:
        return sum(map(len, self.problems.values()))


def check_dataset(root: Path, config: CheckConfig, progress: Callable[[Any, int], Any]) -> DataReport:
    """progress(items, total) wraps the clips as they come. A folder without any of the CSVs is a SourceError."""
    if not any((root / name).is_file() for name in SPLITS.values()):
        raise SourceError(
            f"{root} is no data set: got a folder without CSVs, expected {', '.join(SPLITS.values())} and AIDE_Dataset/"
        )
    report = DataReport(root)
    refs: dict[str, list[ClipRef]] = {}
    for split in SPLITS:
        refs[split], problems = scan_split(root, split)
        report.problems[split] = problems + shared_clips(root, split)
    queue = [(split, ref) for split, some in refs.items() for ref in some]
    found = run_all(
        lambda index: inspect(queue[index][1], config), len(queue), lambda i: progress(i, len(queue)), config.workers
    )
    for split in SPLITS:
        _add(report, split, [clip for (there, _), clip in zip(queue, found, strict=True) if there == split], config)
    report.notes += _copies(found)
    return report


def inspect(ref: ClipRef, config: CheckConfig) -> ClipReport:
    """Problems of one clip in the order in which training would meet them."""
    record = read_record(ref, config.task_set, config.sampling)
    report = ClipReport(ref, record.labels, record.problems, record.notes)
    if record.drivers:
        report.poses = sha256(ref.annotation.read_bytes())
    absent: dict[str, int] = {}
    wanted = record.numbers if config.all_frames else sorted({number for number in record.picked if number >= 0})
    for number in wanted:
        for view in (view for view in VIEWS if number in record.paths[view]):
            image = decode(record.paths[view][number])
            report.frames += 1
            if isinstance(image, Problem):
                report.problems.append(image)
            elif view == "incar":
                for kind in _of_driver(image, record, number):
                    absent[kind] = absent.get(kind, 0) + 1
    report.notes += [Note(ref.annotation, kind, count) for kind, count in absent.items()]
    return report


def _of_driver(image: Image, record: ClipRecord, number: int) -> list[str]:
    """What a frame lacks of its driver, in the words of a note."""
    driver = record.driver(number)
    if driver is None:
        return []  # noted already
    said = [
        _of_box(image, driver.face_px, "face", MIN_FACE_PX),
        _of_box(image, driver.body_px, "body", MIN_BODY_PX),
        "frames without keypoints, masked" if driver.keypoints is None else "",
    ]
    return [kind for kind in said if kind]


def _of_box(image: Image, box_px: Box | None, name: str, min_px: tuple[int, int]) -> str:
    if box_px is None:
        return f"frames without a {name} box, masked"
    if crop(image, box_px, min_px) is None:
        return f"{name} boxes that cover less than {min_px[0]}x{min_px[1]} px of the frame, masked"
    x, y, width, height = box_px
    inside = min(x, y) >= 0 and x + width <= image.shape[1] and y + height <= image.shape[0]
    return "" if inside else f"{name} boxes that reach outside the frame, clamped"


def _add(report: DataReport, split: str, clips: Sequence[ClipReport], config: CheckConfig) -> None:
    labels = np.array([clip.labels for clip in clips], dtype=np.int64).reshape(-1, len(config.task_set.tasks))
    report.clips[split] = len(clips)
    report.counts[split] = count_classes(labels, config.task_set)
    report.frames += sum(clip.frames for clip in clips)
    for clip in clips:
        report.problems[split] += clip.problems
        report.notes += clip.notes
    emotions, known = report.counts[split].get("driver_emotion", []), AIDES_EMOTIONS[split]
    if len(clips) == sum(known) and emotions != known:
        kind = f"as many clips as AIDE's {split} split, but emotions {emotions} instead of {known}"
        report.notes.append(Note(report.root / SPLITS[split], kind, len(clips)))


def _copies(clips: Iterable[ClipReport]) -> list[Note]:
    seen: dict[str, ClipRef] = {}
    notes = []
    for clip in (clip for clip in clips if clip.poses):
        first = seen.setdefault(clip.poses, clip.ref)
        if first.id != clip.ref.id:
            notes.append(Note(clip.ref.annotation, f"annotations identical to {first.id}.json: a copied clip?", 1))
    return notes


def to_dict(report: DataReport) -> dict[str, Any]:
    """JSON-ready."""
    return {
        "root": str(report.root),
        "clips": report.clips,
        "frames_read": report.frames,
        "class_counts": report.counts,
        "problems": [
            {"split": split, "file": str(p.file), "at": p.at, "got": p.got, "expected": p.expected, "remedy": p.remedy}
            for split, some in report.problems.items()
            for p in some
        ],
        "notes": [
            {"file": str(note.file), "kind": note.kind, "count": note.count, "frames": note.frames}
            for note in report.notes
        ],
    }


def to_text(report: DataReport, task_set: TaskSet = TASK_SETS["aide"]) -> str:
    """For people: every problem, notes summed up by kind, class counts by split."""
    lines = []
    for split, some in ((split, some) for split, some in report.problems.items() if some):
        lines += [f"{SPLITS[split]}: {len(some)} problem{'s' * (len(some) != 1)}", *(f"  {p}" for p in some), ""]
    by_kind: dict[str, list[Note]] = {}
    for note in report.notes:
        by_kind.setdefault(note.kind, []).append(note)
    if by_kind:
        lines.append("handled by training, nothing to do:")
        lines += [f"  {kind}: {_summed(some)}" for kind, some in by_kind.items()]
        lines.append("")
    lines += [f"{'clips by class':20} {'':18}" + "".join(f"{split:>8}" for split in report.counts)]
    lines += [f"{'':20} {'all':18}" + "".join(f"{n:8}" for n in report.clips.values())]
    for task in task_set.tasks:
        for k, label in enumerate(task.labels):
            title = "" if k else task.title
            lines.append(
                f"{title:20} {label:18}" + "".join(f"{by_task[task.name][k]:8}" for by_task in report.counts.values())
            )
    found = f"{report.found} problem{'s' * (report.found != 1)}" if report.found else "no problem"
    lines += ["", f"{found} in {sum(report.clips.values())} clips, {report.frames} frames read"]
    return "\n".join(lines)


def _summed(notes: Sequence[Note]) -> str:
    names = sorted({note.file.stem for note in notes})
    some = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    named = [f"{note.file.name} {frame}" for note in notes for frame in note.frames]
    if named:
        some = ", ".join(named[:5]) + (", ..." if len(named) > 5 else "")
    return f"{sum(note.count for note in notes)} in {len(names)} clip{'s' * (len(names) != 1)} ({some})"
