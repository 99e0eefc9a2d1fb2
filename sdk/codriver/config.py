"""What the runtime trusts, and for how long. The manifest declares it; `Perceiver.open(policy=...)` may replace it.

Thresholds follow reference/integration.md 4.2; openpilot pairs its cameras at 25 ms and warns at 10 ms.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from codriver.errors import ConfigError
from codriver.files.decode import Fault, decode, encode, rule

MAX_LIMIT = 1e6  # of any limit that has none of its own
FAULTS = ("lost", "black", "saturated", "frozen", "covered")  # what a view must recover from


def limit(default: float, *, low: float = 0, high: float = MAX_LIMIT) -> Any:
    return rule(default, low=low, high=high)


@dataclass(frozen=True, kw_only=True)
class TimingConfig:
    pair_s: float = limit(0.025)  # frames of one set lie at most this far from its time; USB cameras may need 0.033
    warn_s: float = limit(0.010)  # a frame further than this from its set's time is used, and reported
    jump_s: float = limit(1.0)  # steps further apart than this, forwards or backwards, begin a new context


@dataclass(frozen=True, kw_only=True)
class HealthConfig:
    """One camera's limits. Levels are of 0..255, measured on the green channel of about 90 lines.

    An infrared camera is dark by night: give it a lower `black_below`. A camera behind a smooth wide field (an
    empty sky) or with a strong noise filter wants a lower `covered_below`.
    """

    late_s: float = limit(0.15)  # no frame for so long: late. Three periods of 20 Hz
    lost_s: float = limit(1.0)  # no frame for so long: lost (Autoware's time-out)
    frozen_frames: int = limit(5, low=2)  # so many without a changed pixel: frozen. A stuck buffer repeats at any rate
    black_below: float = limit(8.0, high=255)  # mean level
    saturated_above: float = limit(247.0, high=255)  # mean level
    flat_std: float = limit(4.0, high=255)  # black and saturated pictures spread less than this
    flat_s: float = limit(0.5)  # for this long
    covered_below: float = limit(1.0)  # variance of the Laplacian in one of 4 x 4 blocks, level²
    covered_share: float = limit(0.6, high=1)  # of the blocks
    covered_s: float = limit(1.0)  # for this long
    recovery_frames: int = limit(10, low=1)  # good ones after a fault before it is used again (openpilot's warm-up)


@dataclass(frozen=True, kw_only=True)
class SmoothingConfig:
    """A label that does not flicker, beside the raw one. Off while both are 0."""

    time_s: float = limit(0.0)  # time constant of the smoothed probabilities
    switch_s: float = limit(0.0)  # another class must lead for this long before the label follows

    @property
    def on(self) -> bool:
        return self.time_s > 0 or self.switch_s > 0


@dataclass(frozen=True, kw_only=True)
class Policy:
    timing: TimingConfig = field(default_factory=TimingConfig)
    health: Mapping[str, HealthConfig] = field(default_factory=dict)  # by view; others have the defaults
    masked: tuple[str, ...] = rule(FAULTS, choices=FAULTS)  # with one of these a view is absent; others are reported
    smoothing: SmoothingConfig = field(default_factory=SmoothingConfig)

    def health_of(self, view: str) -> HealthConfig:
        return self.health.get(view, HealthConfig())

    def with_view(self, view: str, **limits: float) -> Policy:
        """The same policy with some limits of one camera changed: policy.with_view("incar", black_below=2.0)."""
        unknown = [name for name in limits if name not in {f.name for f in fields(HealthConfig)}]
        if unknown:
            raise ConfigError(f"health has no {unknown[0]!r}; it has {', '.join(f.name for f in fields(HealthConfig))}")
        changed = replace(self.health_of(view), **limits)  # type: ignore[arg-type]
        return replace(self, health={**self.health, view: changed})


def check_policy(policy: Policy, views: Iterable[str]) -> None:
    """Raise a ConfigError for the first value that cannot be meant. views: that the bundle knows."""
    known = tuple(views)
    for view in policy.health:
        if view not in known:
            raise ConfigError(f"policy: health of view {view!r}, expected some of {', '.join(known)}")
    try:
        decode(Policy, encode(policy), "policy")
    except Fault as fault:
        raise ConfigError(str(fault)) from fault
    if len(set(policy.masked)) < len(policy.masked):
        raise ConfigError(f"policy: masked is {list(policy.masked)}, expected each once")


@dataclass(frozen=True, kw_only=True)
class ContextConfig:
    slots: int = rule(16, low=1, high=256)  # instants that the model sees at once (T)
    slot_s: float = rule(0.2, low=0, high=60, above=True)  # between two; 16 slots reach 3 s back, as AIDE's clips do
    tolerance_s: float = rule(0.1, low=0, high=60, above=True)  # how far from its slot's instant a feature may be
    max_rate_hz: float = rule(60.0, low=0, high=1000, above=True)  # of what is remembered; all frames are encoded
    min_context: float = rule(0.5, low=0, high=1)  # share of the slots that must hold a view before any answer is given

    @property
    def span_s(self) -> float:
        return (self.slots - 1) * self.slot_s + self.tolerance_s


@dataclass(frozen=True, kw_only=True)
class WorkerConfig:
    deadline_ms: float = 100.0  # of one step; the percept says whether it took longer
    grace_ms: float = 50.0  # after the deadline, then the answers are invalid; 100 is promised, for a busy machine
    repeat_s: float = 1.0  # between invalid percepts while the engine hangs
    replace_after_s: float = 2.0  # an engine that hung for longer is replaced once it returns
    overload_share: float = 0.2  # more sets dropped than this within `overload_s`: the state is degraded
    overload_s: float = 1.0
