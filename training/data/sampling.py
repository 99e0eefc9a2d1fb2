"""Which frames of a clip fill the context. One choice for a whole run, kept in its metadata."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codriver.config import ContextConfig
from codriver.errors import ConfigError
from codriver.network.memory import pick_slots
from codriver.sources.clip import RATE_HZ

CONTEXT = ContextConfig()
AIDES_FRAMES = tuple(i for i in range(45) if i == 0 or i % 3 == 2)  # dataset.py of AIDE, MMTL-UniAD and TEM3 alike


@dataclass(frozen=True)
class Sampling:
    """uniform: the last 3 s in steps of 0.2 s, picked by time, as the runtime does. The default.

    aide16: 16 of 45 frames by their numbers: 0, 2, 5, 8, ... 44, the rule of AIDE's loader (reference/model.md 3.1).

    On a clip of 45 frames the two are the same. They differ where frames lack: uniform takes the nearest within
    0.1 s, aide16 leaves the slot absent; and of more than 45 frames aide16 takes the first 3 s, uniform the last.
    """

    name: str = "uniform"

    def __post_init__(self) -> None:
        if self.name not in ("uniform", "aide16"):
            raise ConfigError(f"sampling: got {self.name!r}, expected uniform or aide16")

    def pick(self, numbers: Sequence[int]) -> NDArray[np.int64]:
        """For each slot, oldest first, the index into `numbers` (ascending), or -1 where no frame belongs. (T,)"""
        if self.name == "aide16":
            return _pick_aides(numbers)
        times_s = [number / RATE_HZ for number in numbers]
        return np.array(pick_slots(times_s, times_s[-1], CONTEXT))


def _pick_aides(numbers: Sequence[int]) -> NDArray[np.int64]:
    """A short clip fills the last slots: the newest of its frames must be now."""
    index_of = {number: index for index, number in enumerate(numbers)}
    picked = [index_of.get(number, -1) for number in AIDES_FRAMES]
    there = [slot for slot, index in enumerate(picked) if index >= 0]
    late = len(picked) - 1 - there[-1] if there else 0
    return np.array([-1] * late + picked[: len(picked) - late], dtype=np.int64)


UNIFORM = Sampling("uniform")
