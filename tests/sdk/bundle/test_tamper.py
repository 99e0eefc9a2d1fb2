"""Tampering, by the list of the reliability anchors: whatever is done to a signed bundle, it is refused, with a code of
its own for each attack, and before a byte of it reaches what parses graphs.

An attack on what is inside the manifest or a graph is made by somebody who holds the key: else the signature alone
would refuse all of them alike.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import codriver.engines.ort
from codriver.bundle.folder import Bundle
from codriver.bundle.manifest_json import read_manifest
from codriver.bundle.signature import Signed, read_signature
from codriver.errors import CodriverError
from codriver.perceiver import Perceiver
from tests import ROOT
from tests.tiny import make_tiny_bundle, tiny_encoder
from workshop.bundle_writer import seal
from workshop.signing import new_key, sign_bundle, signature_json

pytest.importorskip("cryptography")
GRAPH = "ort-x86-7bit/encoder.onnx"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ours", "theirs"):
        new_key(folder / name)
    return folder


@pytest.fixture(scope="module")
def signed_path(keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny signed bundle of version 5, without golden vectors. Read only."""
    path = make_tiny_bundle(tmp_path_factory.mktemp("signed") / "b", golden=False, version=5)
    sign_bundle(path, keys / "ours")
    return path


@pytest.fixture
def bundle(signed_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(signed_path, tmp_path / "b"))


