"""The same clips with frames alone: what the finder makes of them, and what each of the driver's streams is worth.

A stream is taken away by giving back what the finder found, with that part's numbers not finite: the perceiver then
leaves the stream out, as it does with a part that cannot be had.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from codriver.console import Progress
from codriver.frames.preprocess import POINTS_OF
from codriver.perceiver import Perceiver
from codriver.percept import Driver, DriverSight, Percept
from codriver.sources import ClipFolder
from codriver.tasks import CROPS, KEYPOINTS
from targets.trial.scoring import LabelledClip, TaskScore, evaluate
from workshop.aide_splits import ClipRef

FRAMES_ALONE = "frames alone"
NO_BOX = (float("nan"),) * 4


def frames_alone(
    perceiver: Perceiver, refs: Sequence[ClipRef], name: str, *, parts: bool, every: int = 1
) -> tuple[dict[str, dict[str, TaskScore]], list[float]]:
    """Way -> scores by task; and of each clip how sure the finder was, 0..1.

    parts: also without each of the driver's streams that the finder looks for, and without all of them: up to six
    times as long.
    every: step the first frame set of a clip and each so manieth to its last alone.
    """
    sights: list[list[DriverSight]] = []

    def watch(percept: Percept) -> None:
        sights[-1].append(percept.driver)

    with Progress(f"{name}: {FRAMES_ALONE}", total=len(refs)) as progress:
        found = {FRAMES_ALONE: evaluate(perceiver, _alone(perceiver, refs, sights, progress, every), watch)}
    looked_for = perceiver.manifest.finder.parts if perceiver.manifest.finder else ()
    for lost in (*((part,) for part in looked_for), looked_for) if parts else ():
        found[f"without {told(lost)}"] = _scored(perceiver, refs, sights, lost, name, every)
    return found, [certainty(clip) for clip in sights]


def told(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def certainty(clip: Sequence[DriverSight]) -> float:
    """Mean over a clip's steps and the driver's parts; a step in which nobody looked or nobody was seen counts 0."""
    steps = [float(np.mean(list(some.certainty.values()))) if some.certainty and some.present else 0.0 for some in clip]
    return round(float(np.mean(steps)), 4)


def _alone(
    perceiver: Perceiver, refs: Sequence[ClipRef], sights: list[list[DriverSight]], progress: Progress, every: int
) -> Iterator[LabelledClip]:
    for ref in refs:
        sights.append([])
        with ClipFolder(ref.folder, strict=True, every=every) as clip:
            yield ((at.images, at.t, None) for at in clip), _labels(perceiver, clip)
        progress.step()


def _scored(
    perceiver: Perceiver,
    refs: Sequence[ClipRef],
    sights: Sequence[Sequence[DriverSight]],
    lost: Sequence[str],
    name: str,
    every: int,
) -> dict[str, TaskScore]:

    def clips(progress: Progress) -> Iterator[LabelledClip]:
        for ref, seen in zip(refs, sights, strict=True):
            with ClipFolder(ref.folder, strict=True, every=every) as clip:
                given = (without(sight.driver, lost) for sight in seen)
                yield (
                    ((at.images, at.t, driver) for at, driver in zip(clip, given, strict=True)),
                    _labels(perceiver, clip),
                )
            progress.step()

    with Progress(f"{name}: without {told(lost)}", total=len(refs)) as progress:
        return evaluate(perceiver, clips(progress))


def _labels(perceiver: Perceiver, clip: ClipFolder) -> dict[str, str]:
    tasks = {task.name for task in perceiver.manifest.tasks}
    return {task: label for task, label in clip.truth.items() if task in tasks}


def without(driver: Driver, lost: Sequence[str]) -> Driver:
    """The driver with these parts, and those that were not there, as numbers that are not finite."""
    keypoints = np.full((KEYPOINTS, 3), np.nan, np.float32) if driver.keypoints is None else driver.keypoints.copy()
    for part, points in POINTS_OF.items():
        if part in lost:
            keypoints[list(points)] = np.nan
    boxes: dict[str, Any] = {f"{part}_px": getattr(driver, f"{part}_px") for part in CROPS}
    kept = {key: NO_BOX if box is None or key.removesuffix("_px") in lost else box for key, box in boxes.items()}
    return replace(driver, **kept, keypoints=keypoints)
