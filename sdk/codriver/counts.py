"""What is counted and timed of steps: what became of every frame, and how long each stage took."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from codriver.config import WorkerConfig
from codriver.percept import TOTALS, Stats, ViewCounts


class Tally:
    """Counts as they grow: input = processed + dropped + refused, exactly.

    A worker adds to them from its callers' threads, hence the lock.
    """

    def __init__(self, views: Iterable[str]) -> None:
        self._views: dict[str, Counter[str]] = {view: Counter() for view in views}
        self._totals: Counter[str] = Counter()
        self._lock = threading.Lock()

    def count(self, result: str, views: Iterable[str]) -> None:
        """result: a field of ViewCounts. Views that the bundle does not know are nobody's frames."""
        with self._lock:
            for view in views:
                if view in self._views:
                    self._views[view][result] += 1

    @contextmanager
    def encoding(self, views: Iterable[str]) -> Iterator[None]:
        """Count the frames of these views as processed if they are encoded meanwhile, as failed if not."""
        with self.failing(views):
            yield
        self.count("processed", views)

    @contextmanager
    def failing(self, views: Iterable[str]) -> Iterator[None]:
        """Count the frames of these views as failed if an error ends the step meanwhile."""
        try:
            yield
        except BaseException:
            self.count("failed", views)
            raise

    def add(self, **totals: int) -> None:
        """totals: of TOTALS, how many more."""
        with self._lock:
            for total, more in totals.items():
                self._totals[total] += more

    def snapshot(self, model: str, variant: str, engine: str) -> Stats:
        """The counts as they are now, under what answers now."""
        with self._lock:
            views = {view: ViewCounts(**counts) for view, counts in self._views.items()}
            totals = {total: self._totals[total] for total in TOTALS}
        return Stats(views=views, model=model, variant=variant, engine=engine, **totals)


class Overload:
    """Whether too many of the sets of the last moments were dropped. One thread at a time may call it."""

    def __init__(self, config: WorkerConfig) -> None:
        self._config = config
        self._recent: deque[tuple[float, bool]] = deque()  # when a set came in, whether it pushed one out

    def note(self, *, dropped: bool) -> None:
        now_s = time.monotonic()
        self._recent.append((now_s, dropped))
        while self._recent[0][0] < now_s - self._config.overload_s:
            self._recent.popleft()

    def reason(self) -> str:
        """Why the state is degraded; empty if it is not."""
        dropped, total = sum(dropped for _, dropped in self._recent), len(self._recent)
        if not total or dropped / total <= self._config.overload_share:
            return ""
        return f"overload: {dropped} of {total} sets dropped within {self._config.overload_s:g} s"


class StageClock:
    """How long each stage of a step takes."""

    def __init__(self) -> None:
        self._began_s = self._last_s = time.perf_counter()
        self._stages_ms: dict[str, float] = {}

    def end(self, stage: str) -> None:
        """A stage may come more than once: its times add up."""
        now_s = time.perf_counter()
        self._stages_ms[stage] = self._stages_ms.get(stage, 0.0) + (now_s - self._last_s) * 1e3
        self._last_s = now_s

    def over(self, deadline_ms: float | None) -> bool:
        """Whether by now it took longer than this."""
        return deadline_ms is not None and (time.perf_counter() - self._began_s) * 1e3 > deadline_ms

    def latency_ms(self) -> dict[str, float]:
        """By stage, in order, and `total` up to now."""
        return self._stages_ms | {"total": (time.perf_counter() - self._began_s) * 1e3}