class Parsers:
    """What reached a parser of graphs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.looked_over: list[bytes] = []
        self.loaded: list[bytes] = []
        check, session = codriver.engines.ort.check_graph, onnxruntime.InferenceSession

        def spy_check(graph: bytes) -> None:
            self.looked_over.append(graph)
            check(graph)

        def spy_session(graph: bytes, *rest: Any, **more: Any) -> Any:
            self.loaded.append(graph)
            return session(graph, *rest, **more)

        monkeypatch.setattr(codriver.engines.ort, "check_graph", spy_check)
        monkeypatch.setattr(onnxruntime, "InferenceSession", spy_session)


@pytest.fixture
def parsers(monkeypatch: pytest.MonkeyPatch) -> Parsers:
    return Parsers(monkeypatch)


def refusal(bundle: Path, keys: Path, **options: Any) -> str:
    """The code with which the bundle is refused. Anything but an error of ours would be a failure."""
    options = {"trusted_key": keys / "ours.pub", "min_version": 5, "variant": "ort-x86-7bit", "threads": 1} | options
    with pytest.raises(CodriverError) as refused:
        Perceiver.open(bundle, **options).close()
    assert str(refused.value)
    return refused.value.code


def test_the_bundle_opens_as_long_as_nobody_touches_it(bundle: Path, keys: Path, parsers: Parsers) -> None:
    with Perceiver.open(bundle, trusted_key=keys / "ours.pub", min_version=5, variant="ort-x86-7bit", threads=1):
        pass
    graphs = (GRAPH, "ort-x86-7bit/fuser.onnx", "ort-x86-7bit/finder.onnx")
    files = [(bundle / name).read_bytes() for name in graphs]
    assert parsers.looked_over == parsers.loaded == files


def test_a_thousand_flipped_bits_are_refused(bundle: Path, keys: Path, parsers: Parsers) -> None:
    picker = random.Random(0)
    paths = sorted(path for path in bundle.rglob("*") if path.is_file())
    contents = {path: path.read_bytes() for path in paths}
    for _ in range(1000):
        path = picker.choice(paths)  # each file alike: by size, hardly any flip would hit the small ones
        flipped = bytearray(contents[path])
        flipped[picker.randrange(len(flipped))] ^= 1 << picker.randrange(8)
        path.write_bytes(flipped)
        refusal(bundle, keys)
        path.write_bytes(contents[path])
    assert not parsers.looked_over and not parsers.loaded


def test_64_truncations_are_refused(bundle: Path, keys: Path, parsers: Parsers) -> None:
    picker = random.Random(0)
    paths = sorted(path for path in bundle.rglob("*") if path.is_file())
    for number in range(64):
        path = paths[number % len(paths)]
        content = path.read_bytes()
        path.write_bytes(content[: picker.randrange(len(content))])
        refusal(bundle, keys)
        path.write_bytes(content)
    assert not parsers.looked_over and not parsers.loaded


# What is done to the folder by somebody who has no key.


def link_out(path: Path, make: Callable[[Path, Path], None]) -> None:
    outside = path.parent.parent.parent / "outside"
    path.rename(outside)
    make(path, outside)


def swap(bundle: Path) -> None:
    one, other = bundle / "ort-x86/encoder.onnx", bundle / GRAPH
    first, second = one.read_bytes(), other.read_bytes()
    assert len(first) == len(second) and first != second
    one.write_bytes(second)
    other.write_bytes(first)


def sign_with(name: str) -> Callable[[Path, Path], object]:
    return lambda bundle, keys: sign_bundle(bundle, keys / name)


def claim_our_key(bundle: Path, keys: Path) -> None:
    """Their signature under our name."""
    ours = read_signature(bundle).public_key
    sign_bundle(bundle, keys / "theirs")
    (bundle / "signature.json").write_bytes(signature_json(Signed(ours, read_signature(bundle).signature)))


FROM_OUTSIDE: dict[str, tuple[str, Callable[[Path, Path], object]]] = {
    "a file is missing": ("file-missing", lambda b, k: (b / "card.md").unlink()),
    "a file too many": ("file-not-listed", lambda b, k: (b / "more.onnx").write_bytes(b"x")),
    "a hidden file": ("file-hidden", lambda b, k: ((b / ".git").mkdir(), (b / ".git/config").write_text("x"))),
    "two files swapped": ("file-swapped", lambda b, k: swap(b)),
    "a file changed": ("file-changed", lambda b, k: (b / "card.md").write_bytes((b / "card.md").read_bytes().upper())),
    "a file longer": ("file-size", lambda b, k: (b / "card.md").write_bytes((b / "card.md").read_bytes() + b"x")),
    "a symbolic link": ("file-is-link", lambda b, k: link_out(b / GRAPH, lambda p, o: p.symlink_to(o))),
    "a hard link": ("file-hard-linked", lambda b, k: link_out(b / GRAPH, lambda p, o: os.link(o, p))),
    "another's key": ("signature-other-key", sign_with("theirs")),
    "no signature": ("signature-missing", lambda b, k: (b / "signature.json").unlink()),
    "another form of signature": (
        "signature-malformed",
        lambda b, k: (b / "signature.json").write_bytes((b / "signature.json").read_bytes().strip()),
    ),
    "another's signature under our key": ("signature-wrong", claim_our_key),
    "a manifest over a mebibyte": (
        "manifest-too-big",
        lambda b, k: (b / "manifest.json").write_bytes((b / "manifest.json").read_bytes() + b" " * (1 << 20)),
    ),
}


@pytest.mark.parametrize("attack", FROM_OUTSIDE)
def test_from_outside(bundle: Path, keys: Path, parsers: Parsers, attack: str) -> None:
    code, change = FROM_OUTSIDE[attack]
    change(bundle, keys)
    assert refusal(bundle, keys) == code
    assert not parsers.looked_over and not parsers.loaded


def test_a_key_that_is_not_the_pinned_one(bundle: Path, keys: Path, parsers: Parsers, tmp_path: Path) -> None:
    pinned = new_key(tmp_path / "pinned")
    assert refusal(bundle, keys, trusted_key=pinned) == "key-not-pinned"
    assert not parsers.looked_over and not parsers.loaded


def test_an_older_bundle(bundle: Path, keys: Path, parsers: Parsers) -> None:
    assert refusal(bundle, keys, min_version=6) == "version-too-old"
    assert not parsers.looked_over and not parsers.loaded


def test_a_bundle_for_another_machine(keys: Path, tmp_path: Path, parsers: Parsers) -> None:
    draft = read_manifest(make_tiny_bundle(tmp_path / "draft", golden=False))
    needs = tuple(replace(variant, requires=("abacus",)) for variant in draft.variants)
    path = make_tiny_bundle(tmp_path / "b", golden=False, variants=needs)
    sign_bundle(path, keys / "ours")
    assert refusal(path, keys, variant=None, min_version=0) == "other-target"
    assert not parsers.looked_over and not parsers.loaded


def test_a_file_that_changes_between_check_and_use(bundle: Path, keys: Path, parsers: Parsers) -> None:
    opened = Bundle.open(bundle, trusted_key=keys / "ours.pub")
    content = bytearray((bundle / GRAPH).read_bytes())
    content[-1] ^= 1
    (bundle / GRAPH).write_bytes(content)
    with pytest.raises(CodriverError) as refused:
        opened.read(GRAPH)
    assert refused.value.code == "changed-since-check"
    assert not parsers.looked_over and not parsers.loaded


# What somebody writes into the manifest who holds the key.


def forge(bundle: Path, keys: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest and sign it, however wrong it is by now."""
    content = json.loads((bundle / "manifest.json").read_bytes())
    change(content)
    resign(bundle, keys, (json.dumps(content, indent=1) + "\n").encode())


def resign(bundle: Path, keys: Path, data: bytes) -> None:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key: Any = load_pem_private_key((keys / "ours").read_bytes(), None)
    (bundle / "manifest.json").write_bytes(data)
    signed = Signed(key.public_key().public_bytes_raw(), key.sign(data))
    (bundle / "signature.json").write_bytes(signature_json(signed))


def rename(path: str) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["files"].update({path: content["files"].pop("card.md")})


