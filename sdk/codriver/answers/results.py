"""Each task's answer from its logits, or why there is none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from codriver.answers.slot_mean import SlotMean
from codriver.answers.smoothing import LabelSmoother
from codriver.arrays import Arrays, Rows
from codriver.bundle.manifest import Manifest, TaskSpec
from codriver.config import ContextConfig
from codriver.percept import UNKNOWN, TaskResult


def softmax(logits: Sequence[float]) -> list[float]:
    """K probabilities, in double precision: they sum to one, and no logit overflows.

    Of a handful of plain numbers: NumPy's calls would take five times as long.
    """
    largest = max(logits)
    powers = [math.exp(value - largest) for value in logits]
    total = math.fsum(powers)
    return [power / total for power in powers]


def task_results(
    manifest: Manifest,
    logits: Arrays,
    rows: Rows,
    starting: bool,
    means: Mapping[str, SlotMean],
    t: float,
    no_driver: str = "",
) -> dict[str, TaskResult]:
    """Every task's answer by its mean over a slot, or why there is none, which has the mean start anew.

    logits: (1, K) by task. rows: of each view. starting: see is_starting. no_driver: why there is none to tell of.
    """
    context, results = manifest.context, {}
    early = _gathering(context, filled_slots(rows.values())) if starting else ""
    seen = {task.needs_any: [rows[view] for view in task.needs_any] for task in manifest.tasks}
    gathering = {views: _gathering(context, filled_slots(some)) for views, some in seen.items()}  # tasks share views
    for task in manifest.tasks:
        views = task.needs_any
        lacking = no_driver if is_of_driver(task) else ""
        reason = early or _missing_view(context, task, seen[views]) or lacking or gathering[views]
        if reason:
            means[task.name].clear()
            results[task.name] = _invalid(reason)
        else:
            results[task.name] = _answer(task, means[task.name].of(_calibrated(task, logits), t))
    return results


def is_of_driver(task: TaskSpec) -> bool:
    """Whether it asks about the driver: what only the in-car camera can tell."""
    return set(task.needs_any) == {"incar"}


def filled_slots(rows: Iterable[Sequence[bool]]) -> int:
    """Slots that any of the views fills."""
    return sum(map(any, zip(*rows, strict=True)))


def _missing_view(context: ContextConfig, task: TaskSpec, rows: Sequence[Sequence[bool]]) -> str:
    held = 1 + int(task.hold_s / context.slot_s + 1e-9)  # slots, the newest among them
    if any(True in row[-held:] for row in rows):
        return ""
    views = " or ".join(task.needs_any)
    return f"no frame to trust from {views}, or none {context.slot_s:g} s before it"


def _gathering(context: ContextConfig, filled: int) -> str:
    if not is_gathering(context, filled):
        return ""
    needed = math.ceil(context.min_context * context.slots)
    return f"gathering context: {filled * context.slot_s:.1f} of {needed * context.slot_s:.1f} s"


def is_gathering(context: ContextConfig, filled: int) -> bool:
    """Whether too few slots are filled to answer anything."""
    return filled < context.min_context * context.slots


def _invalid(reason: str) -> TaskResult:
    return TaskResult(label=None, index=None, probability=None, probabilities={}, valid=False, reason=reason)


def _calibrated(task: TaskSpec, logits: Arrays) -> list[float]:
    return softmax([logit / task.temperature for logit in logits[task.name][0].tolist()])


def _answer(task: TaskSpec, probabilities: Sequence[float]) -> TaskResult:
    probability = max(probabilities)
    index = probabilities.index(probability)
    likeliest = task.labels[index]
    known = probability >= task.unknown_below
    return TaskResult(
        label=likeliest if known else UNKNOWN,
        index=index if known else None,
        probability=probability,
        probabilities=dict(zip(task.labels, probabilities, strict=True)),
        valid=True,
        reason="" if known else f"{likeliest} is likeliest at {probability:.2f}, below {task.unknown_below:g}",
    )


def with_steady(
    results: Mapping[str, TaskResult], smoothers: Mapping[str, LabelSmoother], t: float
) -> dict[str, TaskResult]:
    """The same answers with the labels that smoothing gives beside them. Where there is no answer it starts anew."""
    steady = dict(results)
    for name, smoother in smoothers.items():
        result = results[name]
        if not result.valid:
            smoother.clear()
            continue
        labels = tuple(result.probabilities)
        index = smoother.update(np.array(list(result.probabilities.values())), t)
        steady[name] = replace(result, steady=labels[index])
    return steady
