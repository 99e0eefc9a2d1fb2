"""Read a profile strictly: every fault names the file, the line, and what is allowed there."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

import tomllib

from codriver.errors import ConfigError
from codriver.tasks import TASK_SETS
from targets.profiles.profile import RATES, Profile, Variant

KEYS: dict[str, Field[Any]] = {some.name: some for some in fields(Profile) if some.name != "name"}
TASKS = tuple(task.name for task in TASK_SETS["aide"].tasks)
HEADER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(#.*)?")
PAIR = re.compile(r"\s*([A-Za-z0-9_\-\"']+)\s*=")


def mode_names(path: Path) -> list[str]:
    """The targets that a file holds."""
    modes = _Reader(path).modes
    return [f"{path.stem}-{mode}" for mode in modes] if modes else [path.stem]


def read_profile(path: Path, name: str) -> Profile:
    """The profile of target `name`, one of `mode_names(path)`."""
    return _Reader(path).profile(name)


class _Reader:
    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._text = path.read_text(encoding="utf-8")
            self._content = tomllib.loads(self._text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path} is not TOML: {error}") from error
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} cannot be read: {error}") from error
        self.modes: Mapping[str, Any] = self._content.pop("modes", {})
        for place, table in [("modes", self.modes), *((f"modes.{mode}", t) for mode, t in _items(self.modes))]:
            if not isinstance(table, dict):
                raise self._fault(place, f"is {_kind(table)}, expected a table [modes.NAME] for each power mode")

    def profile(self, name: str) -> Profile:
        mode = name[len(self._path.stem) + 1 :]
        table = self.modes.get(mode, {})
        places = {key: key for key in self._content} | {key: f"modes.{mode}.{key}" for key in table}
        raw = self._content | table
        for key in places:
            if key not in KEYS:
                raise self._unknown(places[key], key, KEYS)
        lacking = [key for key, some in KEYS.items() if key not in raw and some.default is MISSING]
        if lacking:
            where = f" and target {name}" if mode else ""
            raise ConfigError(f"{self._path}: {', '.join(lacking)} missing, expected in every profile{where}; add them")
        values = {key: self._value(places[key], KEYS[key], raw[key]) for key in raw}
        title = f"{values.pop('title')}, {values['nvpmodel'] or mode}" if mode else values.pop("title")
        return Profile(name=name, title=title, **values)

    def _value(self, place: str, some: Field[Any], value: object) -> Any:
        if some.name == "variants":
            return tuple(self._variant(f"{place}[{at}]", entry) for at, entry in enumerate(self._list(place, value)))
        if some.name == "source":
            return self._table(place, value, RATES, self._text_value)
        if some.name == "accuracy_budget_points":
            return self._table(place, value, TASKS, self._points)
        if "low" in some.metadata:
            return self._number(place, value, some.metadata, whole=some.type == "int")
        if some.type.startswith("tuple"):
            texts = self._list(place, value) if value else []
            return tuple(self._text_value(place, text, some.metadata.get("choices")) for text in texts)
        return self._text_value(place, value, some.metadata.get("choices"))

    def _variant(self, place: str, entry: object) -> Variant:
        if not isinstance(entry, dict):
            raise self._fault(place, f"is {_kind(entry)}, expected {{ dialect = NAME, engine = NAME }}")
        known = {some.name: some.metadata.get("choices") for some in fields(Variant)}
        return Variant(**self._table(place, entry, tuple(known), lambda p, v: self._text_value(p, v, known[_last(p)])))

    def _table(self, place: str, value: object, keys: tuple[str, ...], read: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self._fault(place, f"is {_kind(value)}, expected a table of {', '.join(keys)}")
        for key in value:
            if key not in keys:
                raise self._unknown(f"{place}.{key}", key, keys)
        lacking = [key for key in keys if key not in value]
        if lacking:
            raise self._fault(place, f"lacks {', '.join(lacking)}; add them")
        return {key: read(f"{place}.{key}", item) for key, item in value.items()}

    def _list(self, place: str, value: object) -> list[Any]:
        if not isinstance(value, list) or not value:
            raise self._fault(place, f"is {_kind(value)}, expected a list that is not empty")
        return value

    def _text_value(self, place: str, value: object, choices: tuple[str, ...] | None = None) -> str:
        if not isinstance(value, str) or not value:
            raise self._fault(place, f"is {_kind(value)}, expected a text" + _one_of(choices))
        if choices and value not in choices:
            raise self._fault(place, f"is {value!r}, expected one of {', '.join(choices)}{_meant(value, choices)}")
        return value

    def _points(self, place: str, value: object) -> float:
        return self._number(place, value, {"unit": "points of accuracy", "low": 0, "high": 100})

    def _number(self, place: str, value: object, rule: Mapping[str, Any], whole: bool = False) -> Any:
        wanted = f"a {'whole ' if whole else ''}number of {rule['unit']}, {rule['low']:g} to {rule['high']:g}"
        right = isinstance(value, int) if whole else isinstance(value, int | float) and math.isfinite(value)
        if not right or isinstance(value, bool):
            raise self._fault(place, f"is {_kind(value)}, expected {wanted}")
        if not rule["low"] <= value <= rule["high"]:
            raise self._fault(place, f"is {value:g}, expected {wanted}; is it in another unit?")
        return value

    def _unknown(self, place: str, key: str, known: Any) -> ConfigError:
        return self._fault(place, f"is not a key{_meant(key, known)}; expected some of {', '.join(known)}")

    def _fault(self, place: str, message: str) -> ConfigError:
        line = line_of(self._text, re.sub(r"\[\d+\]", "", place))
        return ConfigError(f"{self._path}, line {line}: {place} {message}")


def line_of(text: str, place: str) -> int:
    """The line, from 1, in which a key is given: `launch_us`, or `modes.25w.launch_us`; its table's if it is inline.

    tomllib keeps no lines. Keys and headers each stand in a line of their own, so they are looked for there.
    """
    table, best = "", (0, 1)
    for number, line in enumerate(text.splitlines(), start=1):
        header, pair = HEADER.fullmatch(line), PAIR.match(line)
        if header:
            table = _plain(header[1])
        here = table if header else ".".join(filter(None, (table, _plain(pair[1])))) if pair else ""
        if here and (place == here or place.startswith(f"{here}.")) and len(here) > best[0]:
            best = (len(here), number)
    return best[1]


def _plain(key: str) -> str:
    return re.sub(r"[\s\"']", "", key)


def _last(place: str) -> str:
    return place.rpartition(".")[2]


def _items(table: object) -> list[tuple[str, Any]]:
    return list(table.items()) if isinstance(table, dict) else []


def _meant(word: str, known: Any) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]}?)" if close else ""


def _one_of(choices: tuple[str, ...] | None) -> str:
    return f", one of {', '.join(choices)}" if choices else ""


def _kind(value: object) -> str:
    if isinstance(value, str):
        return f"the text {value!r}"
    names = {bool: "true or false", dict: "a table", list: "a list" if value else "an empty list"}
    return names.get(type(value), str(value))
