"""A label that does not flicker: probabilities smoothed over time, and a class that must lead before it is named."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from codriver.config import SmoothingConfig


class LabelSmoother:
    """One task's smoothed answer. Feed it every valid answer, and clear it where answers are missing."""

    def __init__(self, config: SmoothingConfig) -> None:
        self._config = config
        self.clear()

    def clear(self) -> None:
        self._mean: NDArray[np.float64] | None = None  # (K,)
        self._t = 0.0
        self._steady = 0
        self._leader = 0
        self._leads_since_s = 0.0

    def update(self, probabilities: NDArray[np.float64], t: float) -> int:
        """The steady class. probabilities: (K,) of time `t`, in order of time."""
        if self._mean is None:
            self._mean, self._steady = probabilities, int(probabilities.argmax())
        else:
            self._mean = self._mean + self._weight(t - self._t) * (probabilities - self._mean)
        self._t = t
        leader = int(self._mean.argmax())
        if leader != self._leader:
            self._leader, self._leads_since_s = leader, t
        if leader != self._steady and t - self._leads_since_s >= self._config.switch_s - 1e-6:
            self._steady = leader
        return self._steady

    def _weight(self, apart_s: float) -> float:
        """Of the newest answer: a first-order filter, whatever the rate of the steps."""
        return 1.0 if self._config.time_s == 0 else 1.0 - math.exp(-apart_s / self._config.time_s)
