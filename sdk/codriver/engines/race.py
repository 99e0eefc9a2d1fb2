"""Which of several engines is the fastest here: INT8 does not always beat FP16 (reference/int8.md 2.2)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from statistics import median

from codriver.engines.base import Engine, Signature


def fastest(
    engines: Mapping[str, Engine], signature: Signature, *, runs: int = 50, warm_up_runs: int = 5
) -> tuple[str, dict[str, float]]:
    """The name of the fastest, and each one's median time in ms.

    The engines take turns, so that clocks and heat are the same for all. Their accuracy is another question: hand in
    only engines that are within their budget.
    """
    inputs = signature.zeros()
    times_s: dict[str, list[float]] = {name: [] for name in engines}
    for run in range(warm_up_runs + runs):
        for name, engine in engines.items():
            start_s = time.perf_counter()
            engine.infer(inputs)
            if run >= warm_up_runs:
                times_s[name].append(time.perf_counter() - start_s)
    medians_ms = {name: median(times) * 1e3 for name, times in times_s.items()}
    return min(medians_ms, key=lambda name: medians_ms[name]), medians_ms
