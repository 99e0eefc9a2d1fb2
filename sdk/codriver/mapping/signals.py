"""A map: which fields of a percept go to which signals of a bus, in a TOML file.

bus = "vss"

[signals."Vehicle.Driver.DistractionLevel"]
from = ["tasks.driver_behavior.probabilities.Making Phone", "tasks.driver_behavior.probabilities.Looking Around"]
type = "float"
scale = 100          # several numbers are added up, times scale, plus offset
low = 0
high = 100           # and kept within these
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codriver.errors import ConfigError
from codriver.files.decode import rule
from codriver.mapping.alerts import AlertPolicy
from codriver.mapping.fields import Moment, PerceptField, percept_fields
from codriver.mapping.toml_file import decode_toml, found, read_toml

BUSES = ("can", "vss", "ros2", "android")
WHOLE = {f"{sign}int{bits}": bits for sign in ("", "u") for bits in (8, 16, 32)}
TYPES = ("boolean", "string", "float", "double", *WHOLE)
NUMBER_LIMIT = 1e12


def limit(default: Any, **rules: Any) -> Any:
    return rule(default, absent=True, low=-NUMBER_LIMIT, high=NUMBER_LIMIT, **rules)


@dataclass(frozen=True, kw_only=True)
class SignalSpec:
    source: tuple[str, ...] = rule(key=lambda content: "from", filled=True)
    type: str | None = rule(None, absent=True, choices=TYPES)  # on CAN the DBC knows
    scale: float = limit(1.0)
    offset: float = limit(0.0)
    low: float | None = limit(None)
    high: float | None = limit(None)
    unit: str | None = rule(None, absent=True, filled=True)  # for people; VSS checks it against its overlay
    values: Mapping[str, Any] | None = rule(None, absent=True)  # text or truth -> what is sent
    invalid: Any = rule(None, absent=True)  # what is sent while there is no answer; None: no value
    doc: str = rule("", absent=True)


@dataclass(frozen=True, kw_only=True)
class BusMapConfig:
    bus: str = rule(choices=BUSES)
    period_s: float = rule(1.0, absent=True, low=0, above=True, high=60, unit="seconds")  # a signal at least so often
    dbc: str | None = rule(None, absent=True, filled=True)  # of a CAN map: a file beside it
    overlay: str | None = rule(None, absent=True, filled=True)  # of a VSS map: the .vspec that has what VSS lacks
    signals: Mapping[str, SignalSpec] = rule()


class MappedSignal:
    """One signal: `value` is what a moment means on the bus."""

    def __init__(self, name: str, spec: SignalSpec, fields: Mapping[str, PerceptField]) -> None:
        self.name, self.spec = name, spec
        used = [fields[path] for path in spec.source]
        self._reads = [field.read for field in used]
        self.is_text = used[0].kind == "text"
        self.always = all(field.always for field in used)  # there is never no answer
        self._whole = spec.type in WHOLE
        self._low, self._high = _bounds(spec)
        self._scale, self._offset, self._invalid = spec.scale, spec.offset, spec.invalid
        truths = {"true": True, "false": False} if used[0].kind == "truth" else {}
        self._table = None if spec.values is None else {truths.get(key, key): to for key, to in spec.values.items()}

    def value(self, moment: Moment) -> Any:
        now = self._reads[0](moment)
        if now is None:
            return self._invalid
        if self._table is not None:
            return self._table.get(now, self._invalid)
        if isinstance(now, bool | str):
            return now
        for read in self._reads[1:]:
            more = read(moment)
            if more is None:
                return self._invalid
            now += more
        number = now * self._scale + self._offset
        if not math.isfinite(number):
            return self._invalid
        number = min(max(number, self._low), self._high)
        return round(number) if self._whole else number


@dataclass(frozen=True)
class BusMap:
    path: Path
    config: BusMapConfig
    policy: AlertPolicy
    signals: tuple[MappedSignal, ...]

    def values(self, moment: Moment) -> dict[str, Any]:
        return {signal.name: signal.value(moment) for signal in self.signals}

    @property
    def invalid(self) -> dict[str, Any]:
        """What is sent while nothing is known: steps have stopped."""
        return {signal.name: signal.spec.invalid for signal in self.signals}


def read_map(name: str, policy: AlertPolicy, near: Path | None = None) -> BusMap:
    """The map of a file, or one that is shipped: can, vss, ros2, android."""
    path = found(name, near)
    content = read_toml(path)
    specs = content.get("signals")
    for spec in specs.values() if isinstance(specs, dict) else ():
        if isinstance(spec, dict) and isinstance(spec.get("from"), str):
            spec["from"] = [spec["from"]]  # one path needs no list
    config, fields = decode_toml(BusMapConfig, content, path), percept_fields(policy)
    for signal, spec in config.signals.items():
        problem = _problem(spec, fields, config.bus)
        if problem:
            raise ConfigError(f"{path}: signals.{signal}{problem}")
    if not config.signals:
        raise ConfigError(f"{path}: signals is empty, expected at least one")
    if (config.bus == "can") != (config.dbc is not None):
        raise ConfigError(f"{path}: dbc = FILE belongs to a map of bus can, and to no other")
    return BusMap(path, config, policy, tuple(MappedSignal(n, s, fields) for n, s in config.signals.items()))


def _problem(spec: SignalSpec, fields: Mapping[str, PerceptField], bus: str) -> str:
    for path in spec.source:
        if path not in fields:
            return f".from has {path!r}{_near(path, fields)}"
    kinds = {fields[path].kind for path in spec.source}
    if len(spec.source) > 1 and kinds != {"number"}:
        return ".from adds up several fields, expected numbers alone"
    if bus != "can" and spec.type is None:
        return f" lacks type, expected one of {', '.join(TYPES)}"
    if spec.values is None:
        fits = {"number": (None, "float", "double", *WHOLE), "text": ("string",), "truth": ("boolean",)}[kinds.pop()]
        said = f" is {spec.type}, expected {' or '.join(filter(None, fits))}; or give values = {{...}}"
        texts = "" if spec.type in fits else f".type{said}"
        return texts or _unfit(spec, "invalid", spec.invalid)
    field = fields[spec.source[0]]
    wanted = field.texts or (("true", "false") if field.kind == "truth" else ())
    if set(spec.values) != set(wanted):
        has = ", ".join(spec.values) or "nothing"
        return f".values has {has}; expected exactly {', '.join(wanted) or 'none: it is a number'}"
    sent = [*spec.values.items(), ("invalid", spec.invalid)]
    return next(filter(None, (_unfit(spec, name, value) for name, value in sent)), "")


def _unfit(spec: SignalSpec, name: str, value: Any) -> str:
    """Why a constant cannot be sent as the signal's type."""
    if value is None or spec.type is None:
        return ""
    kinds = {"boolean": bool, "string": str}
    right = kinds.get(spec.type, int if spec.type in WHOLE else (int, float))
    low, high = _range_of(spec.type)
    fits = isinstance(value, right) and (right is bool) == isinstance(value, bool)
    if fits and (isinstance(value, str | bool) or low <= value <= high):
        return ""
    between = "" if spec.type in kinds else f" from {low:g} to {high:g}"
    return f": {name} is {value!r}, expected {spec.type}{between}"


def _bounds(spec: SignalSpec) -> tuple[float, float]:
    """What the map keeps to, within what the type holds."""
    low, high = _range_of(spec.type)
    return max(low, -math.inf if spec.low is None else spec.low), min(
        high, math.inf if spec.high is None else spec.high
    )


def _range_of(kind: str | None) -> tuple[float, float]:
    if kind not in WHOLE:
        return -math.inf, math.inf
    bits = WHOLE[kind]
    return (0, 2**bits - 1) if kind.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _near(path: str, fields: Mapping[str, PerceptField]) -> str:
    import difflib

    close = difflib.get_close_matches(path, fields, n=3, cutoff=0.6)
    return f", expected {' or '.join(close)}" if close else "; `codriver map --fields` lists what may stand there"
