"""The floor of tiny graphs, by hand: multiply-accumulates, bytes, fusion, bounds; and the command."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from targets.estimate import main as estimate
from targets.profiles.profile import load_profile, names
from targets.roofline import measure
from targets.roofline.graph import SizedGraph
from targets.roofline.kernels import Kernel, kernels_of
from targets.roofline.roofline import layers_on
from tests.quantize.spellings import behind_cast, in_a_function, in_half, integer_operators
from tests.tiny import make_tiny_bundle

FLOAT, UINT8, INT8, INT64 = TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT8, TensorProto.INT64


class Draft:
    """A graph written down node by node."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [f"t{len(self.nodes)}"], f"n{len(self.nodes)}", **attributes))
        return f"t{len(self.nodes) - 1}"

    def constant(self, values: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(values, f"c{len(self.constants)}"))
        return self.constants[-1].name

    def weights(self, *shape: int, int8: bool = False) -> str:
        if not int8:
            return self.constant(np.zeros(shape, np.float32))
        codes, step, zero = (self.constant(v) for v in (np.zeros(shape, np.int8), np.float32(1), np.int8(0)))
        return self.add("DequantizeLinear", codes, step, zero)

    def coded(self, name: str) -> str:
        step, zero = self.constant(np.float32(1)), self.constant(np.uint8(0))
        return self.add("DequantizeLinear", self.add("QuantizeLinear", name, step, zero), step, zero)

    def model(self, inputs: dict[str, tuple[Any, ...]], output: str, dtype: int = FLOAT) -> onnx.ModelProto:
        given = [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in inputs.items()]
        taken = [helper.make_tensor_value_info(output, dtype, None)]
        graph = helper.make_graph(self.nodes, "g", given, taken, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)

    def kernels(
        self, engine: str, inputs: dict[str, tuple[int, ...]], output: str, float_bytes: int = 4
    ) -> list[Kernel]:
        return kernels_of(SizedGraph(self.model(inputs, output)), engine, float_bytes)


def conv(*, int8: bool = False) -> tuple[Draft, str]:
    """x (2, 3, 8, 8) -> 3x3 convolution, stride 2, to 4 channels -> ReLU; in INT8 with Q/DQ on all sides."""
    draft = Draft()
    x = draft.coded("x") if int8 else "x"
    out = draft.add("Conv", x, draft.weights(4, 3, 3, 3, int8=int8), pads=[1] * 4, strides=[2, 2])
    out = draft.add("Relu", out)
    return draft, draft.coded(out) if int8 else out


X = {"x": (2, 3, 8, 8)}
MACS = 2 * 4 * 4 * 4 * 3 * 9  # batch, channels, height, width; each of 3 channels under 3x3


def test_a_convolution_and_its_relu_are_one_kernel_with_exact_work_and_bytes() -> None:
    draft, out = conv()
    (kernel,) = draft.kernels("onnxruntime", X, out)
    assert (kernel.ops, kernel.precision, kernel.macs) == ("Conv+Relu", "float", MACS)
    assert kernel.weight_bytes == 4 * 3 * 9 * 4
    assert kernel.read_bytes == 2 * 3 * 8 * 8 * 4 and kernel.write_bytes == 2 * 4 * 4 * 4 * 4
    assert kernel.elementwise == 2 * 4 * 4 * 4 and kernel.gathered == kernel.recoded == 0


def test_a_maximum_over_an_axis_compares_each_value_once() -> None:
    draft = Draft()
    (kernel,) = draft.kernels("onnxruntime", {"x": (1, 16, 10)}, draft.add("ReduceMax", "x", axes=[1]))
    assert kernel.compared == 160 and kernel.recoded == kernel.gathered == 0


