"""Read JSON objects key by key: a key missing, mistyped or left over is a BundleError that says where."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from codriver.errors import BundleError

T = TypeVar("T")

# Plain names joined by "/": no absolute path, no "..", no backslash, no drive letter, nothing hidden.
PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*", re.ASCII)


def is_plain_path(path: str) -> bool:
    """Whether a path stays in its folder, on every system."""
    return PATH.fullmatch(path) is not None


def _path_code(path: str) -> str:
    """What is wrong with a path that is not plain."""
    parts = re.split(r"[/\\]", path)
    if path[:1] in ("/", "\\") or path[1:2] == ":":
        return "path-absolute"
    if ".." in parts:
        return "path-outside"
    return "path-hidden" if any(part.startswith(".") for part in parts) else "path-odd"


MAX_NUMBER = 1e30  # fits a float32; nothing that is measured here comes near


class Fields:
    """One JSON object. `where` is the file and the place in it, for messages."""

    def __init__(self, where: str, content: object) -> None:
        if not isinstance(content, dict):
            what = f"{where}: got {_kind(content)}, expected an object; fetch the bundle anew"
            raise BundleError(what, code="manifest-invalid")
        self._where = where
        self._left = dict(content)

    def fault(self, message: str, code: str = "manifest-invalid") -> BundleError:
        return BundleError(f"{self._where}: {message}; fetch or build the bundle anew", code=code)

    def names(self) -> list[str]:
        """The keys that nobody has read yet."""
        return list(self._left)

    def _take(self, key: str) -> object:
        if key not in self._left:
            raise self.fault(f"key {key!r} is missing")
        return self._left.pop(key)

    def _typed(self, key: str, wanted: type[T], value: object) -> T:
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            raise self.fault(f"{key} is {_kind(value)}, expected {_NAMES[wanted]}")
        return value

    def text(self, key: str) -> str:
        return self._typed(key, str, self._take(key))

    def integer(self, key: str) -> int:
        return self._typed(key, int, self._take(key))

    def number(self, key: str) -> float:
        """A finite number; an integer stays one, so that writing it again gives the same text."""
        return self._number(key, self._take(key))

    def _numbers(self, key: str, value: object) -> tuple[float, ...]:
        return tuple(self._number(key, item) for item in self._typed(key, list, value))

    def _number(self, key: str, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MAX_NUMBER:
            raise self.fault(f"{key} is {_kind(value)}, expected a number of a sane size")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        return tuple(self._typed(key, str, item) for item in self._typed(key, list, self._take(key)))

    def integers(self, key: str) -> tuple[int, ...]:
        return tuple(self._typed(key, int, item) for item in self._typed(key, list, self._take(key)))

    def numbers_by_two_names(self, key: str) -> dict[str, dict[str, float]]:
        outer = self.object(key)
        return {name: outer._numbers_by_name(name) for name in outer.names()}

    def _numbers_by_name(self, key: str) -> dict[str, float]:
        inner = self.object(key)
        return {name: inner.number(name) for name in inner.names()}

    def numbers_or_none(self, key: str) -> tuple[float, ...] | None:
        value = self._take(key)
        return None if value is None else self._numbers(key, value)

    def rows_or_none(self, key: str) -> list[tuple[float, ...]] | None:
        value = self._take(key)
        return None if value is None else [self._numbers(key, row) for row in self._typed(key, list, value)]

    def texts_by_name(self, key: str) -> dict[str, str]:
        inner = self.object(key)
        return {name: inner.text(name) for name in inner.names()}

    def free(self, key: str) -> Mapping[str, Any]:
        """Any JSON object, for people and reports; nothing here is acted on."""
        return self._typed(key, dict, self._take(key))

    def object(self, key: str) -> Fields:
        return Fields(f"{self._where}: {key}", self._take(key))

    def objects(self, key: str) -> list[Fields]:
        items = self._typed(key, list, self._take(key))
        return [Fields(f"{self._where}: {key}[{place}]", item) for place, item in enumerate(items)]

    def objects_by_path(self, key: str) -> dict[str, Fields]:
        inner = self.object(key)
        return {self.checked_path(path): inner.object(path) for path in inner.names()}

    def path(self, key: str) -> str:
        return self.checked_path(self.text(key))

    def path_or_none(self, key: str) -> str | None:
        value = self._take(key)
        return None if value is None else self.checked_path(self._typed(key, str, value))

    def checked_path(self, path: str) -> str:
        if not is_plain_path(path):
            message = f"path {path!r}, expected plain names of letters, digits, . _ - joined by /"
            raise self.fault(message, _path_code(path))
        return path

    def end(self) -> None:
        if self._left:
            raise self.fault(f"key {next(iter(self._left))!r} is not known")


_NAMES = {str: "a text", int: "a whole number", list: "a list", dict: "an object", bool: "true or false"}


def _kind(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return _NAMES.get(type(value), "a number with a fraction")
