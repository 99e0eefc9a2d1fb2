"""A task's probabilities over the steps of one slot.

A context is picked anew at every step, a slot's length apart. Steps that come faster than slots therefore look at sets
of moments that share none: at 15 Hz and slots of 0.2 s three sets take turns, and their answers differ by several
points in a rhythm of three (`python -m tests.measure_ripple`). The mean over a slot has them all in it, whatever the
rate; where steps are a slot apart it is the answer itself. A change is told by up to half a slot later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

SHARE = 15 / 16  # of a slot: a step that old, but for what cameras' clocks jitter by, belongs to the one before


class SlotMean:
    """Feed it every answer, in order of time, and clear it where one is missing."""

    def __init__(self, slot_s: float) -> None:
        self._within_s = SHARE * slot_s
        self._kept: deque[tuple[float, Sequence[float]]] = deque()

    def clear(self) -> None:
        self._kept.clear()

    def of(self, probabilities: Sequence[float], t: float) -> Sequence[float]:
        """The mean of these, of time `t` in seconds, and of those before that are younger than a slot. (K,) each."""
        self._kept.append((t, probabilities))
        while t - self._kept[0][0] >= self._within_s:
            self._kept.popleft()
        count = len(self._kept)
        if count == 1:
            return probabilities
        return [sum(some) / count for some in zip(*(kept for _, kept in self._kept), strict=True)]
