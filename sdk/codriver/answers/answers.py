"""From logits and what was seen to an answer that says how far it can be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from codriver.answers.results import _invalid, filled_slots, is_gathering, task_results, with_steady
from codriver.answers.slot_mean import SlotMean
from codriver.answers.smoothing import LabelSmoother
from codriver.arrays import Arrays, Rows
from codriver.bundle.manifest import Manifest
from codriver.config import SmoothingConfig
from codriver.percept import DriverSight, Event, Percept, TaskResult, ViewStatus

if TYPE_CHECKING:
    from codriver.dense.results import DenseResult


def reasons_of(
    views: Mapping[str, ViewStatus], tasks: Mapping[str, TaskResult | DenseResult], notes: Sequence[str]
) -> tuple[str, ...]:
    """What to know of a step, most telling first. notes: of its time and its driver."""
    troubled = [f"{view}: {status.status}, {status.reason}" for view, status in views.items() if status.reason]
    waiting = [result.reason for result in tasks.values() if not result.valid]
    return (*notes, *troubled, *dict.fromkeys(waiting))


def is_starting(views: Mapping[str, ViewStatus]) -> bool:
    """Whether a context that never was full enough can be expected to fill: a camera delivers, or none did yet."""
    statuses = {view.status for view in views.values()}
    return bool(statuses & {"ok", "late", "refused"}) or statuses == {"never"}


def state_of(tasks: Mapping[str, TaskResult | DenseResult], views: Mapping[str, ViewStatus], starting: bool) -> str:
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
        self._means = {task.name: SlotMean(manifest.context.slot_s) for task in manifest.tasks}
        smoothed = manifest.tasks if smoothing.on else ()
        self._smoothers = {task.name: LabelSmoother(smoothing) for task in smoothed}
        self.clear()

    def clear(self) -> None:
        self._was_full = False  # there was context enough for an answer
        self._views = {v: ViewStatus(status="never", age_s=None, reason="no frame yet") for v in self._manifest.views}
        for mean in self._means.values():
            mean.clear()
        for smoother in self._smoothers.values():
            smoother.clear()

    def go_on(self, other: Answers) -> None:
        """Go on where another one stopped, on the same context; means and smoothing begin anew."""
        self._was_full, self._views = other._was_full, other._views

    def percept(
        self,
        t: float,
        outputs: tuple[Rows, Arrays],
        views: Mapping[str, ViewStatus],
        notes: Sequence[str],
        events: tuple[Event, ...] = (),
        driver: DriverSight | None = None,
        dense: Mapping[str, DenseResult] = {},
    ) -> Percept:
        """outputs: the slots that each stream fills, and logits (1, K) by task. driver: None: nobody has looked."""
        driver = driver or DriverSight()
        manifest, (filled_by, logits) = self._manifest, outputs
        rows = {view: filled_by[view] for view in self._views if view in filled_by}
        filled = filled_slots(rows.values())
        self._was_full |= not manifest.tasks or not is_gathering(manifest.context, filled)
        starting = not self._was_full and is_starting(views)
        tasks = task_results(manifest, logits, rows, starting, self._means, t, driver.reason)
        tasks = with_steady(tasks, self._smoothers, t)
        self._views = dict(views)
        self.sequence += 1
        return Percept(
            t=t,
            sequence=self.sequence - 1,
            state=state_of({**tasks, **dense}, views, starting),
            reasons=(*(event.text for event in events), *reasons_of(views, {**tasks, **dense}, notes)),
            tasks=tasks,
            dense=dense,
            views=views,
            context=filled / manifest.context.slots,
            driver=driver,
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
            dense=self._no_maps(event.text),
            views=dict(self._views),
            context=0.0,
            deadline_missed=True,
            model=self._manifest.id,
        )

    def _no_maps(self, reason: str) -> dict[str, DenseResult]:
        if self._manifest.dense is None:
            return {}
        from codriver.dense.results import no_answers

        return no_answers(self._manifest.dense, reason)
