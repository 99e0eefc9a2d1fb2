"""What happened to a camera since the last step, in words for a percept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

LOST_S = 1.0  # between two sentences about frames that were lost


@dataclass(frozen=True, kw_only=True)
class CameraCounts:
    """One camera since it was first opened."""

    frames: int  # that came
    lost: int  # that were taken and did not come, by the gaps between capture times
    opened: int  # times that it was opened and delivered
    clock: str  # of CLOCKS, of its newest frame; "" before there is one


class News:
    """Of one camera, each piece told once: it fails, it is back, its times are of another clock, frames were lost."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._failure, self._clock, self._opened = "", "", 1
        self._lost, self._lost_told_s = 0, float("-inf")

    def since(self, now_s: float, failure: str, counts: CameraCounts, problem: str) -> Iterator[str]:
        """Sentences. failure: one that says why it does not deliver; problem: what is wrong with its newest time."""
        if failure and failure != self._failure:
            yield failure
        if counts.opened > self._opened:
            yield f"{self._name} is back"
        why = f": {problem}" if problem and counts.clock == "arrival" else ""
        if counts.clock != self._clock and (self._clock or why):
            yield f"{self._name} has times of {counts.clock}{why}"
        if counts.lost > self._lost and now_s - self._lost_told_s >= LOST_S:
            yield f"{self._name} lost {counts.lost - self._lost} frames on the way, {counts.lost} so far"
            self._lost, self._lost_told_s = counts.lost, now_s
        self._failure, self._clock, self._opened = failure, counts.clock, max(counts.opened, 1)
