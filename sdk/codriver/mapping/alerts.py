"""When to alert the driver: a pure function of a time series of percepts and speeds, apart from the model.

    state = AlertState()
    for percept, speed_kmh in series:
        state = advance(policy, state, percept, speed_kmh)
        state.alert.level, state.alert.cause, state.alert.available

Nothing but the percepts' own times is looked at, so a drive that is replayed alerts at the same steps. What is shipped
(shipped/alerts.toml) are examples whose figures name their source. It is no homologation of anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from codriver.errors import ConfigError
from codriver.files.decode import rule
from codriver.mapping.toml_file import decode_toml, found, read_toml
from codriver.percept import UNKNOWN, Percept
from codriver.tasks import AIDE

LEVELS = ("none", "caution", "warning", "critical")
NO_CAUSE = "none"


@dataclass(frozen=True, kw_only=True)
class SpeedGate:
    from_kmh: float = rule(low=0, high=400, unit="km/h")  # from this speed on, up to the next gate
    after_s: float = rule(low=0, high=600, unit="seconds")  # of evidence until the first level


@dataclass(frozen=True, kw_only=True)
class AlertRule:
    """Evidence is the sum of some classes' probabilities. It must last; what it lasted for fades as it ends."""

    task: str = rule(choices=AIDE.names)
    labels: tuple[str, ...] = rule(filled=True)
    on: float = rule(low=0, high=1, above=True)  # evidence begins at this probability
    off: float = rule(low=0, high=1)  # and ends below this one
    gates: tuple[SpeedGate, ...] = rule(filled=True)  # by rising speed; below the first one nothing is alerted
    escalate_s: tuple[float, ...] = rule((), absent=True, low=0, high=600, unit="seconds")  # after the first level
    hold_s: float = rule(low=0, high=600, unit="seconds")  # without evidence until the alert ends
    fade: float = rule(low=1, high=100)  # seconds of evidence that a second without it takes away
    source: str = rule(filled=True)  # where the figures come from

    def after_s(self, speed_kmh: float) -> float | None:
        """Seconds of evidence until the first level; None: nothing is alerted at this speed."""
        after_s = None
        for gate in self.gates:
            if speed_kmh >= gate.from_kmh:
                after_s = gate.after_s
        return after_s


@dataclass(frozen=True, kw_only=True)
class AlertPolicy:
    rules: Mapping[str, AlertRule] = rule(path=True)  # by cause; where two are equally grave, the first one is told
    unknown_s: float = rule(low=0, high=600, unit="seconds")  # without a known answer until alerts are not available
    unknown_speed_kmh: float = rule(low=0, high=400, unit="km/h")  # what a speed that nobody knows counts as
    jump_s: float = rule(low=0, high=600, above=True, unit="seconds")  # percepts further apart begin anew
    source: str = rule(filled=True)

    @property
    def causes(self) -> tuple[str, ...]:
        return (NO_CAUSE, *self.rules)


@dataclass(frozen=True)
class Alert:
    level: str = LEVELS[0]
    cause: str = NO_CAUSE
    available: bool = False  # no alert while not available says nothing about the driver


class Evidence(NamedTuple):
    """What is remembered of one rule."""

    on: bool = False
    lasted_s: float = 0.0
    absent_s: float = 0.0  # since it was last on
    level: int = 0


class AlertState(NamedTuple):
    t: float | None = None  # of the last percept
    unknown_s: float = math.inf  # since an answer was last known
    evidence: Mapping[str, Evidence] = MappingProxyType({})  # by cause
    alert: Alert = Alert()


BEGINNING, NO_EVIDENCE = AlertState(), Evidence()


def advance(policy: AlertPolicy, state: AlertState, percept: Percept, speed_kmh: float | None = None) -> AlertState:
    """The state after one more percept. speed_kmh None: nobody knows.

    It runs in the thread of the steps, with cold caches, where a generator or a dataclass takes 10 us: hence loops.
    """
    t, step_s = percept.t, 0.0 if state.t is None else percept.t - state.t
    if state.t is None or not 0 <= step_s <= policy.jump_s:
        state, step_s = BEGINNING, 0.0
    speed = policy.unknown_speed_kmh if speed_kmh is None or not math.isfinite(speed_kmh) else speed_kmh
    evidence: dict[str, Evidence] = {}
    unknown, cause, level = False, NO_CAUSE, 0
    for name, of in policy.rules.items():
        share = _share(of, percept)
        unknown = unknown or share is None
        now = evidence[name] = _went_on(of, state.evidence.get(name, NO_EVIDENCE), share, step_s, speed)
        if now.level > level:
            cause, level = name, now.level
    unknown_s = state.unknown_s + step_s if unknown else 0.0
    if unknown_s > policy.unknown_s:  # what was seen so long ago is no evidence any more
        return AlertState(t, unknown_s)
    was = state.alert
    same = was.available and was.cause == cause and was.level == LEVELS[level]
    return AlertState(t, unknown_s, evidence, was if same else Alert(LEVELS[level], cause, available=True))


def _share(of: AlertRule, percept: Percept) -> float | None:
    """Probability of the rule's classes; None: the answer is invalid, or no class is likely enough to be named."""
    result = percept.tasks.get(of.task)
    if result is None or not result.valid or result.label == UNKNOWN:
        return None
    share = 0.0
    for label in of.labels:
        share += result.probabilities.get(label, 0.0)
    return share


def _went_on(of: AlertRule, was: Evidence, share: float | None, step_s: float, speed_kmh: float) -> Evidence:
    if share is None:  # not known for a moment: neither evidence nor its end
        return was
    after_s = None if share < (of.off if was.on else of.on) else of.after_s(speed_kmh)
    if after_s is None:
        absent_s = was.absent_s + step_s
        if absent_s >= of.hold_s:
            return Evidence(False, 0.0, absent_s, 0)
        return Evidence(False, max(was.lasted_s - of.fade * step_s, 0.0), absent_s, was.level)
    lasted_s = was.lasted_s + step_s if was.on else was.lasted_s  # a step is evidence from its own time on
    level = was.level
    for number, more_s in enumerate((0.0, *of.escalate_s), 1):
        if number > level and lasted_s >= after_s + more_s - 1e-9:
            level = number
    return Evidence(True, lasted_s, 0.0, level)


def read_alerts(name: str = "alerts", near: Path | None = None) -> AlertPolicy:
    """The policy of a file, or the shipped example."""
    path = found(name, near)
    policy = decode_toml(AlertPolicy, read_toml(path), path)
    for cause, of in policy.rules.items():
        place = f"{path}: rules.{cause}"
        for label in of.labels:
            if label not in AIDE[of.task].labels:
                may = ", ".join(AIDE[of.task].labels)
                raise ConfigError(f"{place}.labels has {label!r}, expected some of {may}")
        speeds = [gate.from_kmh for gate in of.gates]
        if speeds != sorted(set(speeds)):
            raise ConfigError(f"{place}.gates: from_kmh is {speeds}, expected rising speeds")
        if of.off > of.on:
            raise ConfigError(f"{place}: off is {of.off}, expected at most on, which is {of.on}")
        if list(of.escalate_s) != sorted(of.escalate_s) or len(of.escalate_s) > len(LEVELS) - 2:
            raise ConfigError(
                f"{place}.escalate_s is {list(of.escalate_s)}, expected at most {len(LEVELS) - 2} rising numbers"
            )
    if not policy.rules:
        raise ConfigError(f"{path}: rules is empty, expected at least one: [rules.distracted]")
    return policy
