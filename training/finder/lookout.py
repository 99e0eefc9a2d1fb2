"""What a trained finder sees in clips, as a device does: at its own rate, smoothed in time, left out where unsure.

Two takes of each clip come of it (training/data/takes.py):

    found       where the finder sees the driver
    disturbed   the annotation, off by as much as the finder was off, slot after slot, in a clip it never learned from

What it was off by is taken from validation clips, whole sequences at a time, so that it holds together in time and
between points as the finder's errors do; the scores are the finder's certainties of that moment, and a part that it had
left out is left out. With `training.finder --folds` each training clip is looked at by a finder that did not learn from
it; without, by the one that did, which is surer of it than of a new drive: `describe` says which.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from codriver.arrays import Arrays
from codriver.bundle.manifest import FinderSpec
from codriver.files.atomic import sha256
from codriver.finder.finder import DriverFinder
from codriver.finder_graph import JOINT_POINTS, OUTPUTS, PIXELS
from codriver.percept import Driver
from codriver.sources.clip import RATE_HZ
from codriver.tasks import KEYPOINTS, TaskSet
from training.data.cache import run_all
from training.data.clip_files import ClipRecord, read_record
from training.data.clips import read_frame
from training.data.sampling import UNIFORM, Sampling
from training.data.takes import DISTURBED, FOUND
from training.finder.model import Finder
from training.finder.run import FinderRun, load_finder
from training.trainer.checkpoint import WEIGHTS
from workshop.aide_splits import ClipRef, split_digest

LAYOUT = 1  # raised when takes are made otherwise from the same finder
JOINTS = list(JOINT_POINTS)
Floats = NDArray[np.float32]


class InTorch:
    """The finder's graph as an engine."""

    def __init__(self, model: Finder) -> None:
        self._model = model

    @torch.inference_mode()
    def infer(self, inputs: Arrays) -> Arrays:
        return {
            name: some.numpy()
            for name, some in zip(OUTPUTS, self._model(torch.from_numpy(inputs[PIXELS])), strict=True)
        }

    def close(self) -> None:
        """Nothing to let go of."""


def seen(model: Finder, record: ClipRecord) -> list[Driver | None]:
    """What a device that steps through the clip's frames holds for the driver in each slot."""
    finder, at = DriverFinder(FinderSpec(), InTorch(model)), dict[int, Driver]()
    for number, path in sorted(record.paths["incar"].items()):
        t = number / RATE_HZ
        if finder.is_due(t) or number in record.picked:  # other frames change nothing
            at[number] = finder.look(read_frame(path), t, None).driver
    return [at.get(number) for number in record.picked]


@dataclass(frozen=True)
class Off:
    """By how much a finder was off in each slot of a clip; NaN where it had left a part out."""

    boxes: Floats  # (T, 2, 4) face and body: low x, y, high x, y in shares of the annotated box's sides
    joints: Floats  # (T, 68, 2) in shares of the annotated body's height; of hands that nobody looked for too
    scores: Floats  # (T, 68) its certainties


def off(found: Sequence[Driver | None], truth: Sequence[Driver | None]) -> Off:
    slots = len(truth)
    boxes, joints, scores = (np.full((slots, *shape), np.nan, np.float32) for shape in ((2, 4), (68, 2), (68,)))
    for slot, (some, true) in enumerate(zip(found, truth, strict=True)):
        if some is None or true is None:
            continue
        for row, (box, wanted) in enumerate(((some.face_px, true.face_px), (some.body_px, true.body_px))):
            if box is not None and wanted is not None:
                boxes[slot, row] = (corners(box) - corners(wanted)) / np.tile(sides(wanted), 2)
        if some.keypoints is not None and true.keypoints is not None and true.body_px is not None:
            given = some.keypoints[JOINTS]
            known = np.asarray(given.any(axis=1))
            away = (given[:, :2] - true.keypoints[JOINTS, :2]) / sides(true.body_px)[1]
            joints[slot] = np.where(known[:, None], away, np.nan)
            scores[slot] = np.where(known, given[:, 2], np.nan)
    return Off(boxes, joints, scores)


