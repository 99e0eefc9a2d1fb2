"""What a file says becomes a dataclass whole, or is refused with its place, what it is and what was expected."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from codriver.files.decode import Fault, decode, encode, from_json, rule


def size_key(content: Mapping[str, Any]) -> str:
    return "size_px" if content.get("kind") == "image" else "points"


@dataclass(frozen=True, kw_only=True)
class Part:
    kind: str = rule(choices=("image", "joints"))
    size: int = rule(low=1, high=9, key=size_key)


@dataclass(frozen=True, kw_only=True)
class Whole:
    name: str = rule(pattern="[a-z]+", expected="letters", code="odd-name")
    rate_hz: float = rule(15.0, low=0, high=60, above=True, unit="hertz")
    parts: tuple[Part, ...] = rule(filled=True)
    note: str | None
    files: Mapping[str, int] = rule(path=True)
    shares: Mapping[str, float] = rule(keys=("left", "right"), low=0, high=1)
    free: Mapping[str, Any]
    extra: tuple[str, ...] = rule((), absent=True)
    on: bool = False


TEXT = """{"name": "a", "rate_hz": 15, "parts": [{"kind": "image", "size_px": 4}, {"kind": "joints", "points": 2}],
 "note": null, "files": {"a/b.c": 1}, "shares": {"left": 0.5, "right": 1}, "free": {"x": [1, {}]}, "on": true}"""


def content(**changes: Any) -> dict[str, Any]:
    return json.loads(TEXT) | changes


def test_what_was_read_is_written_again_as_it_was() -> None:
    whole = decode(Whole, from_json(TEXT.encode()))
    assert [part.size for part in whole.parts] == [4, 2] and whole.extra == ()
    assert json.dumps(encode(whole)) == json.dumps(json.loads(TEXT))  # 15 stays 15, and what was absent stays so
    assert encode(decode(Whole, content(extra=["e"])))["extra"] == ["e"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "A"}, "name is 'A', expected letters"),
        ({"name": 5}, "name is 5, expected a text"),
        ({"on": 1}, "on is 1, expected true or false"),
        ({"rate_hz": True}, "rate_hz is true, expected a number of hertz above 0 to 60"),
        ({"rate_hz": 0}, "rate_hz is 0, expected a number of hertz above 0 to 60; is it in another unit?"),
        ({"rate_hz": float("nan")}, "rate_hz is nan, expected a number of hertz above 0 to 60; is it in another unit?"),
        (
            {"rate_hz": 10**400},
            f"rate_hz is 1{'0' * 79}, expected a number of hertz above 0 to 60; is it in another unit?",
        ),
        ({"parts": []}, "parts is a list that is empty, expected a list that is not empty"),
        ({"parts": {}}, "parts is an object that is empty, expected a list that is not empty"),
        ({"parts": [{"kind": "imge"}]}, "parts[0] lacks points"),
        (
            {"parts": [{"kind": "imge", "points": 1}]},
            "parts[0].kind is 'imge', expected one of image, joints (did you mean image?)",
        ),
        (
            {"parts": [{"kind": "image", "points": 1}]},
            "parts[0].points is not a key, expected some of kind, size_px",
        ),
        (
            {"parts": [{"kind": "image", "size_px": 1.0}]},
            "parts[0].size_px is 1.0, expected a whole number from 1 to 9",
        ),
        ({"files": {"../x": 1}}, "path '../x', expected plain names of letters, digits, . _ - joined by /"),
        ({"files": {"x": "1"}}, "files.x is the text '1', expected a whole number"),
        ({"shares": {"left": 1}}, "shares lacks right"),
        ({"shares": {"left": 1, "right": 2}}, "shares.right is 2, expected a number from 0 to 1"),
        ({"free": []}, "free is a list that is empty, expected an object"),
        ({"nmae": 1}, "nmae is not a key (did you mean name?), expected some of name, rate_hz, parts, note, files"),
    ],
)
def test_what_does_not_fit_is_a_fault_that_says_where_what_and_what_else(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(Fault) as fault:
        decode(Whole, content(**changes))
    assert str(fault.value).startswith(said)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"name": "A"}, "odd-name"),
        ({"name": 5}, ""),
        ({"files": {"/x": 1}}, "path-absolute"),
        ({"files": {"c:x": 1}}, "path-absolute"),
        ({"files": {"a/../x": 1}}, "path-outside"),
        ({"files": {"a/.x": 1}}, "path-hidden"),
        ({"files": {"a\n": 1}}, "path-odd"),
    ],
)
def test_a_fault_has_the_code_of_the_rule_that_was_broken(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(Fault) as fault:
        decode(Whole, content(**changes))
    assert fault.value.code == code


@pytest.mark.parametrize("missing", ["name", "rate_hz", "parts", "note", "files", "shares", "free", "on"])
def test_a_default_is_for_programs_and_a_file_says_everything(missing: str) -> None:
    whole = content()
    del whole[missing]
    with pytest.raises(Fault, match=f"lacks {missing}"):
        decode(Whole, whole)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "manifest-key-twice"),
        (b"[" * 100_000, "manifest-not-json"),
        (b'{"a": NaN}', "manifest-not-json"),
        (b'{"a": -Infinity}', "manifest-not-json"),
        (b"\xff", "manifest-not-json"),
        (b"", "manifest-not-json"),
    ],
)
def test_text_that_is_not_strict_json_is_refused(text: bytes, code: str) -> None:
    with pytest.raises(Fault) as fault:
        from_json(text)
    assert fault.value.code == code
