"""From JSON or TOML to frozen dataclasses that carry their rules, and back to the same text.

    @dataclass(frozen=True, kw_only=True)
    class Limits:
        late_s: float = rule(0.15, low=0, high=10)

    decode(Limits, from_json(data))  # a Fault says which value, what it is, and what was expected

Fields may be texts, numbers, truths, None beside one of these, tuples of one type, mappings by name, such dataclasses,
and `Any`, on which nobody acts. A key that is missing or unknown is a Fault too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, field, fields, is_dataclass
from functools import lru_cache
from types import UnionType
from typing import Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
MAX_NUMBER = 1e30  # fits a float32; nothing that is measured here comes near
# Plain names joined by "/": no absolute path, no "..", no backslash, no drive letter, nothing hidden.
PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*", re.ASCII)
KINDS: dict[Any, str] = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
KINDS |= {list: "a list", dict: "an object"}


class Fault(ValueError):
    """What is wrong with a value. place: `streams[1].feature`. code: of the refusal; "" if there is no special one."""

    def __init__(self, place: str, message: str, code: str = "") -> None:
        super().__init__(f"{place} {message}".strip())
        self.place, self.message, self.code = place, message, code


class FieldRule(NamedTuple):
    """What a field holds beside what its type says: each element of a tuple, each value of a mapping."""

    low: float = -MAX_NUMBER
    high: float = MAX_NUMBER
    above: bool = False  # more than `low`
    unit: str = ""
    choices: tuple[str, ...] = ()
    pattern: str = ""
    expected: str = ""  # the pattern, for people
    path: bool = False  # a text is a plain path, or the names of a mapping are
    filled: bool = False  # neither an empty text nor an empty list
    keys: tuple[str, ...] = ()  # of a mapping: these and no others
    key: Callable[[Mapping[str, Any]], str] | None = None  # the name in the file, by what else is in its object
    absent: bool = False  # not in the file while it has its default
    code: str = ""  # of the refusal

    def wanted(self, kind: Any) -> str:
        text = f"{KINDS[kind]} of {self.unit}" if self.unit else KINDS[kind]
        if self.low > -MAX_NUMBER or self.high < MAX_NUMBER:
            text += f" {'above' if self.above else 'from'} {_short(self.low)} to {_short(self.high)}"
        text += " that is not empty" if self.filled else ""
        return text + (f", one of {', '.join(self.choices)}" if self.choices else "")


NO_RULE = FieldRule()


def rule(default: Any = MISSING, **rules: Any) -> Any:
    """A field under a Rule."""
    return field(default=default, metadata={"rule": FieldRule(**rules)})


def from_json(data: bytes) -> Any:
    """Parse strictly: a Fault says that it is not JSON, or which key is there twice."""
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_refuse_twice)
    except Fault:
        raise
    except (ValueError, RecursionError) as error:
        raise Fault("", f"not JSON ({error})", "manifest-not-json") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _refuse_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for name, value in pairs:
        if name in content:
            raise Fault("", f"key {name[:80]!r} is there more than once", "manifest-key-twice")
        content[name] = value
    return content


def take_schema(content: Any) -> int:
    """Which form a file is of, taken out of its object: nothing else in it means anything before that is known."""
    _typed(dict, content, "", NO_RULE)
    _check_keys(content, content, ["schema"], "")
    return int(_checked(int, content.pop("schema"), "schema", NO_RULE))


def decode(kind: type[T], value: object, place: str = "") -> T:
    """The value as an object of a dataclass. A whole number stays one where any is wanted: written again it is the
    same text."""
    decoded: T = _decoded(kind, value, place, NO_RULE)
    return decoded


def _decoded(kind: Any, value: Any, place: str, of: FieldRule) -> Any:
    origin, args = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if is_dataclass(kind):
        return _object(kind, value, place)
    if origin in (Union, UnionType):
        return None if value is None else _decoded(args[0], value, place, of)
    if origin is tuple:
        items = enumerate(_typed(list, value, place, of))
        return tuple(_decoded(args[0], item, f"{place}[{at}]", of) for at, item in items)
    if origin is not None:  # a mapping
        _check_keys(_typed(dict, value, place, NO_RULE), of.keys or value, of.keys, place)
        names = FieldRule(path=of.path)
        return {_checked(str, k, k, names): _decoded(args[1], item, _at(place, k), of) for k, item in value.items()}
    return _checked(kind, value, place, of)


def _object(kind: Any, value: Any, place: str) -> Any:
    _typed(dict, value, place, NO_RULE)
    keys, lacking, of = {}, [], _fields(kind)
    for name, (_, rules) in of.items():
        key = rules.key(value) if rules.key else name
        keys[key] = name
        lacking += [key] if not rules.absent else []
    _check_keys(value, keys, lacking, place)
    return kind(
        **{
            keys[key]: _decoded(of[keys[key]][0], item, _at(place, key), of[keys[key]][1])
            for key, item in value.items()
        }
    )


@lru_cache(maxsize=64)
def _fields(kind: Any) -> dict[str, tuple[Any, FieldRule]]:
    hints = get_type_hints(kind)
    return {some.name: (hints[some.name], some.metadata.get("rule", NO_RULE)) for some in fields(kind)}


def _check_keys(found: Mapping[str, Any], known: Collection[str], needed: Collection[str], place: str) -> None:
    for key in found:
        if key not in known:
            what = f"is not a key{_meant(key, known)}, expected some of {', '.join(known)}"
            raise Fault(_at(place, key), what)
    lacking = [key for key in needed if key not in found]
    if lacking:
        raise Fault(place, f"lacks {', '.join(lacking)}")


def _typed(kind: Any, value: Any, place: str, of: FieldRule) -> Any:
    right = isinstance(value, (int, float) if kind is float else kind) and isinstance(value, bool) == (kind is bool)
    if not right or (of.filled and value in ("", [])):
        raise Fault(place, f"is {_kind_of(value)}, expected {of.wanted(kind)}")
    return value


def _checked(kind: Any, value: Any, place: str, of: FieldRule) -> Any:
    _typed(kind, value, place, of)
    if kind is str:
        _check_text(value, place, of)
    elif not of.low <= value <= of.high or (of.above and value == of.low):  # NaN is not either
        hint = "; is it in another unit?" if of.unit else ""
        raise Fault(place, f"is {str(value)[:80]}, expected {of.wanted(kind)}{hint}", of.code)
    return value


def _check_text(text: str, place: str, of: FieldRule) -> None:
    if of.path and not PATH.fullmatch(text):
        expected = "expected plain names of letters, digits, . _ - joined by /"
        raise Fault("", f"path {text[:80]!r}, {expected}", _path_code(text))
    if of.choices and text not in of.choices:
        what = f"is {text[:80]!r}, expected one of {', '.join(of.choices)}{_meant(text, of.choices)}"
        raise Fault(place, what, of.code)
    if of.pattern and not re.fullmatch(of.pattern, text, re.ASCII):
        raise Fault(place, f"is {text[:80]!r}, expected {of.expected}", of.code)


def _kind_of(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return f"the text {value[:80]!r}"
    return (
        KINDS[type(value)] + ("" if value else " that is empty") if isinstance(value, list | dict) else str(value)[:80]
    )


def _short(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


def _at(place: str, key: str) -> str:
    return f"{place}.{key[:80]}" if place else key[:80]


def _meant(word: str, known: Collection[str]) -> str:
    import difflib

    close = difflib.get_close_matches(word[:80], known, n=1, cutoff=0.5)
    return f" (did you mean {close[0]}?)" if close else ""


def encode(value: Any) -> Any:
    """The same as objects and lists, ready for JSON, in the order of the fields."""
    if is_dataclass(value):
        content: dict[str, Any] = {}
        for some in fields(value):
            now, of = getattr(value, some.name), some.metadata.get("rule", NO_RULE)
            if not (of.absent and now == some.default):
                content[of.key(content) if of.key else some.name] = encode(now)
        return content
    if isinstance(value, Mapping):
        return {name: encode(item) for name, item in value.items()}
    return [encode(item) for item in value] if isinstance(value, tuple | list) else value


def _path_code(path: str) -> str:
    """What is wrong with a path that is not plain."""
    parts = re.split(r"[/\\]", path)
    if path[:1] in ("/", "\\") or path[1:2] == ":":
        return "path-absolute"
    if ".." in parts:
        return "path-outside"
    return "path-hidden" if any(part.startswith(".") for part in parts) else "path-odd"