def test_an_int8_convolution_moves_a_byte_an_element_and_absorbs_its_quantizer() -> None:
    draft, out = conv(int8=True)
    quantize, kernel, dequantize = draft.kernels("onnxruntime", X, out)
    assert (quantize.ops, quantize.read_bytes, quantize.write_bytes) == ("QuantizeLinear", 384 * 4, 384)
    assert (kernel.ops, kernel.precision, kernel.macs) == ("Conv+Relu+QuantizeLinear", "int8", MACS)
    assert (kernel.weight_bytes, kernel.read_bytes, kernel.write_bytes) == (108, 384, 128)
    assert kernel.gathered == 2 * 4 * 4 * 3 and kernel.recoded == 128  # a row of three pixels is nine bytes: one copy
    assert (dequantize.ops, dequantize.read_bytes, dequantize.write_bytes) == ("DequantizeLinear", 128, 128 * 4)


@pytest.mark.parametrize(("channels", "copies"), [(3, 3), (8, 3), (22, 6), (32, 9), (128, 9)])
def test_a_patch_is_laid_out_in_a_copy_for_each_place_and_one_for_a_row_of_few_channels(
    channels: int, copies: int
) -> None:
    draft = Draft()
    out = draft.coded(draft.add("Conv", draft.coded("x"), draft.weights(4, channels, 3, 3, int8=True), pads=[1] * 4))
    found = {k.ops: k for k in draft.kernels("onnxruntime", {"x": (2, channels, 8, 8)}, out)}
    assert found["Conv+QuantizeLinear"].gathered == 2 * 8 * 8 * copies


@pytest.mark.parametrize(("engine", "precision"), [("onnxruntime", "float"), ("tensorrt", "int8")])
def test_without_a_quantizer_behind_it_a_convolution_is_int8_in_tensorrt_alone(engine: str, precision: str) -> None:
    draft = Draft()
    out = draft.add("Conv", draft.coded("x"), draft.weights(4, 3, 1, 1, int8=True))
    found = {k.ops: k for k in draft.kernels(engine, X, out)}
    assert found["Conv"].precision == precision
    assert found["Conv"].read_bytes == 384 * (1 if precision == "int8" else 4)


def residual(*, int8: bool, both_sides: bool) -> tuple[Draft, str]:
    draft = Draft()
    skip = draft.coded("x") if int8 else "x"
    branch = draft.add("Conv", skip, draft.weights(3, 3, 1, 1, int8=int8))
    branch = draft.coded(branch) if both_sides else branch
    out = draft.add("Relu", draft.add("Add", skip, branch))
    return draft, draft.coded(out) if int8 else out


@pytest.mark.parametrize(
    ("engine", "int8", "both_sides", "expected"),
    [
        ("onnxruntime", False, False, ["Conv+Add+Relu"]),
        ("onnxruntime", True, True, ["Conv+QuantizeLinear", "Add+Relu+QuantizeLinear"]),  # QLinearConv, QLinearAdd
        ("tensorrt", True, False, ["Conv+Add+Relu+QuantizeLinear"]),  # Q/DQ on the skip only
        ("tensorrt", True, True, ["Conv+QuantizeLinear", "Add+Relu+QuantizeLinear"]),  # split by the pair between them
    ],
)
def test_a_residual_addition_is_fused_as_the_runtime_does_it(
    engine: str, int8: bool, both_sides: bool, expected: list[str]
) -> None:
    draft, out = residual(int8=int8, both_sides=both_sides)
    ops = [kernel.ops for kernel in draft.kernels(engine, X, out)]
    assert [some for some in ops if some not in ("QuantizeLinear", "DequantizeLinear")] == expected


def test_half_precision_halves_what_stays_inside_and_not_what_comes_from_outside() -> None:
    draft = Draft()
    hidden = draft.add("MatMul", "x", draft.weights(8, 4))
    first, second = draft.kernels("onnxruntime", {"x": (2, 8)}, draft.add("Softmax", hidden), float_bytes=2)
    assert first.macs == 2 * 4 * 8 and first.weight_bytes == 8 * 4 * 2
    assert first.read_bytes == 2 * 8 * 4 and first.write_bytes == 2 * 4 * 2
    assert second.read_bytes == 2 * 4 * 2 and second.write_bytes == 2 * 4 * 4


