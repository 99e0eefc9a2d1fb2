"""A short stream of steps against the budget that the bundle carries: is this device fast enough?"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from codriver.console import Progress
from codriver.device.machine import summarise_ms
from codriver.perceiver import Perceiver
from codriver.verify.golden import Step, golden_steps, on_trial

STEPS = 200
RATE_HZ = 15.0  # of the stream's made-up clock; its steps follow one another without waiting
LATE = 0.01  # share of steps that a budget for p99 lets be late
BY_CHANCE = 0.01  # a stream is too slow if so many late steps were less likely than this with p99 just in the budget


@dataclass(frozen=True, kw_only=True)
class Latency:
    """What a stream took, from frames to percept."""

    steps: int
    frame_px: tuple[int, int]  # width, height of the golden frames; resizing larger ones takes longer
    p50: float  # milliseconds, as all of these
    p95: float
    p99: float
    worst: float
    budget_ms: float  # of p99
    late: int  # steps that took longer than the budget

    @property
    def ok(self) -> bool:
        """Late steps that may be chance speak against nothing: so few cannot tell p99 exactly."""
        return chance_of(self.late, self.steps) >= BY_CHANCE

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"ok": self.ok}


def measure_latency(perceiver: Perceiver, budget_ms: float, steps: int = STEPS) -> Latency:
    """Step through the bundle's golden frames again and again, after a warm-up that fills the context.

    The perceiver's state does not change. A BundleError says if the bundle has no golden frames.
    """
    frames = golden_steps(perceiver.bundle.folder)
    warm_up = math.ceil(perceiver.manifest.context.span_s * RATE_HZ) + 5
    trial, times_ms = on_trial(perceiver), []
    with Progress("latency", warm_up + steps) as progress:
        for number in range(warm_up + steps):
            times_ms.append(_step_ms(trial, frames[number % len(frames)], number))
            progress.step()
    measured_ms = times_ms[warm_up:]
    late = sum(value > budget_ms for value in measured_ms)
    height, width = next(iter(frames[0][0].values())).shape[:2]
    return Latency(steps=steps, frame_px=(width, height), budget_ms=budget_ms, late=late, **summarise_ms(measured_ms))


def _step_ms(perceiver: Perceiver, step: Step, number: int) -> float:
    frames, _, given = step
    driver = None if perceiver.bundle.finder else given  # who has a finder is timed with it
    return perceiver.step(frames, number / RATE_HZ, driver).latency_ms["total"]


def chance_of(late: int, steps: int) -> float:
    """How likely this many late steps or more are, if each is late with probability LATE: a binomial tail."""
    fewer = (math.comb(steps, k) * LATE**k * (1 - LATE) ** (steps - k) for k in range(late))
    return max(0.0, 1 - sum(fewer))
