"""What validation clips say of a model before it is quantized: temperatures, and what cameras and streams tell."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from codriver.console import say
from codriver.percept import DRIVER_PARTS
from codriver.tasks import JOINTS, STREAMS, VIEWS
from quantize.export.cameras import Answers, answers_without, by_cameras, sets_of_cameras
from quantize.export.temperature import confidence
from training.data.clips import Clip, found, labels_of, load_clips
from training.data.takes import Lookout
from training.model.uvm3tl import UVM3TL
from workshop.aide_splits import ClipRef
from workshop.quantized_report import CertaintyThird, FittedTemperature, RunOrigin

THIRDS = 3


def held_out_facts(
    model: UVM3TL, refs: Sequence[ClipRef], origin: RunOrigin, lookout: Lookout | None
) -> tuple[dict[str, FittedTemperature], RunOrigin]:
    """Temperatures by task, and the origin with what was measured. With a lookout clips are as a device gets them.

    Without each of the driver's streams "nothing" and "all" say how much there is to lose; with all of them, what is
    right where the finder was certain, and where it was not.
    """
    say(f"fitting temperatures, and what cameras and streams tell of a task, on {len(refs)} validation clips")
    clips = found(load_clips(refs, model.config, model.task_set, lookout=lookout))
    sets = sets_of_cameras()
    parts = {"nothing": (), **{part: (part,) for part in lookout.parts}, "all": DRIVER_PARTS} if lookout else {}
    ways: dict[Any, Collection[str]] = {**sets, **parts}
    answers = answers_without(model, clips, ways)
    fitted = confidence(labels_of(clips), answers[VIEWS])
    subsets = by_cameras(model, clips, {way: answers[way] for way in sets}, origin.class_counts)
    without = {part: accuracies(model, clips, answers[part]) for part in parts}
    thirds = by_certainty(model, clips, answers["nothing"]) if lookout else ()
    alone = replace(origin.frames_alone, without=without, by_certainty=thirds)
    return fitted, replace(origin, subsets=subsets, frames_alone=alone)


def by_certainty(model: UVM3TL, clips: Sequence[Clip], answers: Answers) -> tuple[CertaintyThird, ...]:
    """Thirds of the clips; none if there are fewer than three."""
    sure = np.array([certainty(clip) for clip in clips])
    if len(clips) < THIRDS:
        return ()
    rows = []
    for members in np.array_split(np.argsort(sure, kind="stable"), THIRDS):
        right = accuracies(model, [clips[i] for i in members], {task: some[members] for task, some in answers.items()})
        low, high = (round(float(end), 4) for end in (sure[members].min(), sure[members].max()))
        rows.append(CertaintyThird(low=low, high=high, clips=len(members), accuracy=right))
    return tuple(rows)


def certainty(clip: Clip) -> float:
    """Mean score of the driver's joints over the slots that have an in-car frame; where nobody is found it is 0.

    A stream of joints of which nothing is there is not looked for, and does not count.
    """
    there = clip.mask[STREAMS.index("incar")] > 0
    scores = [clip.frames[name][there, :, 2] for name in JOINTS if clip.frames[name].any()]
    return float(np.concatenate(scores, axis=1).mean()) if there.any() and scores else 0.0


def accuracies(model: UVM3TL, clips: Sequence[Clip], answers: Answers) -> dict[str, float]:
    """By task."""
    labels = labels_of(clips)
    right = {task: answers[task].argmax(axis=1) == labels[:, k] for k, task in enumerate(model.task_set.names)}
    return {task: round(float(some.mean()), 4) for task, some in right.items()}