IN_THE_MANIFEST: dict[str, tuple[str, Callable[[dict[str, Any]], object]]] = {
    "a path that leads out": ("path-outside", rename("a/../../card.md")),
    "an absolute path": ("path-absolute", rename("/etc/passwd")),
    "a hidden path": ("path-hidden", rename(".git/config")),
    "a path that Windows reads otherwise": ("path-odd", rename("card.md:stream")),
    "names that differ in case": ("path-case-clash", lambda c: c["files"].update({"CARD.md": c["files"]["card.md"]})),
    "a file of three gibibytes": ("file-too-big", lambda c: c["files"]["card.md"].update(bytes=3 << 30)),
    "another runtime": ("other-engine", lambda c: c["variants"][0].update(engine="abacus")),
    "another schema": ("manifest-schema", lambda c: c.update(schema=99)),
    "what nobody knows": ("manifest-invalid", lambda c: c.update(hook="rm -rf")),
    "another seed under the same id": ("manifest-changed", lambda c: c.update(seed=9)),
}


@pytest.mark.parametrize("attack", IN_THE_MANIFEST)
def test_in_the_manifest(bundle: Path, keys: Path, parsers: Parsers, attack: str) -> None:
    code, change = IN_THE_MANIFEST[attack]
    forge(bundle, keys, change)
    assert refusal(bundle, keys) == code
    assert not parsers.looked_over and not parsers.loaded


@pytest.mark.parametrize(
    ("code", "old", "new"),
    [
        ("manifest-key-twice", b' "seed": 0,', b' "seed": 0,\n "seed": 0,'),
        ("manifest-not-json", b' "seed": 0,', b' "seed": NaN,'),
    ],
)
def test_in_the_text_of_the_manifest(
    bundle: Path, keys: Path, parsers: Parsers, code: str, old: bytes, new: bytes
) -> None:
    resign(bundle, keys, (bundle / "manifest.json").read_bytes().replace(old, new))
    assert refusal(bundle, keys) == code
    assert not parsers.looked_over and not parsers.loaded


# What somebody puts into a graph who holds the key: it is looked over, and the runtime never sees it.


def external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def nested(model: onnx.ModelProto) -> None:
    graph = helper.make_graph([], "inner", [], [])
    model.graph.node.append(helper.make_node("If", ["x"], ["y"], then_branch=graph, else_branch=graph))


def function(model: onnx.ModelProto) -> None:
    opset = helper.make_opsetid("", 17)
    model.functions.append(helper.make_function("", "Relu", ["x"], ["y"], [], [opset]))


def foreign(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "com.evil"


def huge(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [1 << 40, 1 << 20]


def scale(value: float) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        for name, values in (("s", np.float32(value)), ("z", np.uint8(0))):
            model.graph.initializer.append(numpy_helper.from_array(np.array(values), name))
        model.graph.node.append(helper.make_node("QuantizeLinear", ["incar", "s", "z"], ["q"]))

    return change


def operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "RandomNormal"


def newer(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 99


IN_A_GRAPH: dict[str, tuple[str, Callable[[onnx.ModelProto], object]]] = {
    "data in another file": ("graph-external-data", external),
    "another library's operator": ("graph-foreign-domain", foreign),
    "a graph in the graph": ("graph-nested", nested),
    "a function": ("graph-nested", function),
    "a tensor without end": ("graph-too-big", huge),
    "a scale that is no number": ("graph-not-a-number", scale(float("nan"))),
    "a scale of zero": ("graph-not-a-number", scale(0.0)),
    "an operator that we do not use": ("graph-operator", operator),
    "operators of the future": ("graph-version", newer),
    "sparse weights": ("graph-unknown-part", lambda m: m.graph.sparse_initializer.add()),
    "weights missing": ("graph-malformed", lambda m: m.graph.initializer[0].ClearField("raw_data")),
}


@pytest.mark.parametrize("attack", IN_A_GRAPH)
def test_in_a_graph(bundle: Path, keys: Path, parsers: Parsers, attack: str) -> None:
    code, change = IN_A_GRAPH[attack]
    manifest = read_manifest(bundle)
    model = tiny_encoder(manifest)
    change(model)
    (bundle / GRAPH).write_bytes(model.SerializeToString())
    seal(bundle, manifest)
    sign_bundle(bundle, keys / "ours")
    assert refusal(bundle, keys) == code
    assert parsers.looked_over and not parsers.loaded


def test_each_kind_of_attack_has_a_code_of_its_own_and_the_docs_tell_all_of_them() -> None:
    told = set(re.findall(r"^\| `([a-z-]+)` \|", (ROOT / "docs/trust.md").read_text(), re.MULTILINE))
    tables = (FROM_OUTSIDE, IN_THE_MANIFEST, IN_A_GRAPH)
    tried = [code for table in tables for code, _ in table.values()]
    tried = [code for code in tried if tried.count(code) == 1] + ["graph-nested", "graph-not-a-number"]
    others = {"key-not-pinned", "version-too-old", "other-target", "changed-since-check"}
    assert len({*tried, *others}) == len(tried) + len(others) >= 24
    assert {*tried, *others} <= told
    source = "".join(path.read_text() for path in (ROOT / "sdk/codriver").rglob("*.py"))
    pattern = r'"((?:manifest|file|path|signature|key|graph|version|changed|other)-[a-z-]+)"'
    assert set(re.findall(pattern, source)) <= told
