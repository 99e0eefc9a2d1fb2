"""What validation clips say of a model before it is quantized: temperatures, and what cameras and streams tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from codriver.console import say
from codriver.percept import DRIVER_PARTS
from codriver.tasks import STREAMS
from quantize.export.cameras import by_cameras
from quantize.export.temperature import confidence
from training.data.batches import predict
from training.data.clips import Clip, found, labels_of, load_clips
from training.data.takes import Lookout
from training.model.uvm3tl import UVM3TL
from workshop.aide_splits import ClipRef
from workshop.quantized_report import FittedTemperature, RunOrigin


def held_out_facts(
    model: UVM3TL, refs: Sequence[ClipRef], origin: RunOrigin, lookout: Lookout | None
) -> tuple[dict[str, FittedTemperature], RunOrigin]:
    """Temperatures by task, and the origin with what was measured. With a lookout clips are as a device gets them."""
    say(f"fitting temperatures on {len(refs)} validation clips")
    clips = found(load_clips(refs, model.config, model.task_set, lookout=lookout))
    fitted = confidence(labels_of(clips), predict(model, clips))
    say("measuring what each set of cameras tells of a task, on the same clips")
    subsets = by_cameras(model, clips, origin.class_counts)
    without = by_parts(model, clips) if lookout and clips else {}
    return fitted, replace(origin, subsets=subsets, frames_alone=replace(origin.frames_alone, without=without))


def by_parts(model: UVM3TL, clips: Sequence[Clip]) -> dict[str, dict[str, float]]:
    """Accuracy by task without each of the driver's streams; "nothing" and "all" say how much there is to lose."""
    labels = labels_of(clips)
    ways: dict[str, tuple[str, ...]] = {"nothing": (), **{part: (part,) for part in DRIVER_PARTS}, "all": DRIVER_PARTS}
    accuracies = {}
    for name, lost in ways.items():
        answers = predict(model, [_without(clip, lost) for clip in clips])
        right = {task: answers[task].argmax(axis=1) == labels[:, k] for k, task in enumerate(model.task_set.names)}
        accuracies[name] = {task: round(float(some.mean()), 4) for task, some in right.items()}
    return accuracies


def _without(clip: Clip, lost: Sequence[str]) -> Clip:
    mask = clip.mask.copy()
    mask[[STREAMS.index(part) for part in lost]] = 0.0
    return replace(clip, mask=mask)
