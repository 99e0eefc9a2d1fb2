"""The audit counts what a runtime really executes in INT8."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from quantize.audit import audit, main, report_lines  # noqa: E402
from quantize.executed.layers import product_macs, transposed_macs  # noqa: E402
from tests.quantize.qdq_net import inserting, onnxruntime_net, reading, setting, tensorrt_net  # noqa: E402
from workshop.onnx_files.shapes import Shapes  # noqa: E402

RUNTIMES = ("onnxruntime", "openvino", "tensorrt")
STEM, BLOCK, HALF, JOINED = 64 * 8 * 27, 64 * 8 * 72, 16 * 8 * 72, 16 * 8 * 144
SEVEN_BITS = 63  # of a weight: clean without VNNI too, where larger ones saturate and the audit says so
CONVOLUTIONS = STEM + 2 * BLOCK + 2 * HALF + JOINED  # of onnxruntime_net, by hand: outputs times weights each sums over


def written(folder: Path, model: onnx.ModelProto) -> Path:
    path = folder / "graph.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def net_for(runtime: str) -> onnx.ModelProto:
    """A net that is clean for the runtime, with the same six convolutions each time."""
    model = onnxruntime_net("int8" if runtime == "tensorrt" else "uint8", weight_max=SEVEN_BITS)
    for tensor in model.graph.initializer if runtime == "tensorrt" else ():
        if tensor.name.endswith("_dq_z"):
            tensor.CopyFrom(numpy_helper.from_array(np.int8(0), tensor.name))
    return model


def available(runtime: str) -> None:
    if runtime != "tensorrt":
        pytest.importorskip(runtime)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_clean_graph_runs_wholly_in_int8_and_its_products_are_counted(tmp_path: Path, runtime: str) -> None:
    available(runtime)
    found = audit(written(tmp_path, net_for(runtime)), runtime, runs=3)
    assert (found.macs, found.share, found.in_float) == (CONVOLUTIONS, 1.0, [])
    assert found.predicted == (runtime == "tensorrt")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_convolution_on_floats_is_named_with_its_products_and_its_time(tmp_path: Path, runtime: str) -> None:
    available(runtime)
    model = net_for(runtime)
    reading("joined", 0, "float")(model)
    floats = inserting(("Sigmoid", "float", ["join_dq"]), before="joined")
    floats(model)
    found = audit(written(tmp_path, model), runtime, runs=3)
    assert [layer.macs for layer in found.in_float] == [JOINED] and found.macs == CONVOLUTIONS
    assert "joined" in found.in_float[0].name
    assert found.share == pytest.approx(1 - JOINED / CONVOLUTIONS)
    assert (found.in_float[0].ms is None) == found.predicted


def test_what_does_not_fuse_in_onnx_runtime_is_counted_as_float(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    model = onnxruntime_net(weight_max=SEVEN_BITS)
    setting("first_dq_z", np.uint8(10))(model)  # the ReLU stays, and with it the convolution
    found = audit(written(tmp_path, model), "onnxruntime", runs=3)
    assert [(layer.kind, layer.macs) for layer in found.in_float] == [("FusedConv", BLOCK)]


def float_net() -> onnx.ModelProto:
    """Grouped and transposed convolutions, products of two activations, an open batch size: all in float."""
    random = np.random.default_rng(0)
    shapes = {"w1": (8, 2, 3, 3), "w2": (8, 5, 2, 2), "w3": (6, 25)}
    weights = [numpy_helper.from_array(random.normal(size=s).astype(np.float32), n) for n, s in shapes.items()]
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["grouped"], name="grouped", group=2),  # (1, 8, 4, 4): 128 * 18
        helper.make_node("ConvTranspose", ["grouped", "w2"], ["up"], name="up"),  # (1, 5, 5, 5): 128 * 20
        helper.make_node("Reshape", ["up", "shape"], ["rows"], name="rows"),
        helper.make_node("Gemm", ["rows", "w3"], ["gemm"], name="gemm", transB=1),  # rows (5, 25)
        helper.make_node("Softmax", ["gemm"], ["soft"], name="soft"),
        helper.make_node("Transpose", ["gemm"], ["turned"], name="turned"),
        helper.make_node("MatMul", ["soft", "turned"], ["y"], name="attention"),  # (5, 6) (6, 5)
    ]
    weights.append(numpy_helper.from_array(np.array([-1, 25]), "shape"))
    ends = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4, 6, 6]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, None]),
    ]
    graph = helper.make_graph(nodes, "float", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_kind_of_product_is_counted(tmp_path: Path, runtime: str) -> None:
    available(runtime)
    found = audit(written(tmp_path, float_net()), runtime, Shapes({"x": (1, 4, 6, 6)}, ""), runs=2)
    assert found.macs == 128 * 18 + 128 * 20 + 5 * 6 * 25 + 5 * 5 * 6
    assert found.share == 0


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_open_sizes_are_asked_for_with_the_command_to_give(
    tmp_path: Path, runtime: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One convolution of any height and width: at 1x1 its share would say nothing."""
    available(runtime)
    model = net_for(runtime)
    for axis in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = f"size{axis}"
    path = written(tmp_path, model)
    assert main([str(path), "--runtime", runtime, "--runs", "1"]) == 2
    _, _, hint = capsys.readouterr().err.strip().partition("say at which it runs: python -m quantize.audit ")
    assert hint == f"{path} --runtime {runtime} --shape image=1,3,224,224"
    given = [*hint.replace("224,224", "16,8").split(), "--runs", "1", "--json", "--at-least", "99"]
    assert main(given) == 0
    assert json.loads(capsys.readouterr().out)["macs"] == 2 * CONVOLUTIONS


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ("image=1,3,9,9", "the file says 1,3,8,8"),
        ("image=3,8,8", "the file says 1,3,8,8"),
        ("picture=1,3,8,8", "there is no such input, only image"),
        ("image=1,3,8,many", "expected an input's name and its sizes"),
        ("image=1,3,8,0", "expected an input's name and its sizes"),
        ("1,3,8,8", "expected an input's name and its sizes"),
    ],
)
def test_sizes_that_cannot_be_meant_are_one_line(
    tmp_path: Path, shape: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(written(tmp_path, net_for("tensorrt"))), "--runtime", "tensorrt", "--shape", shape]) == 2
    err = capsys.readouterr().err
    assert reason in err and err.count("\n") == 1