def test_products_of_every_kind_are_counted() -> None:
    draft = Draft()
    grown = draft.add("ConvTranspose", "x", draft.weights(3, 5, 2, 2), strides=[2, 2])
    grouped = draft.add("Conv", "x", draft.weights(3, 1, 1, 1), group=3)
    shape = draft.constant(np.array([2, -1], np.int64))
    gemm = draft.add("Gemm", draft.add("Reshape", grouped, shape), draft.weights(7, 192), transB=1)
    flat = draft.add("Flatten", grown)
    out = draft.add("Concat", flat, gemm, axis=1)
    macs = {k.ops: k.macs for k in draft.kernels("tensorrt", X, out)}
    assert macs == {"ConvTranspose": 384 * 5 * 4, "Conv": 384, "Gemm": 2 * 7 * 192, "Concat": 0}


@pytest.mark.parametrize(("engine", "launches"), [("onnxruntime", 2), ("tensorrt", 1)])
def test_a_view_moves_nothing_and_onnx_runtime_launches_it_all_the_same(engine: str, launches: int) -> None:
    draft = Draft()
    flat = draft.add("Reshape", "x", draft.constant(np.array([2, -1], np.int64)))
    kernels = draft.kernels(engine, X, draft.add("Softmax", flat))
    assert len(kernels) == launches and kernels[-1].bytes == 2 * 384 * 4
    assert launches == 1 or (kernels[0].ops, kernels[0].bytes, kernels[0].elementwise) == ("Reshape", 0, 0)


def test_a_shape_that_the_graph_computes_is_followed() -> None:
    draft = Draft()
    shape = draft.add("Where", draft.constant(np.array([True, False])), draft.constant(np.array([6, 6])),
                      draft.constant(np.array([1, 64], np.int64)))  # fmt: skip
    (kernel,) = draft.kernels("onnxruntime", {"x": (1, 64)}, draft.add("Expand", "x", shape))
    assert (kernel.ops, kernel.write_bytes) == ("Expand", 6 * 64 * 4)


def kernel(**changes: int) -> Kernel:
    none = {
        key: 0
        for key in (
            "macs",
            "elementwise",
            "recoded",
            "gathered",
            "compared",
            "weight_bytes",
            "read_bytes",
            "write_bytes",
        )
    }
    return Kernel(name="k", ops="Conv", precision="int8", **(none | changes))


@pytest.mark.parametrize(
    ("work", "time_us", "bound"),
    [
        ({"macs": 5_000_000_000, "read_bytes": 8}, 1000 + 2, "compute"),  # 10^10 operations at 10 TOPS
        ({"macs": 8, "weight_bytes": 34_000_000}, 1000 + 2, "memory"),  # at 34 GB/s
        ({"macs": 8, "write_bytes": 8}, 2, "launch"),
    ],
)
def test_a_layer_says_what_bounds_it(work: dict[str, int], time_us: float, bound: str) -> None:
    (layer,) = layers_on([kernel(**work)], load_profile("orin-nano-4gb-10w"))
    assert layer.time_us == pytest.approx(time_us, rel=1e-3) and layer.bound == bound


