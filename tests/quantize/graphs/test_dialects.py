"""Each dialect's graph computes what its fake-quantized torch model computes, and obeys its runtime's rules."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests import ROOT

torch = pytest.importorskip("torch")
pytest.importorskip("nncf")
onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

from onnx import numpy_helper  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from codriver.arrays import Arrays  # noqa: E402
from codriver.engines import open_engine  # noqa: E402
from codriver.engines.base import GraphFiles  # noqa: E402
from codriver.errors import ConfigError, SourceError  # noqa: E402
from quantize.export.fake_quant import load_fake_quant  # noqa: E402
from quantize.graphs.dialects import DIALECTS  # noqa: E402
from quantize.graphs.graphs import ENCODER_INPUTS, ENCODER_OUTPUTS, example_context, example_step  # noqa: E402
from quantize.ptq.calibration import calibration_clips, encoder_steps  # noqa: E402
from quantize.ptq.quantizers import quantizers  # noqa: E402
from quantize.run import main as quantize  # noqa: E402
from quantize.speed import main as speed  # noqa: E402
from quantize.speed import step_of  # noqa: E402
from workshop.aide_splits import read_split  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.nncf, pytest.mark.openvino]
ONNX = [name for name, some in DIALECTS.items() if not some.is_ir]
IR = [name for name, some in DIALECTS.items() if some.is_ir]


@pytest.fixture(scope="module")
def step(quantized: Path, dataset: Path) -> Arrays:
    """One step of a clip: noise that no camera gives would leave the calibrated ranges."""
    model = load_fake_quant(quantized, "fp32").model
    clips = calibration_clips(read_split(dataset, "train"), model, 1, seed=0).clips
    (tensors,) = encoder_steps(model, clips, (5,))
    return {name: tensor.numpy() for name, tensor in zip(ENCODER_INPUTS, tensors, strict=True)}


def in_torch(quantized: Path, dialect: str, step: Arrays) -> dict[str, np.ndarray]:
    encoder = load_fake_quant(quantized, dialect).encoder
    with torch.inference_mode():
        outputs = encoder(*(torch.from_numpy(step[name]) for name in ENCODER_INPUTS))
    return {name: values.numpy() for name, values in zip(ENCODER_OUTPUTS, outputs, strict=True)}


def as_written(quantized: Path, dialect: str, step: Arrays) -> dict[str, np.ndarray]:
    """ONNX Runtime without optimisation: Q/DQ to the letter, in floating point."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(quantized / dialect / "encoder.onnx"), options, ["CPUExecutionProvider"])
    return dict(zip(ENCODER_OUTPUTS, session.run(list(ENCODER_OUTPUTS), step), strict=True))


