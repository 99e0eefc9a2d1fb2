"""From logits and what was seen to an answer that says how far it can be trusted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from codriver.arrays import Arrays, Rows
from codriver.config import ContextConfig, SmoothingConfig
from codriver.errors import EngineError
from codriver.manifest import Manifest, TaskSpec
from codriver.percept import UNKNOWN, Event, Percept, TaskResult, ViewStatus
from codriver.smoothing import Smoother


def softmax(logits: Sequence[float]) -> list[float]:
    """K probabilities, in double precision: they sum to one, and no logit overflows.

    Of a handful of plain numbers: NumPy's calls would take five times as long.
    """
    largest = max(logits)
    powers = [math.exp(value - largest) for value in logits]
    total = math.fsum(powers)
    return [power / total for power in powers]


def task_results(manifest: Manifest, logits: Arrays, rows: Rows, starting: bool) -> dict[str, TaskResult]:
    """Every task's answer, or why there is none.

    logits: (1, K) by task. rows: of each view. starting: see is_starting.
    """
    context, results = manifest.context, {}
    early = _gathering(context, filled_slots(rows.values())) if starting else ""
    seen = {task.needs_any: [rows[view] for view in task.needs_any] for task in manifest.tasks}
    gathering = {views: _gathering(context, filled_slots(some)) for views, some in seen.items()}  # tasks share views
    for task in manifest.tasks:
        views = task.needs_any
        reason = early or _missing_view(context, task, seen[views]) or gathering[views]
        results[task.name] = _invalid(reason) if reason else _valid(task, logits[task.name][0])
    return results


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


def _valid(task: TaskSpec, logits: NDArray[np.float32]) -> TaskResult:
    probabilities = softmax([logit / task.temperature for logit in logits.tolist()])
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
    results: Mapping[str, TaskResult], smoothers: Mapping[str, Smoother], t: float
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


def check_finite(stage: str, outputs: Arrays) -> None:
    """Raise an EngineError if a graph answered NaN or infinity: neither may become a label or a memory."""
    for name, values in outputs.items():
        square = np.vdot(values, values)  # not finite if any of them is not: half the time of looking at each
        if not math.isfinite(square) and not np.isfinite(values).all():
            raise EngineError(f"the {stage} gave NaN or infinity in {name}; run `codriver verify` on it")


def reasons_of(
    views: Mapping[str, ViewStatus], tasks: Mapping[str, TaskResult], notes: Sequence[str]
) -> tuple[str, ...]:
    """What to know of a step, most telling first. notes: of its time and its driver."""
    troubled = [f"{view}: {status.status}, {status.reason}" for view, status in views.items() if status.reason]
    waiting = [result.reason for result in tasks.values() if not result.valid]
    return (*notes, *troubled, *dict.fromkeys(waiting))


def is_starting(views: Mapping[str, ViewStatus]) -> bool:
    """Whether a context that never was full enough can be expected to fill: a camera delivers, or none did yet."""
    statuses = {view.status for view in views.values()}
    return bool(statuses & {"ok", "late", "refused"}) or statuses == {"never"}


def state_of(tasks: Mapping[str, TaskResult], views: Mapping[str, ViewStatus], starting: bool) -> str:
    if starting:
        return "init"
    if not any(result.valid for result in tasks.values()):
        return "invalid"
    answered = all(result.valid for result in tasks.values())
    seen = all(view.status == "ok" for view in views.values())
    return "ok" if answered and seen else "degraded"


class Answers:
    """Answers one after the other: their numbers, and what is kept from one to the next."""

    def __init__(self, manifest: Manifest, smoothing: SmoothingConfig) -> None:
        self.sequence = 0  # of the next percept; clear() lets it go on
        self._manifest = manifest
        smoothed = manifest.tasks if smoothing.on else ()
        self._smoothers = {task.name: Smoother(smoothing) for task in smoothed}
        self.clear()

    def clear(self) -> None:
        self._was_full = False  # there was context enough for an answer
        self._views = {v: ViewStatus(status="never", age_s=None, reason="no frame yet") for v in self._manifest.views}
        for smoother in self._smoothers.values():
            smoother.clear()

    def go_on(self, other: Answers) -> None:
        """Go on where another one stopped, on the same context; smoothing begins anew."""
        self._was_full, self._views = other._was_full, other._views

    def percept(
        self,
        t: float,
        outputs: tuple[Rows, Arrays],
        views: Mapping[str, ViewStatus],
        notes: Sequence[str],
        events: tuple[Event, ...] = (),
    ) -> Percept:
        """outputs: the slots that each stream fills, and logits (1, K) by task."""
        manifest, (filled_by, logits) = self._manifest, outputs
        rows = {view: filled_by[view] for view in self._views}
        filled = filled_slots(rows.values())
        self._was_full |= not is_gathering(manifest.context, filled)
        starting = not self._was_full and is_starting(views)
        tasks = with_steady(task_results(manifest, logits, rows, starting), self._smoothers, t)
        self._views = dict(views)
        self.sequence += 1
        return Percept(
            t=t,
            sequence=self.sequence - 1,
            state=state_of(tasks, views, starting),
            reasons=(*(event.text for event in events), *reasons_of(views, tasks, notes)),
            tasks=tasks,
            views=views,
            context=filled / manifest.context.slots,
            model=manifest.id,
            events=events,
        )

    def invalid(self, t: float, event: Event) -> Percept:
        """A percept without answers, for a step that does not end; cameras as they were last. It takes no number."""
        return Percept(
            t=t,
            sequence=self.sequence,
            state="invalid",
            reasons=(event.text,),
            events=(event,),
            tasks={task.name: _invalid(event.text) for task in self._manifest.tasks},
            views=dict(self._views),
            context=0.0,
            missed=True,
            model=self._manifest.id,
        )