def disturbed(truth: Sequence[Driver | None], by: Off) -> list[Driver | None]:
    return [None if true is None else _moved(true, by, slot) for slot, true in enumerate(truth)]


def _moved(true: Driver, by: Off, slot: int) -> Driver:
    moved: list[tuple[float, ...] | None] = []
    for box, share in zip((true.face_px, true.body_px), by.boxes[slot], strict=True):
        if box is None or not np.isfinite(share).all():
            moved.append(None)
            continue
        low, high = np.split(corners(box) + share * np.tile(sides(box), 2), 2)
        moved.append((*low.tolist(), *(high - low).tolist()))
    keypoints = None
    if true.keypoints is not None and true.body_px is not None:
        keypoints = np.zeros((KEYPOINTS, 3), np.float32)
        known = np.asarray(np.isfinite(by.joints[slot]).all(axis=1))
        places = true.keypoints[JOINTS, :2] + by.joints[slot] * sides(true.body_px)[1]
        keypoints[JOINTS] = np.where(known[:, None], np.column_stack([places, by.scores[slot]]), 0.0)
    return Driver(face_px=moved[0], body_px=moved[1], keypoints=keypoints)


def corners(box: Sequence[float]) -> Floats:
    """x, y, width, height -> low x, low y, high x, high y."""
    x, y, width, height = box
    return np.array([x, y, x + width, y + height], np.float32)


def sides(box: Sequence[float]) -> Floats:
    return np.maximum(np.array(box[2:], np.float32), 1.0)


class FinderLookout:
    """Makes both takes of a clip. offs: of clips that the finder never learned from."""

    def __init__(self, run: FinderRun, offs: Sequence[Off], name: str) -> None:
        self._run, self._offs, self.id = run, offs, name

    def drivers(self, record: ClipRecord) -> dict[str, list[Driver | None]]:
        takes = {FOUND: seen(self._run.finder_for(record.ref.id), record)}
        if self._offs:
            truth = annotated(record)
            takes[DISTURBED] = disturbed(truth, self._offs[zlib.crc32(record.ref.id.encode()) % len(self._offs)])
        return takes

    @property
    def parts(self) -> tuple[str, ...]:
        return FinderSpec(gesture=self._run.model.config.gesture).parts

    @property
    def undisturbed(self) -> FinderLookout:
        """The same eyes, for clips that nobody learns from."""
        return FinderLookout(self._run, (), f"{self.id}-undisturbed")

    def describe(self) -> dict[str, Any]:
        """For a run's record: whose eyes its lessons were seen with."""
        return {"id": self.id, "folds": len(self._run.folds), "disturbed_by": len(self._offs)}


def annotated(record: ClipRecord) -> list[Driver | None]:
    return [record.driver(number) if number >= 0 else None for number in record.picked]


def driver_by(lookout: FinderLookout | None) -> str:
    """For reports: where clips have the driver from."""
    return f"found by {lookout.id}" if lookout else "as annotated"


def make_lookout(
    folder: Path,
    held_out: Sequence[ClipRef] = (),
    task_set: TaskSet | None = None,
    sampling: Sampling = UNIFORM,
    progress: Callable[[Any], Iterable[Any]] = iter,
) -> FinderLookout:
    """folder: of training.finder. held_out: validation clips, whose errors disturb annotations; none: nothing does."""
    run, weights = load_finder(folder), sha256((folder / WEIGHTS).read_bytes())[:16]
    offs: list[Off] = []
    if held_out:
        assert task_set is not None
        records = [read_record(ref, task_set, sampling) for ref in held_out]
        offs = run_all(lambda i: off(seen(run.model, records[i]), annotated(records[i])), len(records), progress, 2)
    name = f"{LAYOUT}-{weights}-{len(run.folds)}-{split_digest(held_out)[:16] if held_out else 'alone'}"
    return FinderLookout(run, offs, name)
