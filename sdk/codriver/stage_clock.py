"""How long each stage of a step takes."""

from __future__ import annotations

import time


class Clock:
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
