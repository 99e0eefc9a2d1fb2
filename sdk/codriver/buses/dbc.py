"""A CAN map and its DBC: what of a moment is due on the bus, as frames.

Which frames there are, and every bit of them, follows from the percepts alone: not from a clock, nor from what became
of the frames before. So a drive that is replayed gives the same traffic, and a frame that got lost is a gap in the
counter. When steps stop, frames stop: that is how a receiver learns of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from codriver.buses.e2e import Protection
from codriver.device.imports import load
from codriver.errors import ConfigError
from codriver.mapping.fields import Moment
from codriver.mapping.signals import BusMap, MappedSignal

FILLED_IN = ("CRC", "Counter", "IDNibble")  # by the protection
ON_CHANGE = "cyclicAndSpontaneous"  # of GenMsgSendType: between its cycles too, when a value changes
MISSING = "CAN needs the package cantools: pip install 'codriver[can]'"


@dataclass(frozen=True)
class CanFrame:
    id: int
    data: bytes
    extended: bool = False
    fd: bool = False


class CanEncoder:
    """`frames` of each moment in turn, by one thread."""

    def __init__(self, bus_map: BusMap) -> None:
        self._messages = [_Message(*of) for of in _checked(bus_map)]

    @property
    def fd(self) -> bool:
        return any(message.of.is_fd for message in self._messages)

    def frames(self, moment: Moment) -> list[CanFrame]:
        """Those that are due at the moment's time, in the order of the DBC."""
        return [frame for message in self._messages if (frame := message.at(moment)) is not None]


class _Message:
    def __init__(self, of: Any, protection: Protection | None, signals: Mapping[str, MappedSignal]) -> None:
        self.of, self.protection = of, protection
        self._signals = [(name, signal, _bounds(of.get_signal_by_name(name))) for name, signal in signals.items()]
        self._period_s = of.cycle_time / 1000
        self._zeros = {signal.name: 0 for signal in of.signals if signal.name in FILLED_IN}
        self._counter, self._due_s, self._last_s = 0, -math.inf, -math.inf
        self._sent: dict[str, Any] = {}

    def at(self, moment: Moment) -> CanFrame | None:
        t = moment.percept.t
        if t < self._last_s:  # another drive
            self._due_s = t
        self._last_s = t
        due = t >= self._due_s - 1e-6
        if not due and self.of.send_type != ON_CHANGE:
            return None
        values = dict(self._values(moment))
        if not due and values == self._sent:
            return None
        self._sent = values
        if due:
            behind = t - self._due_s >= self._period_s
            self._due_s = (t if behind else self._due_s) + self._period_s
        data: bytes = self.of.encode(self._zeros | values, strict=False)  # values are kept within their ranges
        if self.protection is not None:
            data = self.protection.protected(data, self._counter)
            self._counter += 1
        return CanFrame(self.of.frame_id, data, self.of.is_extended_frame, self.of.is_fd)

    def _values(self, moment: Moment) -> Iterator[tuple[str, Any]]:
        for name, signal, (low, high) in self._signals:
            value = signal.value(moment)
            yield name, value if isinstance(value, str) else min(max(value, low), high)


def protection_of(message: Any) -> Protection | None:
    """By its attributes E2EProfile and E2EDataID."""
    profile, data_id = _attribute(message, "E2EProfile"), str(_attribute(message, "E2EDataID"))
    if profile in ("none", ""):
        return None
    try:
        return Protection(profile, bytes.fromhex(data_id.zfill(len(data_id) + len(data_id) % 2)))
    except ValueError as error:
        raise ConfigError(f"{message.name}: E2EDataID is {data_id!r}, expected hexadecimal ({error})") from error


def _attribute(message: Any, name: str) -> Any:
    of = message.dbc.attributes.get(name) if message.dbc else None
    if of is None:
        return ""
    choices = of.definition.choices
    return choices[of.value] if choices and isinstance(of.value, int) else of.value


def read_dbc(path: Any) -> Any:
    cantools = load("cantools", MISSING, "database")
    try:
        return cantools.database.load_file(str(path), strict=True)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except Exception as error:  # of a parser, which has no error of its own for all that can be wrong
        raise ConfigError(f"{path}: not a DBC ({' '.join(str(error).split())})") from error


def _checked(bus_map: BusMap) -> Iterator[tuple[Any, Protection | None, dict[str, MappedSignal]]]:
    """Each message that is mapped, in the order of the DBC; a ConfigError tells the first thing that does not fit."""
    dbc = bus_map.path.parent / str(bus_map.config.dbc)
    messages = {message.name: message for message in read_dbc(dbc).messages}
    mapped: dict[str, dict[str, MappedSignal]] = {name: {} for name in messages}
    for signal in bus_map.signals:
        message, _, name = signal.name.partition(".")
        of, place = messages.get(message), f"{bus_map.path}: signals.{signal.name}"
        names = [one.name for one in of.signals if one.name not in FILLED_IN] if of else []
        if name not in names:
            all_of_it = [f"{message}.{one}" for one in names] or [f"{one}.SIGNAL" for one in messages]
            raise ConfigError(f"{place} is not in {dbc.name}, expected one of {', '.join(all_of_it)}")
        assert of is not None
        _check_values(signal, of.get_signal_by_name(name), place)
        mapped[message][name] = signal
    for message, signals in mapped.items():
        of = messages[message]
        lacking = [one.name for one in of.signals if one.name not in signals and one.name not in FILLED_IN]
        if signals and lacking:
            raise ConfigError(f"{bus_map.path}: {message} lacks {', '.join(lacking)}: a frame has all its signals")
        if signals and not of.cycle_time:
            raise ConfigError(f"{dbc}: {message} has no GenMsgCycleTime; a receiver tells by it that we are gone")
        if signals:
            yield of, protection_of(of), signals


def _check_values(signal: MappedSignal, of: Any, place: str) -> None:
    """Texts are names of the value table, and there is one for no answer."""
    spec, names = signal.spec, [str(name) for name in (of.choices or {}).values()]
    if spec.invalid is None and not signal.always:
        raise ConfigError(f"{place} lacks invalid: what is sent while there is no answer, one of {', '.join(names)}")
    for key, value in [*(spec.values or {}).items(), ("invalid", spec.invalid)]:
        if isinstance(value, str) and value not in names:
            raise ConfigError(
                f"{place}: {key} is {value!r}, expected one of {', '.join(names) or 'no table: a number'}"
            )
    if spec.values is None and signal.is_text:
        raise ConfigError(f"{place} lacks values: which text is which of {', '.join(names)}")


def _bounds(signal: Any) -> tuple[float, float]:
    low, high = signal.minimum, signal.maximum
    return -math.inf if low is None else float(low), math.inf if high is None else float(high)