def test_what_a_cpu_does_beside_the_products_counts() -> None:
    profile = replace(load_profile("x86-no-vnni"), recode_ns=2.0, gather_ns=3.0, launch_us=0)
    (layer,) = layers_on([kernel(recoded=1000, gathered=1000)], profile)
    assert layer.compute_us == pytest.approx(5.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    draft, out = conv(int8=True)
    path = tmp_path_factory.mktemp("model") / "conv.onnx"
    path.write_bytes(onnx.shape_inference.infer_shapes(draft.model(X, out)).SerializeToString())
    return path


def test_one_target_is_a_page_with_layers_and_says_that_it_is_a_floor(model: Path, capsys: Any) -> None:
    assert estimate([str(model), "--target", "orin-nx-16gb-25w"]) == 0
    said = capsys.readouterr().out
    assert "A floor" in said and "never a measurement" in said and "Conv+Relu+Q" in said and "launch" in said


def test_all_targets_are_a_table_with_a_line_for_each(model: Path, capsys: Any) -> None:
    assert estimate([str(model), "--all"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[3:]] == names()


def test_as_json_the_layers_add_up_to_the_floor(model: Path, capsys: Any) -> None:
    assert estimate([str(model), "--target", "rtx-4090", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    (target,) = content["targets"]
    (graph,) = target["graphs"]
    assert content["kind"] == "floor" and graph["macs"] == MACS and graph["int8_share"] == 1.0
    assert sum(layer["time_us"] for layer in graph["layers"]) / 1e3 == pytest.approx(target["floor_ms"])


def test_the_page_is_one_file_with_a_roofline(model: Path, tmp_path: Path, capsys: Any) -> None:
    assert estimate([str(model), "--target", "l4", "--target", "h200", "--out", str(tmp_path / "p.html")]) == 0
    page = (tmp_path / "p.html").read_text()
    assert page.count("data:image/svg+xml;base64,") == 2 and "Never a measurement" in page and "http" not in page


def test_a_bundle_is_estimated_and_a_stand_in_is_named(tmp_path: Path, capsys: Any) -> None:
    bundle = make_tiny_bundle(tmp_path / "b", golden=False)
    assert estimate([str(bundle), "--target", "orin-nx-16gb-25w"]) == 0
    said = capsys.readouterr()
    for graph in ("encoder", "fuser", "finder"):
        assert f"{graph} (ort-x86/{graph}.onnx)" in said.out
    assert "ort-x86 stands in for tensorrt" in said.err


def test_the_users_own_profile_is_a_target(model: Path, tmp_path: Path, capsys: Any) -> None:
    source = Path(measure.__file__).parents[1] / "profiles" / "l4.toml"
    (tmp_path / "mine.toml").write_text(source.read_text())
    assert estimate([str(model), "--target", "mine", "--profiles", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("mine: NVIDIA L4")


def test_measuring_writes_a_profile_that_loads_and_prints_the_ratio(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    for name in ("REPEATS", "ROUNDS"):
        monkeypatch.setattr(measure, name, 1)
    monkeypatch.setattr(measure, "TOTAL_S", 0.0)
    assert estimate([str(model), "--measure", str(tmp_path / "here.toml"), "--threads", "1", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["graphs"]
    assert row["path"] == "conv.onnx" and row["floor_ms"] > 0 and row["measured_ms"] > 0
    profile = load_profile("here", [tmp_path])
    assert profile.int8_dense_tops > 0 and profile.source["fp32_tflops"].startswith("measured")


def test_three_times_give_back_the_three_costs_that_made_them() -> None:
    costs = (3e-12, 4e-10, 3e-9)
    took = [
        sum(c * w for c, w in zip(costs, measure._work(*shape, kernel=kernel), strict=True))
        for shape, kernel in measure.INT8_CONVOLUTIONS
    ]
    assert measure._parts(took) == pytest.approx(costs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{model}", "--target", "orin"], "target 'orin' is not known"),
        (["{model}"], "either --target NAME or --all"),
        (["{model}", "--target", "l4", "--all"], "either --target NAME or --all"),
        (["{folder}/none.onnx", "--target", "l4"], "is not there"),
        (["{folder}", "--target", "l4"], "neither an ONNX file, a bundle nor a folder made by quantize.run"),
        (["{folder}/text.onnx", "--target", "l4"], "is not an ONNX graph that can be read"),
        (["{folder}/free.onnx", "--target", "l4"], "estimate .*free.onnx --target l4 --shape x=1,3,8,8$"),
        (["{folder}/empty", "--target", "l4"], "expected schema 3 of kind 'quantized'"),
        (["{model}", "--measure", "{folder}/here.json"], "a profile is a file NAME.toml"),
        (["{model}", "--target", "l4", "--out", "{folder}/none/page.html"], "none/page.html"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    model: Path, tmp_path: Path, capsys: Any, arguments: list[str], message: str
) -> None:
    (tmp_path / "text.onnx").write_text("hello")
    draft, out = conv()
    (tmp_path / "free.onnx").write_bytes(draft.model({"x": ("n", 3, 8, 8)}, out).SerializeToString())
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "report.json").write_text("{}")
    assert estimate([part.format(model=model, folder=tmp_path) for part in arguments]) == 2
    said = capsys.readouterr().err.strip()
    assert len(said.splitlines()) == 1
    assert re.search(message, said), said


def written(path: Path, model: onnx.ModelProto) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def floors(path: Path, capsys: Any, *more: str) -> dict[str, Any]:
    assert estimate([str(path), "--target", "x86-ort", "--json", *more]) == 0
    return json.loads(capsys.readouterr().out)["targets"][0]["graphs"][0]


def test_open_sizes_are_asked_for_and_taken(tmp_path: Path, capsys: Any) -> None:
    draft, out = conv(int8=True)
    path = written(tmp_path / "open.onnx", draft.model({"x": ("n", 3, "h", "w")}, out))
    assert estimate([str(path), "--target", "x86-ort"]) == 2
    assert f"{path} --target x86-ort --shape x=1,3,224,224" in capsys.readouterr().err
    assert floors(path, capsys, "--shape", "x=2,3,8,8")["macs"] == MACS
    assert floors(path, capsys, "--shape", "x=2,3,16,8")["macs"] == 2 * MACS
    assert estimate([str(path), "--target", "x86-ort", "--shape", "x=2,3,8,8", "--shape", "z=1"]) == 2
    assert "--shape z: there is no such input, only x" in capsys.readouterr().err


def test_a_graph_without_sizes_is_not_timed_at_sizes_of_our_own(tmp_path: Path, capsys: Any) -> None:
    draft, out = conv()
    path = written(tmp_path / "open.onnx", draft.model({"x": (1, 3, "h", "w")}, out))
    assert estimate([str(path), "--measure", str(tmp_path / "m.toml"), "--threads", "1"]) == 2
    assert "--shape x=1,3,224,224" in capsys.readouterr().err
    assert not (tmp_path / "m.toml").exists()


def test_the_floor_is_the_same_in_every_spelling(tmp_path: Path, capsys: Any) -> None:
    draft, out = conv(int8=True)
    model = draft.model(X, out)
    pairs = floors(written(tmp_path / "pairs.onnx", model), capsys)
    for name, spell in (("integers", integer_operators), ("function", in_a_function), ("cast", behind_cast)):
        found = floors(written(tmp_path / f"{name}.onnx", spell(model)), capsys)
        assert (found["macs"], found["int8_share"]) == (pairs["macs"], pairs["int8_share"]) == (MACS, 1.0), name


def test_a_file_that_no_runtime_opens_has_no_floor(tmp_path: Path, capsys: Any) -> None:
    draft, out = conv(int8=True)
    model = draft.model(X, out)
    model.graph.node[0].name = model.graph.node[1].name
    assert estimate([str(written(tmp_path / "twice.onnx", model)), "--target", "l4"]) == 2
    assert "is not valid ONNX: 2 nodes share the name" in capsys.readouterr().err


@pytest.mark.parametrize(("engine", "precision"), [("onnxruntime", "float"), ("tensorrt", "int8")])
def test_a_transposed_convolution_and_half_scales_are_int8_where_a_kernel_is(engine: str, precision: str) -> None:
    draft = Draft()
    up = draft.add("ConvTranspose", draft.coded("x"), draft.weights(3, 4, 2, 2, int8=True))
    assert precision in {kernel.precision for kernel in draft.kernels(engine, X, draft.coded(up)) if kernel.macs}
    half, out = conv(int8=True)
    kernels = kernels_of(SizedGraph(in_half(half.model(X, out))), engine)
    assert [kernel.precision for kernel in kernels if kernel.macs] == [precision]