def apart(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> float:
    """The largest relative difference of an output; a map of which next to nothing is left counts in full."""
    return max(float(np.linalg.norm(first[n] - second[n]) / (np.linalg.norm(second[n]) + 1e-3)) for n in second)


def graph_of(quantized: Path, dialect: str) -> onnx.GraphProto:
    return onnx.load(quantized / dialect / "encoder.onnx").graph


@pytest.mark.parametrize("dialect", ONNX)
def test_the_onnx_graph_is_the_fake_quantized_model(quantized: Path, step: Arrays, dialect: str) -> None:
    assert apart(as_written(quantized, dialect, step), in_torch(quantized, dialect, step)) < 0.02


@pytest.mark.parametrize("dialect", IR)
def test_openvino_computes_what_the_fake_quantized_model_does(quantized: Path, step: Arrays, dialect: str) -> None:
    graph = GraphFiles(*((quantized / dialect / f"encoder.{end}").read_bytes() for end in ("xml", "bin")))
    engine = open_engine("openvino", graph, step_of(quantized, dialect)[1], threads=1)
    assert apart(engine.infer(step), in_torch(quantized, dialect, step)) < 0.02
    engine.close()


def test_int8_is_not_full_precision(quantized: Path, step: Arrays) -> None:
    """Or else the tests above would pass without any quantizer."""
    exact = in_torch(quantized, "fp32", step)
    for dialect in ("ort-x86", "openvino", "tensorrt"):
        assert apart(in_torch(quantized, dialect, step), exact) > 0.001


def test_codes_for_arm_are_signed_and_mean_the_same_numbers(quantized: Path, step: Arrays) -> None:
    first, second = as_written(quantized, "ort-x86", step), as_written(quantized, "ort-arm", step)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
    assert zero_points(quantized, "ort-x86") == {"uint8", "int8"} and zero_points(quantized, "ort-arm") == {"int8"}


def zero_points(quantized: Path, dialect: str) -> set[str]:
    graph = graph_of(quantized, dialect)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    return {str(constants[node.input[2]].dtype) for node in graph.node if "Linear" in node.op_type}


def test_tensorrts_quantizers_are_signed_symmetric_and_per_tensor(quantized: Path) -> None:
    graph = graph_of(quantized, "tensorrt")
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            scale, zero = constants[node.input[1]], constants[node.input[2]]
            assert zero.dtype == np.int8 and not zero.any() and (scale > 0).all()
            assert scale.ndim == (1 if node.input[0] in constants else 0)
    weights = [value for value in constants.values() if value.dtype == np.int8 and value.ndim == 4]
    assert len(weights) == sum(node.op_type == "Conv" for node in graph.node) and min(w.min() for w in weights) == -127


def test_tensorrt_gets_one_quantized_side_of_each_addition_and_no_quantized_output(quantized: Path) -> None:
    graph = graph_of(quantized, "tensorrt")
    maker = {name: node for node in graph.node for name in node.output}
    additions = [[maker[name].op_type for name in node.input] for node in graph.node if node.op_type == "Add"]
    assert Counter(map(tuple, map(sorted, additions))) == {("Conv", "DequantizeLinear"): len(additions)}
    assert (
        len(additions) == 12
    )  # by four image groups: what moved joins the scene, a residual block, two slots' motions
    assert not {maker[output.name].op_type for output in graph.output} & {"DequantizeLinear", "QuantizeLinear"}


def test_every_convolution_is_fed_by_dequantized_values_on_both_sides(quantized: Path) -> None:
    for dialect in ("ort-x86", "ort-x86-7bit", "ort-arm", "tensorrt"):
        graph = graph_of(quantized, dialect)
        maker = {name: node.op_type for node in graph.node for name in node.output}
        feeds = [[maker.get(name) for name in node.input[:2]] for node in graph.node if node.op_type == "Conv"]
        assert feeds and all(feed == ["DequantizeLinear"] * 2 for feed in feeds)


@pytest.mark.parametrize("dialect", ["ort-x86-7bit", "tensorrt", "openvino", "fp32"])
def test_a_fake_quantized_model_is_the_same_after_a_round_trip(quantized: Path, tmp_path: Path, dialect: str) -> None:
    from quantize.export.fake_quant import save_fake_quant

    pair = load_fake_quant(quantized, dialect)
    (tmp_path / dialect).mkdir()
    save_fake_quant(tmp_path / dialect, pair)
    other = load_fake_quant(tmp_path, dialect)
    for name in ("fake_quant.json", "fake_quant.safetensors"):
        assert (tmp_path / dialect / name).read_bytes() == (quantized / dialect / name).read_bytes()
    generator, config = torch.Generator().manual_seed(1), pair.model.config
    for graph, again, example in (
        (pair.encoder, other.encoder, example_step(config)),
        (pair.fuser, other.fuser, example_context(config)),
    ):
        assert list(quantizers(again)) == list(quantizers(graph)) and bool(quantizers(again)) == (dialect != "fp32")
        values = [torch.rand(t.shape, generator=generator).mul(255).to(t.dtype) for t in example]
        with torch.inference_mode():
            assert all(torch.equal(a, b) for a, b in zip(graph(*values), again(*values), strict=True))


def test_both_graphs_use_the_weights_of_the_same_model(quantized: Path) -> None:
    pair = load_fake_quant(quantized, "ort-x86")
    assert pair.fuser.model is pair.encoder.model is pair.model
    assert not any(p.isnan().any() for p in pair.parameters())


@pytest.mark.parametrize("damage", ["missing", "truncated", "schema", "other size"])
def test_a_damaged_fake_quantized_model_is_refused(quantized: Path, tmp_path: Path, damage: str) -> None:
    (tmp_path / "fp32").mkdir()
    for name in ("fake_quant.json", "fake_quant.safetensors"):
        (tmp_path / "fp32" / name).write_bytes((quantized / "fp32" / name).read_bytes())
    config, weights = tmp_path / "fp32" / "fake_quant.json", tmp_path / "fp32" / "fake_quant.safetensors"
    content = json.loads(config.read_text())
    if damage == "missing":
        weights.unlink()
    elif damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif damage == "schema":
        config.write_text(json.dumps(content | {"schema": 9}))
    else:
        config.write_text(json.dumps(content | {"model": content["model"] | {"width": 16}}))
    with pytest.raises(SourceError, match=r"fp32.*(quantize|make them)"):
        load_fake_quant(tmp_path, "fp32")


def test_dialects_of_one_recipe_have_the_same_ranges(quantized: Path) -> None:
    first, second = (load_file(quantized / name / "fake_quant.safetensors") for name in ("ort-x86", "ort-arm"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_report_names_every_file_with_its_hash(quantized: Path) -> None:
    from codriver.files.atomic import sha256

    report = json.loads((quantized / "report.json").read_text())
    assert report["schema"] == 3 and report["calibration"]["ranges"] == "minmax"
    for name, entry in report["dialects"].items():
        assert entry["engine"] == DIALECTS[name].engine and entry["requires"] == list(DIALECTS[name].requires)
        for part in ("encoder", "fuser"):
            files = [entry[part], *([entry[part]["weights"]] if DIALECTS[name].is_ir else [])]
            for file in files:
                data = (quantized / file["path"]).read_bytes()
                assert (file["sha256"], file["bytes"]) == (sha256(data), len(data))


@pytest.mark.slow
def test_openvinos_files_are_the_same_bytes_whatever_was_made_before_in_the_process(
    quantized: Path, untrained_run: Path, dataset: Path, tmp_path: Path
) -> None:
    again = [str(untrained_run), "--data", str(dataset), "--out", str(tmp_path / "q"), "--clips", "4", "--golden", "0"]
    assert quantize([*again, "--check", "0", "--dialect", "openvino"]) == 0
    for name in ("encoder.xml", "encoder.bin", "fuser.xml", "fuser.bin"):
        assert (tmp_path / "q" / "openvino" / name).read_bytes() == (quantized / "openvino" / name).read_bytes(), name


def test_speed_compares_with_full_precision_of_the_same_runtime(quantized: Path, capsys: pytest.CaptureFixture) -> None:
    assert speed([str(quantized), "--rounds", "3", "--json"]) == 0
    dialects = json.loads(capsys.readouterr().out)["dialects"]
    assert set(dialects) == set(DIALECTS) - {"tensorrt"}
    assert {name for name, row in dialects.items() if "faster" in row} == set(dialects) - {"fp32", "openvino-fp32"}
    assert speed([str(quantized), "--dialect", "x"]) == 2
    assert "dialect x was not emitted; this folder holds fp32, ort-x86" in capsys.readouterr().err


def test_no_statistics_are_sent_to_anybody() -> None:
    code = """
import sys, openvino, quantize
from nncf.telemetry import wrapper
from openvino.tools.ovc import convert
assert sys.modules["openvino_telemetry"] is None and not hasattr(wrapper, "Telemetry"), wrapper.telemetry
"""
    environment = os.environ | {"PYTHONPATH": f"sdk{os.pathsep}."}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=environment)


def test_unknown_ranges_are_refused() -> None:
    from quantize.ptq.quantizers import quantized_encoder

    with pytest.raises(ConfigError, match="ranges 'wide': expected one of minmax, mean-minmax"):
        quantized_encoder(torch.nn.Identity(), [()], DIALECTS["ort-x86"], "wide")


@pytest.mark.parametrize("dialect", ["tensorrt", "ort-x86-7bit"])
def test_plan_b_of_the_exporter_writes_the_same_model(quantized: Path, step: Arrays, dialect: str) -> None:
    """Torch's own quantizers through the dynamo exporter, for the day the legacy one is gone."""
    pytest.importorskip("onnxscript")
    from quantize.export.dynamo_export import onnx_by_dynamo

    pair = load_fake_quant(quantized, dialect)
    encoder = pair.encoder
    graph = onnx_by_dynamo(encoder, example_step(pair.model.config), ENCODER_INPUTS, ENCODER_OUTPUTS)
    pairs = Counter(node.op_type for node in graph.graph.node)
    assert pairs["QuantizeLinear"] == pairs["DequantizeLinear"] == len(quantizers(encoder))
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(graph.SerializeToString(), options, ["CPUExecutionProvider"])
    found = dict(zip(ENCODER_OUTPUTS, session.run(list(ENCODER_OUTPUTS), step), strict=True))
    assert apart(found, as_written(quantized, dialect, step)) < 0.02
