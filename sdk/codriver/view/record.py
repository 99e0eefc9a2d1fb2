"""What a sheet needs to know of a run: all answers, all latencies, and a few pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from codriver.arrays import Image
from codriver.percept import Percept, TaskResult, ViewStatus
from codriver.sources.base import FrameSet
from codriver.tasks import AIDE, VIEWS, Task
from codriver.view.dense import overlaid

KEPT = 24  # pictures kept at most: a run of hours must fit in memory
THUMB = (236, 133)  # width, height


@dataclass(frozen=True)
class Instant:
    t: float
    thumbs: Mapping[str, Image]  # view -> small picture of its newest frame
    views: Mapping[str, ViewStatus]


@dataclass
class Record:
    """Fed step by step. Keeps every second, fourth, eighth ... instant's pictures as a run grows longer."""

    tasks: Sequence[Task] = AIDE.tasks
    views: Sequence[str] = VIEWS
    swap_colours: bool = False  # frames are RGB, and drawing is BGR
    mapped: str | None = None  # the view that maps and boxes are of
    times_s: list[float] = field(default_factory=list)
    latency_ms: dict[str, list[float]] = field(default_factory=dict)  # stage -> one per step
    states: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)  # view -> steps in which it was ok
    last: Percept | None = None
    _probabilities: dict[str, list[NDArray[np.float64]]] = field(default_factory=dict)
    _instants: list[Instant] = field(default_factory=list)
    _stride: int = 1
    _newest: dict[str, Image] = field(default_factory=dict)

    def add(self, at: FrameSet, percept: Percept) -> None:
        self._newest.update(at.images)
        for task in self.tasks:
            self._probabilities.setdefault(task.name, []).append(_row(task, percept.tasks[task.name]))
        for stage, value_ms in percept.latency_ms.items():
            self.latency_ms.setdefault(stage, []).append(value_ms)
        self.states[percept.state] += 1
        self.seen.update(view for view, status in percept.views.items() if status.status == "ok")
        self.last = percept
        if len(self.times_s) % self._stride == 0:
            self._instants.append(self._instant(percept))
        self.times_s.append(percept.t)
        if len(self._instants) > KEPT:
            self._instants = self._instants[::2]
            self._stride *= 2

    @property
    def steps(self) -> int:
        return len(self.times_s)

    @property
    def span_s(self) -> float:
        return self.times_s[-1] - self.times_s[0] if self.times_s else 0.0

    def probabilities(self, task: str) -> NDArray[np.float64]:
        """(N, K), one row per step; a row of NaN where there was no answer."""
        return np.array(self._probabilities[task])

    def instants(self, count: int) -> list[Instant]:
        """`count` instants spread over the run, its first and its last among them; fewer in a short run."""
        if self.last is None:
            return []
        kept = [instant for instant in self._instants if instant.t < self.last.t]
        kept.append(self._instant(self.last))
        wanted = np.linspace(kept[0].t, kept[-1].t, min(count, len(kept)))
        times = np.array([instant.t for instant in kept])
        return [kept[index] for index in np.abs(times[None, :] - wanted[:, None]).argmin(axis=1)]

    def _instant(self, percept: Percept) -> Instant:
        import cv2

        thumbs = {}
        for view, frame in self._newest.items():
            scale = min(THUMB[0] / frame.shape[1], THUMB[1] / frame.shape[0])
            size = max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale))
            small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
            small = np.ascontiguousarray(small[..., ::-1]) if self.swap_colours else small
            thumbs[view] = overlaid(small, percept.dense, scale) if view == self.mapped else small
        return Instant(percept.t, thumbs, percept.views)


def _row(task: Task, result: TaskResult) -> NDArray[np.float64]:
    return np.array([result.probabilities.get(label, np.nan) for label in task.labels])
