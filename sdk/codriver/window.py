"""Time: which remembered features fill the context, and the memory they come from.

A context is `slots` instants, `slot_s` apart, the last of them now. Features are picked by capture time, not
by counting frames, so a camera at 10, 15 or 30 Hz and a dropped frame are the same case.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Feature = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class ContextConfig:
    slots: int = 16  # instants that the model sees at once (T)
    slot_s: float = 0.2  # between two instants; 16 slots reach 3 s back, as AIDE's clips do
    tolerance_s: float = 0.1  # a feature further from its instant than this does not fill the slot
    max_rate_hz: float = 60.0  # frames that come faster are still encoded, but not all are remembered
    min_context: float = 0.5  # share of the slots that must hold a view before any answer is given

    @property
    def span_s(self) -> float:
        return (self.slots - 1) * self.slot_s + self.tolerance_s


def pick_slots(times_s: NDArray[np.float64], now_s: float, config: ContextConfig) -> NDArray[np.int64]:
    """For each slot, oldest first, the index into `times_s` of the nearest time, or -1 where none is near.

    times_s: (N,) capture times in seconds, ascending. Returns (slots,).
    Fed with 45 frames at 15 Hz this picks 0, 2, 5, 8, ... 44: AIDE's own sampling.
    """
    targets = now_s - config.slot_s * np.arange(config.slots - 1, -1, -1)  # (T,)
    if len(times_s) == 0:
        return np.full(config.slots, -1, dtype=np.int64)
    distance = np.abs(targets[:, None] - times_s[None, :])  # (T, N)
    nearest = distance.argmin(axis=1)
    near_enough = distance[np.arange(config.slots), nearest] <= config.tolerance_s + 1e-6
    return np.where(near_enough, nearest, -1)


@lru_cache(maxsize=32)
def _picked(times_s: tuple[float, ...], now_s: float, config: ContextConfig) -> tuple[int, ...]:
    """As pick_slots. A step asks for every stream, and those of one camera, mostly of all, have the same times."""
    return tuple(pick_slots(np.array(times_s, dtype=np.float64), now_s, config).tolist())


@dataclass
class Memory:
    """What one stream remembers: encoded features with their capture times, no older than the context."""

    config: ContextConfig
    _times_s: deque[float] = field(default_factory=deque)
    _features: deque[Feature | None] = field(default_factory=deque)

    def push(self, feature: Feature | None, t_s: float) -> None:
        """Remember a feature of time `t_s`, which lies after every time remembered so far; None: there is none."""
        spacing_s = 1.0 / self.config.max_rate_hz - 1e-6
        if len(self._times_s) >= 2 and self._times_s[-1] - self._times_s[-2] < spacing_s:
            self._times_s.pop()  # it was there as the newest only
            self._features.pop()
        self._times_s.append(t_s)
        self._features.append(feature)
        self.forget_before(t_s - self.config.span_s)

    def forget_before(self, t_s: float) -> None:
        while self._times_s and self._times_s[0] < t_s - 1e-6:
            self._times_s.popleft()
            self._features.popleft()

    def forget_from(self, t_s: float) -> None:
        while self._times_s and self._times_s[-1] >= t_s - 1e-6:
            self._times_s.pop()
            self._features.pop()

    def fill(self, now_s: float, out: Feature) -> NDArray[np.bool_]:
        """Write the context into `out` (T, *feature), zeros where none is near; return the filled slots."""
        picked = _picked(tuple(self._times_s), now_s, self.config)
        empty = np.zeros(out.shape[1:], dtype=out.dtype)
        found = [self._features[index] if index >= 0 else None for index in picked]
        chosen = [empty if feature is None else feature for feature in found]
        np.concatenate(chosen, out=out.reshape(-1, *out.shape[2:]))  # one call copies them all
        return np.array([feature is not None for feature in found])

    def near(self, t_s: float) -> Feature | None:
        """The feature nearest to `t_s`, None if none is within the tolerance."""
        index = _picked(tuple(self._times_s), t_s, self.config)[-1]
        return self._features[index] if index >= 0 else None

    @property
    def newest_s(self) -> float | None:
        return self._times_s[-1] if self._times_s else None

    def __len__(self) -> int:
        return len(self._times_s)

    def clear(self) -> None:
        self._times_s.clear()
        self._features.clear()
