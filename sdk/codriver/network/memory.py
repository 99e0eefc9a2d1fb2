"""Time: which remembered features fill the context, and the memory they come from.

A context is `slots` instants, `slot_s` apart, the last of them now. Features are picked by capture time, not
by counting frames, so a camera at 10, 15 or 30 Hz and a dropped frame are the same case.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from codriver.arrays import Feature
from codriver.config import ContextConfig

EPSILON_S = 1e-6
NOTHING = 0  # the row of zeros in a memory's store


def pick_slots(times_s: Sequence[float], now_s: float, config: ContextConfig) -> list[int]:
    """For each slot, oldest first, the index into `times_s` of the nearest time, or -1 where none is near.

    times_s: capture times in seconds, ascending. Fed with 45 frames at 15 Hz this picks 0, 2, 5, 8, ... 44: AIDE's own
    sampling. Of two times equally near the older one is taken.
    """
    picked, within_s = [], config.tolerance_s + EPSILON_S
    for back in range(config.slots - 1, -1, -1):
        target_s = now_s - config.slot_s * back
        index = bisect_left(times_s, target_s)  # the first time that is not before it
        if index == len(times_s) or (index and target_s - times_s[index - 1] <= times_s[index] - target_s):
            index -= 1
        picked.append(index if index >= 0 and abs(target_s - times_s[index]) <= within_s else -1)
    return picked


@lru_cache(maxsize=32)
def _picked(times_s: tuple[float, ...], now_s: float, config: ContextConfig) -> tuple[int, ...]:
    """As pick_slots. A step asks for every stream, and those of one camera, mostly of all, have the same times."""
    return tuple(pick_slots(times_s, now_s, config))


class Memory:
    """What one stream remembers: encoded features with their capture times, no older than the context.

    Features lie in one array that is made here, (rows, *feature), whose first row stays zero. Rows are used again as
    soon as they are free, so that the array takes no more of the machine's memory than the camera's rate asks for.
    """

    def __init__(self, config: ContextConfig, shape: tuple[int, ...], dtype: str = "float32") -> None:
        self.config = config
        self._one_slot = replace(config, slots=1)
        self._span_s, self._spacing_s = config.span_s, 1.0 / config.max_rate_hz - EPSILON_S
        self._times_s: deque[float] = deque()
        self._rows: deque[int] = deque()  # of `_store`; NOTHING where a time has no feature
        most = math.ceil(config.span_s * config.max_rate_hz) + 3  # times that can be remembered, and a new one
        self._store = np.zeros((1 + most, *shape), dtype)
        self._free = list(range(most, NOTHING, -1))

    def push(self, feature: Feature | None, t_s: float) -> None:
        """Remember a copy of a feature of time `t_s`, which lies after every time remembered so far; None: there is
        none."""
        if len(self._times_s) >= 2 and self._times_s[-1] - self._times_s[-2] < self._spacing_s:
            self._forget_newest()  # it was there as the newest only
        self.forget_before(t_s - self._span_s)
        row = NOTHING if feature is None else self._free.pop()
        if feature is not None:
            self._store[row] = feature
        self._times_s.append(t_s)
        self._rows.append(row)

    def forget_before(self, t_s: float) -> None:
        while self._times_s and self._times_s[0] < t_s - EPSILON_S:
            self._times_s.popleft()
            self._release(self._rows.popleft())

    def forget_from(self, t_s: float) -> None:
        while self._times_s and self._times_s[-1] >= t_s - EPSILON_S:
            self._forget_newest()

    def _forget_newest(self) -> None:
        self._times_s.pop()
        self._release(self._rows.pop())

    def _release(self, row: int) -> None:
        if row != NOTHING:
            self._free.append(row)

    def fill(self, now_s: float, out: Feature) -> list[bool]:
        """Write the context into `out` (T, *feature), zeros where none is near; return the filled slots."""
        picked = _picked(tuple(self._times_s), now_s, self.config)
        rows = [self._rows[index] if index >= 0 else NOTHING for index in picked]
        self._store.take(rows, axis=0, out=out, mode="clip")  # the other modes copy through a buffer
        return [row != NOTHING for row in rows]

    def near(self, t_s: float) -> Feature | None:
        """The feature nearest to `t_s`, None if none is within the tolerance. It is this memory's own: copy it."""
        index = _picked(tuple(self._times_s), t_s, self._one_slot)[0]
        row = self._rows[index] if index >= 0 else NOTHING
        return None if row == NOTHING else self._store[row]

    def clear(self) -> None:
        while self._times_s:
            self._forget_newest()
