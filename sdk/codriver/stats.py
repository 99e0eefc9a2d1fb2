"""What became of every frame: input = processed + dropped + refused, exactly."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

TOTALS = ("steps", "resets", "misses", "swaps")


@dataclass(frozen=True, kw_only=True)
class ViewCounts:
    """One view's frames since open. What came in is counted at the door, the results where they happen."""

    input: int = 0
    processed: int = 0  # encoded and remembered
    masked: int = 0  # dropped: the view is not healthy, see its status
    overrun: int = 0  # dropped: a PerceiverWorker had a newer set before it got to this one
    failed: int = 0  # dropped: the encoder failed on it
    late: int = 0  # refused: too far behind its set
    early: int = 0  # refused: too far ahead of its set
    duplicate: int = 0  # refused: the time of the view's last frame again
    out_of_order: int = 0  # refused: a time before the view's last frame
    rejected: int = 0  # refused: its step raised a FrameError

    @property
    def dropped(self) -> int:
        return self.masked + self.overrun + self.failed

    @property
    def refused(self) -> int:
        return self.late + self.early + self.duplicate + self.out_of_order + self.rejected


@dataclass(frozen=True, kw_only=True)
class Stats:
    """Counts since open; neither reset() nor a jump of time clears them."""

    model: str  # bundle id of what answers now, its variant and its engine
    variant: str
    engine: str
    steps: int  # that gave a percept
    resets: int  # of the context, because time jumped or another encoder took over
    misses: int  # steps that took longer than their deadline
    swaps: int  # times that another bundle, variant or engine took over
    views: Mapping[str, ViewCounts]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        counts = {
            view: {**asdict(some), "dropped": some.dropped, "refused": some.refused}
            for view, some in self.views.items()
        }
        about = {"model": self.model, "variant": self.variant, "engine": self.engine}
        return about | {total: getattr(self, total) for total in TOTALS} | {"views": counts}


class Tally:
    """Counts as they grow. A worker adds to them from its callers' threads, hence the lock."""

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

    def step(self, *, missed: bool) -> None:
        with self._lock:
            self._totals["steps"] += 1
            self._totals["misses"] += missed

    def reset(self) -> None:
        with self._lock:
            self._totals["resets"] += 1

    def swap(self, *, same_context: bool) -> None:
        with self._lock:
            self._totals["swaps"] += 1
            self._totals["resets"] += not same_context

    def snapshot(self, model: str, variant: str, engine: str) -> Stats:
        """The counts as they are now, under what answers now."""
        with self._lock:
            views = {view: ViewCounts(**counts) for view, counts in self._views.items()}
            totals = {total: self._totals[total] for total in TOTALS}
        return Stats(views=views, model=model, variant=variant, engine=engine, **totals)
