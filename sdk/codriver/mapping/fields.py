"""What a map may name: paths as in a percept's JSON, and the alert beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple
from zlib import crc32

from codriver.mapping.alerts import LEVELS, Alert, AlertPolicy
from codriver.percept import STATES, UNKNOWN, Percept
from codriver.tasks import AIDE, VIEWS, Task

VIEW_STATES = ("ok", "late", "lost", "never", "black", "saturated", "frozen", "covered", "refused")


class Moment(NamedTuple):
    """All that goes to a bus after one step."""

    percept: Percept
    alert: Alert


@dataclass(frozen=True)
class PerceptField:
    """One number, truth or text of a moment. `read` gives None where there is no answer."""

    kind: str  # number, truth or text
    read: Callable[[Moment], Any]
    texts: tuple[str, ...] = ()  # that a text may be
    always: bool = False  # there is always an answer


def percept_fields(policy: AlertPolicy) -> dict[str, PerceptField]:
    """By path. An alert's causes are those of the policy."""
    known = {
        "sequence": PerceptField("number", lambda m: m.percept.sequence, always=True),
        "state": PerceptField("text", lambda m: m.percept.state, STATES),
        "context": PerceptField("number", lambda m: m.percept.context, always=True),
        "model": PerceptField("text", lambda m: m.percept.model),
        "model_crc32": PerceptField("number", lambda m: crc32(m.percept.model.encode()), always=True),
        "driver.present": PerceptField("truth", lambda m: m.percept.driver.present),
        "alert.available": PerceptField("truth", lambda m: m.alert.available),
        "alert.level": PerceptField("text", lambda m: m.alert.level if m.alert.available else None, LEVELS),
        "alert.cause": PerceptField("text", lambda m: m.alert.cause if m.alert.available else None, policy.causes),
    }
    for view in VIEWS:
        known[f"views.{view}.status"] = PerceptField("text", partial(_view, view, "status"), VIEW_STATES)
        known[f"views.{view}.age_s"] = PerceptField("number", partial(_view, view, "age_s"))
    return known | dict(field for task in AIDE.tasks for field in _of_task(task))


def _of_task(task: Task) -> Iterator[tuple[str, PerceptField]]:
    at, labels = f"tasks.{task.name}", (*task.labels, UNKNOWN)
    yield f"{at}.valid", PerceptField("truth", partial(_valid, task.name))
    yield f"{at}.label", PerceptField("text", partial(_result, task.name, "label"), labels)
    yield f"{at}.steady", PerceptField("text", partial(_result, task.name, "steady"), labels)
    yield f"{at}.probability", PerceptField("number", partial(_result, task.name, "probability"))
    for label in task.labels:
        yield f"{at}.probabilities.{label}", PerceptField("number", partial(_share, task.name, label))


def _view(view: str, what: str, moment: Moment) -> Any:
    status = moment.percept.views.get(view)  # a bundle need not look at all of them
    return None if status is None else getattr(status, what)


def _valid(task: str, moment: Moment) -> bool:
    result = moment.percept.tasks.get(task)  # a bundle without a task answers it as one that is invalid
    return result is not None and result.valid


def _result(task: str, what: str, moment: Moment) -> Any:
    result = moment.percept.tasks.get(task)
    return getattr(result, what) if result is not None and result.valid else None


def _share(task: str, label: str, moment: Moment) -> float | None:
    result = moment.percept.tasks.get(task)
    return result.probabilities.get(label) if result is not None and result.valid else None
