"""manifest.json is read strictly, and says the same after being written again."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from codriver.bundle.manifest import FinderSpec
from codriver.bundle.manifest_json import parse_manifest, read_manifest
from codriver.engines.base import Tensor
from codriver.errors import BundleError
from codriver.perceiver import Perceiver
from codriver.percept import DRIVER_PARTS
from codriver.tasks import GROUPS, STREAMS
from tests.tiny import tiny_manifest

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def data(bundle_path: Path) -> bytes:
    return (bundle_path / "manifest.json").read_bytes()


def test_reading_and_writing_gives_the_same_bytes(data: bytes) -> None:
    assert parse_manifest(data).to_json().encode() == data


def test_the_id_is_the_name_and_a_hash_over_all_else(data: bytes) -> None:
    manifest = parse_manifest(data)
    assert manifest.id.startswith("tiny-") and len(manifest.id) == len("tiny-") + 12
    assert manifest.with_id() == manifest
    assert replace(manifest, seed=1).with_id().id != manifest.id


def test_signatures_follow_from_streams_tasks_and_context(data: bytes) -> None:
    manifest = parse_manifest(data)
    encoder, fuser = manifest.encoder_signature, manifest.fuser_signature
    assert list(encoder.inputs) == [
        *GROUPS,
        *(f"{group}_before" for group in GROUPS),
        *(f"{group}_motion_before" for group in GROUPS),
    ]
    assert list(encoder.outputs) == [f"{group}_{what}" for what in ("feature", "motion", "slot") for group in GROUPS]
    assert encoder.inputs["outside"] == Tensor("uint8", (3, 12, 12, 3))
    assert encoder.inputs["gesture"] == Tensor("float32", (1, 42, 3))
    assert encoder.inputs["outside_before"] == encoder.outputs["outside_feature"] == Tensor("float32", (3, 2, 3, 3))
    assert (
        encoder.inputs["outside_motion_before"] == encoder.outputs["outside_motion"] == encoder.outputs["outside_slot"]
    )
    assert encoder.outputs["outside_slot"] == Tensor("float32", (3, 4, 2, 2))
    assert list(fuser.inputs) == [*(f"{stream}_slot" for stream in STREAMS), "mask"]
    assert fuser.inputs["left_slot"] == Tensor("float32", (1, 16, 4, 2, 2))
    assert fuser.inputs["gesture_slot"] == Tensor("float32", (1, 16, 4, 1, 1))
    assert fuser.inputs["mask"] == Tensor("float32", (1, 8, 16))
    assert fuser.outputs["driver_behavior"] == Tensor("float32", (1, 7))


@pytest.mark.parametrize(
    ("streams", "groups"),
    [
        (("incar", "front"), {"incar": ("incar",), "outside": ("front",)}),
        (("front", "right"), {"outside": ("front", "right")}),
        (("incar", "left", "body"), {"incar": ("incar",), "outside": ("left",), "body": ("body",)}),
    ],
)
def test_a_group_holds_those_of_its_members_that_are_there(
    streams: tuple[str, ...], groups: dict[str, tuple[str, ...]]
) -> None:
    manifest = tiny_manifest(streams)
    assert {group: tuple(m.name for m in members) for group, members in manifest.groups.items()} == groups
    for group, members in groups.items():
        assert manifest.encoder_signature.inputs[group].shape[0] == len(members)
        assert manifest.encoder_signature.outputs[f"{group}_slot"].shape[0] == len(members)


def put(*keys: Any) -> Change:
    """A change that sets the value at keys[:-1] to keys[-1]."""

    def change(content: dict[str, Any]) -> None:
        place: Any = content
        for key in keys[:-2]:
            place = place[key]
        place[keys[-2]] = keys[-1]

    return change


def rename_file(path: str) -> Change:
    return lambda content: content["files"].update({path: content["files"].pop("card.md")})


REFUSED: dict[str, tuple[Change, str]] = {
    "newer schema": (put("schema", 6), "schema 6, this codriver reads 3 to 5; update codriver"),
    "older schema": (put("schema", 2), "schema 2, this codriver reads 3 to 5; rebuild the bundle"),
    "schema of another type": (put("schema", "1"), "schema is the text '1', expected a whole number"),
    "schema as truth": (put("schema", True), "schema is true, expected a whole number"),
    "missing key": (lambda c: c.pop("seed"), "lacks seed"),
    "unknown key": (put("surprise", 1), "surprise is not a key, expected some of id, name"),
    "unknown key further in": (
        put("context", "surprise", 1),
        "context.surprise is not a key, expected some of slots, slot_s",
    ),
    "missing key further in": (
        lambda c: c["streams"][1].pop("feature"),
        r"streams\[1\] lacks feature",
    ),
    "list for object": (put("context", []), "context is a list that is empty, expected an object"),
    "object for list": (put("tasks", {}), "tasks is an object that is empty, expected a list"),
    "fraction for whole": (put("context", "slots", 16.5), "slots is 16.5, expected a whole number from 1 to 256"),
    "null for text": (put("name", None), "name is null, expected a text"),
    "text in shape": (
        put("streams", 0, "feature", ["2"]),
        r"streams\[0\].feature\[0\] is the text '2', expected a whole number",
    ),
    "no shape": (put("streams", 0, "feature", []), "stream incar has feature"),
    "negative shape": (put("streams", 0, "feature", [-2, -3]), "stream incar has feature"),
    "huge shape": (put("streams", 0, "feature", [1 << 40]), "stream incar has feature"),
    "huge image": (
        put("streams", 0, "size_px", 1 << 20),
        r"streams\[0\].size_px is 1048576, expected a whole number from 1 to 4096",
    ),
    "other points": (put("streams", 6, "points", 17), "posture has 17 points, expected 26"),
    "joints as image": (
        lambda c: c["streams"][6].update(kind="image", size_px=c["streams"][6].pop("points")),
        "posture",
    ),
    "no slot shape": (put("streams", 0, "slot", []), "stream incar has slot"),
    "huge slot": (put("streams", 0, "slot", [1 << 40]), "stream incar has slot"),
    "sizes differ in a group": (put("streams", 2, "size_px", 13), "front, left, right of group outside differ"),
    "features differ in a group": (put("streams", 3, "feature", [9]), "of group outside differ in shape"),
    "slots differ in a group": (put("streams", 1, "slot", [9]), "of group outside differ in shape"),
    "unknown stream": (put("streams", 0, "name", "roof"), "streams roof, front"),
    "streams out of order": (lambda c: c["streams"].reverse(), "expected, in order, of incar, front"),
    "no stream": (put("streams", []), "no stream is a view"),
    "crop without its view": (lambda c: c["streams"].pop(0), "crops or joints without incar"),
    "no task": (put("tasks", []), "streams without tasks"),
    "task twice": (lambda c: c["tasks"].append(c["tasks"][0]), "task driver_emotion is there more than once"),
    "unknown task": (put("tasks", 0, "name", "weather"), "task weather is not one of aide's"),
    "labels out of order": (lambda c: c["tasks"][0]["labels"].reverse(), "driver_emotion has other labels"),
    "other kind": (put("tasks", 0, "kind", "depth"), "kind is 'depth', expected one of classification"),
    "no view needed": (put("tasks", 0, "needs_any", []), "driver_emotion needs no view"),
    "needs a crop": (put("tasks", 0, "needs_any", ["face"]), "needs face, which is not among the streams"),
    "other colour": (put("color", "yuv"), "color is 'yuv', expected one of bgr, rgb"),
    "other engine": (
        put("variants", 0, "engine", "abacus"),
        "engine is 'abacus', expected one of onnxruntime, openvino",
    ),
    "no slots": (put("context", "slots", 0), "slots is 0, expected a whole number from 1 to 256"),
    "no time between slots": (put("context", "slot_s", 0), "slot_s is 0, expected a number above 0 to 60"),
    "tolerance over a slot": (put("context", "tolerance_s", 0.3), "tolerance_s is 0.3"),
    "no rate": (put("context", "max_rate_hz", -1), "max_rate_hz is -1"),
    "share over one": (put("context", "min_context", 1.5), "min_context is 1.5"),
    "no temperature": (put("tasks", 0, "temperature", 0), "temperature is 0, expected a number from 0.01 to 100"),
    "never known": (put("tasks", 0, "unknown_below", 1.5), "unknown_below is 1.5, expected a number from 0 to 1"),
    "held for ever": (put("tasks", 0, "hold_s", 60), "driver_emotion: hold_s is 60, expected 0 to 3.1"),
    "reserved label": (
        lambda c: (c.update(task_set="mine"), c["tasks"][0]["labels"].append("unknown")),
        "driver_emotion has a label 'unknown'",
    ),
    "no policy": (lambda c: c.pop("policy"), "lacks policy"),
    "pairs backwards": (
        put("policy", "timing", "pair_s", -1),
        "policy.timing.pair_s is -1, expected a number from 0",
    ),
    "unknown limit": (put("policy", "timing", "luck", 1), "timing.luck is not a key"),
    "health of a crop": (put("policy", "health", {"face": {}}), "policy.health.face lacks late_s"),
    "masks what is no fault": (put("policy", "masked", ["late"]), r"masked\[0\] is 'late', expected one of lost"),
    "no variant": (put("variants", []), "variants is a list that is empty, expected a list that is not empty"),
    "variant twice": (put("variants", 1, "name", "ort-x86"), "variant ort-x86 is there more than once"),
    "graph not listed": (put("variants", 0, "encoder", "other.onnx"), "other.onnx is used but not listed"),
    "golden not listed": (put("golden", "other.json"), "other.json is used but not listed"),
    "graph outside": (put("variants", 0, "encoder", "../encoder.onnx"), r"path '\.\./encoder.onnx'"),
    "golden outside": (put("golden", "/golden.json"), "path '/golden.json'"),
    "file absolute": (rename_file("/etc/passwd"), "path '/etc/passwd', expected plain names"),
    "file above": (rename_file("a/../../b"), r"path 'a/\.\./\.\./b'"),
    "file with backslash": (rename_file("a\\b"), "path"),
    "file with drive": (rename_file("c:b"), "path 'c:b'"),
    "file hidden": (rename_file(".git/config"), "path '.git/config'"),
    "file with empty part": (rename_file("a//b"), "path 'a//b'"),
    "file with zero": (rename_file("a\0b"), "path"),
    "file with newline": (rename_file("a\n"), "path"),
    "case clash": (
        put("files", "CARD.md", {"sha256": "0" * 64, "bytes": 1}),
        "card.md is there more than once",
    ),
    "manifest lists itself": (rename_file("manifest.json"), "manifest.json is listed among the files"),
    "hash too short": (put("files", "card.md", "sha256", "abc"), "card.md.sha256 is 'abc', expected 64"),
    "negative size": (put("files", "card.md", "bytes", -1), "card.md.bytes is -1"),
    "huge size": (put("files", "card.md", "bytes", 1 << 40), "card.md"),
    "negative version": (put("version", -1), "version is -1, expected a whole number from 0 to 2147483647"),
    "another version": (put("version", 7), "changed since"),
    "another seed": (put("seed", 1), "changed since tiny-[0-9a-f]{12} was made"),
    "another metric": (put("metrics", {"accuracy": 1.0}), "changed since"),
    "another id": (put("id", "tiny-000000000000"), "changed since"),
    "name with spaces": (put("name", "my bundle"), "name is 'my bundle'"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_a_manifest_is_refused_for(fault: str, data: bytes) -> None:
    change, message = REFUSED[fault]
    content = json.loads(data)
    change(content)
    with pytest.raises(BundleError, match=message) as refusal:
        parse_manifest((json.dumps(content, indent=1) + "\n").encode())
    assert str(refusal.value).startswith("manifest.json") and refusal.value.code != "bundle"


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "1", '"x"', "{}", "\xff", "[" * 100_000, '{"schema": 1e999}', '{"schema": NaN}',
     '{"schema": ' + "9" * 5000 + "}", '{"schema": 3, "schema": 3}'],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_what_is_no_manifest_at_all_is_refused(text: str) -> None:
    with pytest.raises(BundleError, match=r"manifest\.json"):
        parse_manifest(text.encode("latin-1"))


def test_every_truncation_is_refused(data: bytes) -> None:
    for length in range(0, len(data), 97):
        with pytest.raises(BundleError, match=r"manifest\.json"):
            parse_manifest(data[:length])


def test_every_flipped_bit_is_refused(data: bytes) -> None:
    picker = random.Random(0)
    for place in picker.sample(range(len(data)), 150):
        changed = bytearray(data)
        changed[place] ^= 1 << picker.randrange(8)
        with pytest.raises(BundleError, match=r"manifest\.json"):
            parse_manifest(bytes(changed))


def test_a_key_given_twice_is_refused(data: bytes) -> None:
    twice = data.replace(b' "seed": 0,', b' "seed": 1,\n "seed": 0,')
    assert twice != data
    with pytest.raises(BundleError, match="key 'seed' is there more than once"):
        parse_manifest(twice)


def test_numbers_that_json_cannot_hold_are_refused_among_the_free_values(data: bytes) -> None:
    with pytest.raises(BundleError, match="changed since"):
        parse_manifest(data.replace(b'"metrics": {}', b'"metrics": {"a": 1e999}'))
    with pytest.raises(BundleError, match="not JSON"):
        parse_manifest(data.replace(b'"metrics": {}', b'"metrics": {"a": Infinity}'))


def test_a_manifest_over_a_mebibyte_is_not_parsed(own_bundle_path: Path) -> None:
    (own_bundle_path / "manifest.json").write_bytes(b" " * ((1 << 20) + 1))
    with pytest.raises(BundleError, match="over 1048576 bytes"):
        read_manifest(own_bundle_path)


def test_a_folder_without_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such file, so this is not a bundle"):
        Perceiver.open(tmp_path)


def test_a_path_that_is_not_there_or_a_file_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="found nothing, expected the folder of a bundle"):
        Perceiver.open(tmp_path / "missing")
    (tmp_path / "file").write_text("x")
    with pytest.raises(BundleError, match="found a file"):
        Perceiver.open(tmp_path / "file")


def test_a_manifest_that_is_a_link_is_refused(own_bundle_path: Path, tmp_path: Path) -> None:
    (own_bundle_path / "manifest.json").rename(tmp_path / "elsewhere.json")
    (own_bundle_path / "manifest.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(BundleError, match=r"manifest\.json"):
        read_manifest(own_bundle_path)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="the way digits are limited is new there")
def test_a_number_of_a_million_digits_is_refused_quickly() -> None:
    with pytest.raises(BundleError, match="not JSON"):
        parse_manifest(b'{"schema": ' + b"1" * 1_000_000 + b"}")


def test_a_finder_is_read_with_its_graphs(data: bytes) -> None:
    found = parse_manifest(data)
    assert found.finder == tiny_manifest().finder and found.variants[0].paths[2] == "ort-x86/finder.onnx"
    assert list(found.signature_of("finder").outputs) == ["x", "y", "presence"]


def test_a_finder_that_says_nothing_of_hands_looks_for_them_as_those_of_before_did(data: bytes) -> None:
    assert b"gesture" not in json.dumps(json.loads(data)["finder"]).encode()
    before = parse_manifest(data)
    assert before.finder.parts == DRIVER_PARTS and before.signature_of("finder").outputs["x"].shape == (1, 72, 192)
    without = parse_manifest(replace(before, finder=FinderSpec(gesture=False)).with_id().to_json().encode())
    assert without.finder.parts == ("face", "body", "posture")
    assert without.signature_of("finder").outputs["y"].shape == (1, 30, 108)
    assert json.loads(without.to_json())["finder"]["gesture"] is False


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.pop("finder"), "has a finder, the bundle declares no finder"),
        (
            lambda content: content["variants"][1].pop("finder"),
            "ort-x86-7bit has no finder, the bundle declares a finder",
        ),
        (lambda content: content["finder"].update(every_s=11), "every_s is 11, expected a number from 0 to 10"),
        (lambda content: content["finder"].update(sure=1.5), "sure is 1.5, expected a number from 0 to 1"),
        (lambda content: content["finder"].update(mirrored="yes"), "mirrored is"),
    ],
)
def test_a_finder_that_cannot_be_meant_is_refused(data: bytes, change: Change, message: str) -> None:
    content = json.loads(data)
    change(content)
    with pytest.raises(BundleError, match=message):
        parse_manifest(json.dumps(content).encode())
