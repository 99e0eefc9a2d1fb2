"""Step through a recording again, and say where the answers part from those of then."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from codriver.console import Progress
from codriver.errors import ConfigError, SourceError
from codriver.perceiver import Perceiver
from codriver.percept import CAMERA
from codriver.recording.reader import Recording, difference
from codriver.recording.schemas import RecordingMetadata

SETTLE_S = 2.0  # beyond the context: how long a fault of a camera may be remembered


@dataclass
class Replay:
    """What came of it."""

    steps: int = 0  # in the recording
    compared: int = 0  # the others came while what was before the recording still counted
    different: int = 0
    first: dict[str, Any] | None = None  # step, t and where, of the first that differs
    max_abs: float = 0.0  # largest difference of any probability
    other_labels: int = 0  # answers, over all tasks, with another class or none
    about: RecordingMetadata | None = None
    cut: list[str] = field(default_factory=list)


def replay(recording: Recording, perceiver: Perceiver) -> Replay:
    """Every step of the recording, through the perceiver, in its own time.

    A recording that does not begin with a session's first step cannot be reproduced before the context has gone by.
    """
    result = Replay()
    begin_s: float | None = None
    with Progress("replay", None) as progress:
        for step in recording.steps():
            if begin_s is None:
                _check(recording, perceiver)
                begin_s = step.t
                fresh = step.percept.get("sequence") == 0
                settled_s = begin_s if fresh else begin_s + perceiver.manifest.context.span_s + SETTLE_S
            if not step.complete:
                raise SourceError(f"{recording.path}: recorded without pictures, there is nothing to replay")
            for event in step.percept.get("events", ()):
                if event["kind"] == CAMERA:  # it was told so then
                    perceiver._tell(CAMERA, event["text"])
            now = json.loads(json.dumps(perceiver.step(step.frames, step.t, step.driver).to_dict()))
            result.steps += 1
            if step.t >= settled_s:
                _compare(result, step.percept, now)
            progress.step()
    result.about, result.cut = recording.about, recording.cut
    return result


def _check(recording: Recording, perceiver: Perceiver) -> None:
    color = recording.about.color if recording.about else "bgr"
    if perceiver.bundle.color != color:
        raise ConfigError(
            f"{recording.path}: recorded in {color}, the perceiver takes {perceiver.bundle.color}; open it so"
        )


def _compare(result: Replay, recorded: Any, now: Any) -> None:
    result.compared += 1
    where = difference(recorded, now)
    if where:
        result.different += 1
        result.first = result.first or {"step": result.steps - 1, "t": now["t"], "where": where}
    for name, task in recorded.get("tasks", {}).items():
        other = now["tasks"].get(name, {})
        result.other_labels += task.get("label") != other.get("label")
        shared = task.get("probabilities", {}).keys() & other.get("probabilities", {}).keys()
        gaps = [abs(task["probabilities"][label] - other["probabilities"][label]) for label in shared]
        result.max_abs = max(result.max_abs, *gaps, 0.0)
