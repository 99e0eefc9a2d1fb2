"""What validation clips say of a model before it is quantized: temperatures, and what cameras and streams tell."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from codriver.console import say
from codriver.percept import DRIVER_PARTS
from codriver.tasks import VIEWS
from quantize.export.cameras import Answers, answers_without, by_cameras, sets_of_cameras
from quantize.export.temperature import confidence
from training.data.clips import Clip, found, labels_of, load_clips
from training.data.takes import Lookout
from training.model.uvm3tl import UVM3TL
from workshop.aide_splits import ClipRef
from workshop.quantized_report import FittedTemperature, RunOrigin


def held_out_facts(
    model: UVM3TL, refs: Sequence[ClipRef], origin: RunOrigin, lookout: Lookout | None
) -> tuple[dict[str, FittedTemperature], RunOrigin]:
    """Temperatures by task, and the origin with what was measured. With a lookout clips are as a device gets them.

    Without each of the driver's streams "nothing" and "all" say how much there is to lose.
    """
    say(f"fitting temperatures, and what cameras and streams tell of a task, on {len(refs)} validation clips")
    clips = found(load_clips(refs, model.config, model.task_set, lookout=lookout))
    sets = sets_of_cameras()
    parts = {"nothing": (), **{part: (part,) for part in DRIVER_PARTS}, "all": DRIVER_PARTS} if lookout else {}
    ways: dict[Any, Collection[str]] = {**sets, **parts}
    answers = answers_without(model, clips, ways)
    fitted = confidence(labels_of(clips), answers[VIEWS])
    subsets = by_cameras(model, clips, {way: answers[way] for way in sets}, origin.class_counts)
    without = {part: accuracies(model, clips, answers[part]) for part in parts}
    return fitted, replace(origin, subsets=subsets, frames_alone=replace(origin.frames_alone, without=without))


def accuracies(model: UVM3TL, clips: Sequence[Clip], answers: Answers) -> dict[str, float]:
    """By task."""
    labels = labels_of(clips)
    right = {task: answers[task].argmax(axis=1) == labels[:, k] for k, task in enumerate(model.task_set.names)}
    return {task: round(float(some.mean()), 4) for task, some in right.items()}