def test_products_are_counted_whichever_side_is_turned() -> None:
    assert product_macs((4, 8), (4, 5)) == product_macs((8, 4), (4, 5)) == 4 * 5 * 8
    assert product_macs((2, 4, 8), (2, 4, 5)) == 2 * 4 * 5 * 8
    assert transposed_macs((1, 8, 4, 4), (8, 5, 2, 2)) == 128 * 20


def test_tensorrt_is_labelled_as_a_prediction(tmp_path: Path) -> None:
    found = audit(written(tmp_path, tensorrt_net()), "tensorrt")
    assert [layer.kind for layer in found.in_float] == []
    text = "\n".join(report_lines("g", found))
    assert "prediction by TensorRT's Q/DQ rules" in text and "would run in INT8" in text


def test_json_lists_every_layer_and_the_share(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    path = written(tmp_path, onnxruntime_net(weight_max=SEVEN_BITS))
    assert main([str(path), "--runtime", "onnxruntime", "--runs", "2", "--json", "--at-least", "99"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["int8_share"] == 1.0 and content["macs"] == CONVOLUTIONS and content["stays_in_float"] == []
    assert sum(layer["macs"] for layer in content["layers"]) == CONVOLUTIONS
    assert all(layer["ms"] >= 0 for layer in content["layers"])


def test_too_small_a_share_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, shape = written(tmp_path, float_net()), ["--shape", "x=1,4,6,6"]
    arguments = [str(path), "--runtime", "tensorrt", "--at-least", "99", *shape]
    assert main(arguments) == 1
    assert "at least 99 % is wanted" in capsys.readouterr().err


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("how", ["truncated", "missing", "foreign", "folder"])
def test_a_graph_that_cannot_run_is_one_line(
    tmp_path: Path, runtime: str, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    available(runtime)
    model = onnxruntime_net(weight_max=SEVEN_BITS)
    if how == "foreign":
        reading("first", 0, "nowhere")(model)
    path = written(tmp_path, model)
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:-9])
    if how == "missing":
        path.unlink()
    code = main([str(tmp_path if how == "folder" else path), "--runtime", runtime])
    out, err = capsys.readouterr()
    assert code == 2 and out == "" and err.startswith("quantize.audit: ") and err.count("\n") == 1


def test_nothing_is_left_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    path = written(tmp_path, onnxruntime_net(weight_max=SEVEN_BITS))
    monkeypatch.chdir(tmp_path)
    audit(path, "onnxruntime", runs=1)
    assert [found.name for found in tmp_path.iterdir()] == ["graph.onnx"]
