"""What the runtime trusts, and for how long. The manifest declares it; `Perceiver.open(policy=...)` may replace it.

Thresholds follow reference/integration.md 4.2; openpilot pairs its cameras at 25 ms and warns at 10 ms.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from codriver.errors import ConfigError

FAULTS = ("lost", "black", "saturated", "frozen", "covered")  # what a view must recover from


@dataclass(frozen=True, kw_only=True)
class TimingConfig:
    pair_s: float = 0.025  # frames of one set lie at most this far from its time; USB cameras may need 0.033
    warn_s: float = 0.010  # a frame further than this from its set's time is used, and reported
    jump_s: float = 1.0  # steps further apart than this, forwards or backwards, begin a new context


@dataclass(frozen=True, kw_only=True)
class HealthConfig:
    """One camera's limits. Levels are of 0..255, measured on the green channel of about 90 lines.

    An infrared camera is dark by night: give it a lower `black_below`. A camera behind a smooth wide field (an
    empty sky) or with a strong noise filter wants a lower `covered_below`.
    """

    late_s: float = 0.15  # no frame for so long: late. Three periods of 20 Hz
    lost_s: float = 1.0  # no frame for so long: lost (Autoware's time-out)
    frozen_frames: int = 5  # this many frames without a changed pixel: frozen. A stuck buffer repeats at any rate
    black_below: float = 8.0  # mean level
    saturated_above: float = 247.0  # mean level
    flat_std: float = 4.0  # black and saturated pictures spread less than this
    flat_s: float = 0.5  # for this long
    covered_below: float = 1.0  # variance of the Laplacian in one of 4 x 4 blocks, level²
    covered_share: float = 0.6  # of the blocks
    covered_s: float = 1.0  # for this long
    recovery_frames: int = 10  # good frames after a fault before the view is used again (openpilot's warm-up)


@dataclass(frozen=True, kw_only=True)
class SmoothingConfig:
    """A label that does not flicker, beside the raw one. Off while both are 0."""

    time_s: float = 0.0  # time constant of the smoothed probabilities
    switch_s: float = 0.0  # another class must lead for this long before the label follows

    @property
    def on(self) -> bool:
        return self.time_s > 0 or self.switch_s > 0


@dataclass(frozen=True, kw_only=True)
class Policy:
    timing: TimingConfig = field(default_factory=TimingConfig)
    health: Mapping[str, HealthConfig] = field(default_factory=dict)  # by view; others have the defaults
    masked: tuple[str, ...] = FAULTS  # a view with one of these counts as absent; others of FAULTS are only reported
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

    def to_json(self) -> dict[str, Any]:
        return {
            "timing": asdict(self.timing),
            "health": {view: asdict(limits) for view, limits in self.health.items()},
            "masked": list(self.masked),
            "smoothing": asdict(self.smoothing),
        }


def default_policy(views: Iterable[str]) -> Policy:
    """The defaults, spelt out for every view, so that a manifest shows what can be set."""
    return Policy(health={view: HealthConfig() for view in views})


def check_policy(policy: Policy, views: Iterable[str]) -> None:
    """Raise a ConfigError for the first value that cannot be meant. views: that the bundle knows."""
    known = tuple(views)
    for view, limits in policy.health.items():
        if view not in known:
            raise ConfigError(f"policy: health of view {view!r}, expected some of {', '.join(known)}")
        _check_numbers(f"health of {view}", limits)
    _check_numbers("timing", policy.timing)
    _check_numbers("smoothing", policy.smoothing)
    strangers = [fault for fault in policy.masked if fault not in FAULTS]
    if strangers or len(set(policy.masked)) < len(policy.masked):
        raise ConfigError(f"policy: masked is {list(policy.masked)}, expected some of {', '.join(FAULTS)}, each once")


MAXIMUM = {"covered_share": 1.0, "black_below": 255.0, "saturated_above": 255.0, "flat_std": 255.0}
MINIMUM = {"frozen_frames": 2, "recovery_frames": 1}


def _check_numbers(where: str, config: TimingConfig | HealthConfig | SmoothingConfig) -> None:
    for f in fields(config):
        value, whole = getattr(config, f.name), f.type == "int"
        low, high = MINIMUM.get(f.name, 0), MAXIMUM.get(f.name, 1e6)
        number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or not low <= value <= high:
            kind = "a whole number" if whole else "a number"
            raise ConfigError(f"policy: {where}: {f.name} is {value!r}, expected {kind} from {low:g} to {high:g}")


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


@dataclass(frozen=True, kw_only=True)
class WorkerConfig:
    deadline_ms: float = 100.0  # of one step; the percept says whether it took longer
    grace_ms: float = 50.0  # after the deadline, then the answers are invalid; 100 is promised, for a busy machine
    repeat_s: float = 1.0  # between invalid percepts while the engine hangs
    replace_after_s: float = 2.0  # an engine that hung for longer is replaced once it returns
    overload_share: float = 0.2  # more sets dropped than this within `overload_s`: the state is degraded
    overload_s: float = 1.0
