"""JSON to frozen dataclasses: a key that is missing, mistyped or not known is one line that says where and what to do.

A field is optional if it has a default, and null only if its type admits None. `object` takes any JSON: a record of
another tool, for people, on which nothing here acts.
"""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from codriver.errors import CodriverError, SourceError

T = TypeVar("T")
_NAMES: dict[type, str] = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}


def read_json_object(path: Path, remedy: str) -> dict[str, object]:
    """What a file holds; a SourceError if that is not one JSON object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SourceError(f"{path} cannot be read as JSON ({error}); {remedy}") from error
    if not isinstance(content, dict):
        raise SourceError(f"{path}: got {_said(content)}, expected an object; {remedy}")
    return content


def decoded(cls: type[T], content: object, where: str, remedy: str) -> T:
    """One dataclass from JSON. where: the file, for messages. remedy: what to do about a file that is wrong."""
    record: T = _Decoder(where, remedy).value(cls, content, "")
    return record


class _Decoder:
    def __init__(self, where: str, remedy: str) -> None:
        self._where, self._remedy = where, remedy

    def _fault(self, key: str, message: str) -> SourceError:
        return SourceError(f"{self._where}: {key or 'the whole'}: {message}; {self._remedy}")

    def value(self, wanted: Any, content: object, key: str) -> Any:
        """content as `wanted`, a dataclass, a container or a plain type. key: dotted, from the top."""
        origin, inner = get_origin(wanted), get_args(wanted)
        if wanted is object:
            return content
        if origin in (types.UnionType, Union):  # X | None is the only union that is used
            (some,) = (kind for kind in inner if kind is not type(None))
            return None if content is None else self.value(some, content, key)
        if origin is tuple:
            if not isinstance(content, list):
                raise self._fault(key, f"got {_said(content)}, expected a list")
            return tuple(self.value(inner[0], item, f"{key}[{at}]") for at, item in enumerate(content))
        if origin is not None or dataclasses.is_dataclass(wanted):
            if not isinstance(content, dict):
                raise self._fault(key, f"got {_said(content)}, expected an object")
            if origin is None:
                return self._record(wanted, content, key)
            return {name: self.value(inner[1], item, _joined(key, name)) for name, item in content.items()}
        return self._plain(wanted, content, key)

    def _plain(self, wanted: type, content: object, key: str) -> object:
        known = (int, float) if wanted is float else (wanted,)
        if not isinstance(content, known) or (isinstance(content, bool) and wanted is not bool):
            raise self._fault(key, f"got {_said(content)}, expected {_NAMES[wanted]}")
        return float(content) if isinstance(content, int) and wanted is float else content

    def _record(self, cls: Any, content: Mapping[str, object], key: str) -> object:
        fields = {field.name: field for field in dataclasses.fields(cls)}
        for name in content:
            if name not in fields:
                raise self._fault(_joined(key, name), f"is not known; expected some of {', '.join(fields)}")
        for name, field in fields.items():
            optional = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
            if name not in content and not optional:
                raise self._fault(_joined(key, name), "is missing")
        hints = get_type_hints(cls)
        values = {name: self.value(hints[name], item, _joined(key, name)) for name, item in content.items()}
        try:
            return cls(**values)
        except CodriverError as error:  # the class's own rules
            raise self._fault(key, str(error)) from error


def _joined(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _said(content: object) -> str:
    if content is None or isinstance(content, bool | int | float):
        return json.dumps(content)
    if isinstance(content, str):
        return f"the text {content[:40]!r}"
    return "a list" if isinstance(content, list) else "an object"
