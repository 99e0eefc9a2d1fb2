"""One command, several targets: what a bundle for a GPU holds, and that its graphs still say the same."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("nncf")

import onnx
from onnx import TensorProto

from codriver.bundle.folder import Bundle
from codriver.bundle.manifest_json import read_manifest
from codriver.errors import BackendMissing
from codriver.perceiver import Perceiver
from quantize.lint import main as lint
from quantize.run import main as quantize
from targets.build import main as build
from targets.packing.pack import pack
from targets.packing.reference_run import rehearse
from targets.profiles.profile import load_profile
from tests.untrained import write_untrained_run
from workshop.quantized_report import QuantizedReport

pytestmark = [pytest.mark.torch, pytest.mark.nncf]
TARGETS = ("x86-no-vnni", "orin-nano-8gb-25w", "agx-orin-64gb-50w", "rtx-4090")


@pytest.fixture(scope="module")
def folder(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles") / "quantized"
    write_untrained_run(out.parent / "run", "tiny", dataset)
    dialects = [word for name in ("fp32", "ort-x86-7bit", "tensorrt") for word in ("--dialect", name)]
    rest = ["--data", str(dataset), "--out", str(out), "--clips", "4", "--golden", "1"]
    assert quantize([str(out.parent / "run"), *rest, *dialects]) == 0
    return out


@pytest.fixture(scope="module")
def bundles(folder: Path) -> Path:
    out = folder.parent / "several"
    assert build([str(folder), *(word for name in TARGETS for word in ("--target", name)), "--out", str(out)]) == 0
    return out


def test_each_target_gets_a_bundle_that_is_whole(bundles: Path) -> None:
    assert sorted(path.name for path in bundles.iterdir()) == sorted(f"{name}.bundle" for name in TARGETS)
    for name in TARGETS:
        bundle = Bundle.open(bundles / f"{name}.bundle")
        profile = json.loads(bundle.read("profile.json"))
        assert bundle.manifest.target == profile["name"] == name and profile["latency_budget_ms"] > 0


def test_a_gpus_bundle_holds_int8_with_fp16_around_it_a_twin_without_int8_and_no_lint(bundles: Path) -> None:
    folder = bundles / "orin-nano-8gb-25w.bundle"
    int8, twin = read_manifest(folder).variants
    assert (int8.name, twin.name, int8.versions) == ("tensorrt", "tensorrt-fp16", ("10.3", "10.16"))
    kinds = {name: types(folder / some.encoder) for name, some in (("int8", int8), ("twin", twin))}
    assert kinds["int8"]["Conv"] == {TensorProto.INT8} and kinds["twin"]["Conv"] == {TensorProto.FLOAT16}
    assert lint([str(folder / int8.encoder), "--dialect", "tensorrt"]) == 0


def types(path: Path) -> dict[str, set[int]]:
    """Operator -> types of the weights that it takes, through DequantizeLinear."""
    graph = onnx.load(path).graph
    constants = {tensor.name: tensor.data_type for tensor in graph.initializer}
    behind = {n.output[0]: constants.get(n.input[0]) for n in graph.node if n.op_type == "DequantizeLinear"}
    found: dict[str, set[int]] = {}
    for node in graph.node:
        if len(node.input) > 1:
            kind = constants.get(node.input[1], behind.get(node.input[1]))
            found.setdefault(node.op_type, set()).add(kind or 0)
    return found


def test_the_build_plan_names_versions_options_and_every_graph_by_its_hash(bundles: Path) -> None:
    folder = bundles / "rtx-4090.bundle"
    plan = json.loads((folder / "build_plan.json").read_text())
    assert plan["race"] == ["tensorrt", "tensorrt-fp16"] and plan["options"]["workspace_mb"] > 0
    assert plan["tensorrt"] and plan["compute_capability"] == "8.9" and len(plan["engines"]) == 4
    for engine in plan["engines"]:
        assert engine["sha256"] == hashlib.sha256((folder / engine["path"]).read_bytes()).hexdigest()


def test_golden_vectors_of_a_runtime_that_is_not_here_are_rehearsed_and_a_wrong_graph_is_found(bundles: Path) -> None:
    folder = bundles / "rtx-4090.bundle"
    int8, twin = read_manifest(folder).variants
    assert all(found.ok for variant in (int8, twin) for found in rehearse(folder, variant))
    mixed = replace(int8, encoder=twin.encoder)  # full precision's features where INT8's answers are expected
    assert max(found.max_abs for found in rehearse(folder, mixed)) > 1e-6


def test_the_twin_has_full_precisions_fuser_and_int8_its_own(folder: Path) -> None:
    """INT8's is made for what INT8's encoder gives; the twin has none of that."""
    packed = pack(folder, load_profile("rtx-4090"), QuantizedReport.read(folder))
    assert [variant.fuser for variant in packed.variants] == ["tensorrt/fuser.onnx", "tensorrt-fp16/fuser.onnx"]
    kinds = [
        {node.op_type for node in onnx.load_from_string(packed.files[variant.fuser]).graph.node}
        for variant in packed.variants
    ]
    assert ["QuantizeLinear" in some for some in kinds] == [True, False]


def test_on_this_machine_a_gpus_bundle_says_what_to_install(bundles: Path) -> None:
    with pytest.raises(BackendMissing, match="tensorrt-fp16 needs tensorrt, not installed here"):
        Perceiver.open(bundles / "rtx-4090.bundle")


def test_a_target_that_fails_does_not_stop_the_others_and_the_exit_code_says_so(
    folder: Path, tmp_path: Path, capsys: Any
) -> None:
    wanted = ["--target", "x86-openvino", "--target", "x86-ort-fp32", "--target", "orin-nano"]
    assert build([str(folder), *wanted, "--out", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert "x86-openvino needs openvino, which was not emitted; run quantize.run with --dialect openvino" in said.err
    assert "target 'orin-nano' is not known; it is one of" in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["x86-ort-fp32.bundle"] and "x86-ort-fp32" in said.out
