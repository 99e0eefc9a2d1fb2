"""What a clip's files say before a pixel is used: its labels, its frames by number, and everything wrong with them.

Training and `python -m training.data check` both read clips through this file, so what the one refuses, the other
reports in the same words. A problem has to be mended; a note is something that is handled: masked, and counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from codriver.errors import SourceError
from codriver.files.images import BadImage, numbered, read_image
from codriver.percept import Driver
from codriver.sources.aide import Annotation, Defect, read_annotation
from codriver.tasks import AIDE, VIEWS, TaskSet
from training.data.sampling import Sampling
from workshop.aide_splits import ClipRef, Problem

FRAMES = 45  # of every view of a clip of AIDE: 3 s at 15 Hz
MEND = "mend the file or take the clip out of the CSV"
RESTORE = "restore it or take the clip out of the CSV"


@dataclass(frozen=True)
class Note:
    """Something about a clip that training copes with."""

    file: Path
    kind: str
    count: int  # of frames
    frames: tuple[str, ...] = ()  # which, where somebody may want to look


@dataclass
class ClipRecord:
    """One clip, not yet decoded."""

    ref: ClipRef
    labels: NDArray[np.int64]  # (tasks,), -1 where the label cannot be used
    drivers: Mapping[str, Driver] = field(default_factory=dict)  # image name -> where the driver is
    paths: dict[str, dict[int, Path]] = field(default_factory=dict)  # view -> number -> frame
    numbers: list[int] = field(default_factory=list)  # of the instants that any view has, ascending
    picked: list[int] = field(default_factory=list)  # for each slot the number of its frames, or -1
    problems: list[Problem] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def driver(self, number: int) -> Driver | None:
        """Matched by the name of the in-car image, never by position."""
        return self.drivers.get(self.paths["incar"][number].name)


def read_record(ref: ClipRef, task_set: TaskSet, sampling: Sampling) -> ClipRecord:
    """Read the annotation and list the frames. Finds every problem that shows without decoding a frame."""
    record = ClipRecord(ref, np.full(len(task_set.tasks), -1, dtype=np.int64))
    annotation = _annotation(record)
    if annotation is not None:
        record.drivers = annotation.drivers
        record.labels, record.problems = class_labels(ref.annotation, annotation, task_set)
        keys = {task.annotation_key for task in AIDE.tasks}
        poses = [defect for defect in annotation.defects if defect.part not in keys]
        record.problems += [_problem(ref.annotation, group) for group in _alike(poses)]
    _list_frames(record)
    if record.numbers:
        record.picked = [record.numbers[index] if index >= 0 else -1 for index in sampling.pick(record.numbers)]
        _compare_views(record)
        if annotation is not None:
            _match_drivers(record, annotation)
    return record


def _annotation(record: ClipRecord) -> Annotation | None:
    path = record.ref.annotation
    try:
        return read_annotation(path)
    except SourceError as error:
        got = f"cannot be read: {error.__cause__ or 'it is no JSON object'}"
        record.problems.append(Problem(path, got, "AIDE's JSON", "copy it again or take the clip out of the CSV"))
        return None


def class_labels(path: Path, annotation: Annotation, task_set: TaskSet) -> tuple[NDArray[np.int64], list[Problem]]:
    """(tasks,) class indices, -1 where a label is missing or no class, and why: nobody should learn from a guess."""
    labels, problems = np.full(len(task_set.tasks), -1, dtype=np.int64), []
    defects = {defect.part: defect for defect in annotation.defects}
    for k, task in enumerate(task_set.tasks):
        if task.name in annotation.truth:
            labels[k] = task.index(annotation.truth[task.name])
        else:
            got = f"is {defects[task.annotation_key].got}" if task.annotation_key in defects else "is missing"
            expected = ", ".join(task.labels)
            problems.append(Problem(path, f"{task.annotation_key} {got}", expected, MEND))
    return labels, problems


def count_classes(labels: NDArray[np.int64], task_set: TaskSet) -> dict[str, list[int]]:
    """labels: (clips, tasks), -1 not counted. task -> how often each class occurs."""
    return {
        task.name: np.bincount(labels[labels[:, k] >= 0, k], minlength=task.classes).tolist()
        for k, task in enumerate(task_set.tasks)
    }


def _alike(defects: Iterable[Defect]) -> list[list[Defect]]:
    """The same fault in 45 frames is one problem."""
    groups: dict[tuple[str, str, str], list[Defect]] = {}
    for defect in defects:
        groups.setdefault((defect.part, defect.got, defect.expected), []).append(defect)
    return list(groups.values())


def _problem(path: Path, group: list[Defect]) -> Problem:
    first, images = group[0], [defect.image for defect in group if defect.image]
    where = f"{first.part} of {', '.join(images)}" if images else first.part
    return Problem(path, f"{where} is {first.got}", first.expected, MEND)


def _list_frames(record: ClipRecord) -> None:
    folder = record.ref.folder
    record.paths = {view: numbered(folder / f"{view}frames") for view in VIEWS}
    record.numbers = sorted({number for paths in record.paths.values() for number in paths})
    for view, paths in record.paths.items():
        if not paths:
            got = "holds no frames" if (folder / f"{view}frames").is_dir() else "is missing"
            record.problems.append(Problem(folder / f"{view}frames", got, "a folder with 0.jpg, 1.jpg, ...", RESTORE))
    if record.numbers and len(record.numbers) != FRAMES:
        kind = f"{'fewer' if len(record.numbers) < FRAMES else 'more'} than {FRAMES} frames"
        record.notes.append(Note(folder, kind, len(record.numbers)))


def _compare_views(record: ClipRecord) -> None:
    """A slot is one instant, seen by all views: a frame that one of them lacks cannot be made up."""
    needed = {number for number in record.picked if number >= 0}
    for view, paths in record.paths.items():
        lacking = [number for number in record.numbers if number not in paths] if paths else []
        folder = record.ref.folder / f"{view}frames"
        for number in (number for number in lacking if number in needed):
            expected = f"a frame: other views have {number}.jpg, this one has {len(paths)} frames"
            record.problems.append(Problem(folder / f"{number}.jpg", "is missing", expected, RESTORE))
        spare = sum(number not in needed for number in lacking)
        if spare:
            record.notes.append(Note(folder, "frames missing in one view, needed by no slot", spare))


def _match_drivers(record: ClipRecord, annotation: Annotation) -> None:
    path = record.ref.annotation
    images = {frame.name for frame in record.paths["incar"].values()}
    named = {*annotation.drivers, *annotation.nobody}
    if named and images and not named & images:
        got = f"pose_list names {min(named)} and {len(named) - 1} more, none of them a frame of incarframes/"
        record.problems.append(Problem(path, got, "imgname as the frames are called: 0.jpg, 1.jpg, ...", MEND))
    counts = {
        "frames without a driver, masked": len(images - set(annotation.drivers)),
        "frames with several persons, the first is taken": len(annotation.crowded),
        "poses of frames that are not there, unused": len(named - images),
    }
    record.notes += [Note(path, kind, count) for kind, count in counts.items() if count]
    bad = tuple(_not_finite(annotation.drivers))
    if bad:
        kind = "frames with keypoints that are not finite, which become zeros; masked where most of a stream's are"
        record.notes.append(Note(path, kind, len(bad), bad))


def _not_finite(drivers: Mapping[str, Driver]) -> Iterator[str]:
    """Of each frame with such keypoints its name and how many: "17.jpg: 136"."""
    for image, driver in drivers.items():
        if driver.keypoints is not None:
            bad = int((~np.isfinite(driver.keypoints)).any(axis=1).sum())
            if bad:
                yield f"{image}: {bad}"


def decode(path: Path) -> NDArray[np.uint8] | Problem:
    """(H, W, 3) uint8 BGR, or what is wrong with the file."""
    expected = "a JPEG or PNG, whole"
    try:
        return read_image(path)
    except FileNotFoundError:
        return Problem(path, "is missing", "a frame", RESTORE)
    except OSError as error:
        return Problem(path, f"cannot be read ({error})", expected, RESTORE)
    except BadImage as error:
        return Problem(path, f"cannot be decoded as an image: {error}", expected, RESTORE)
