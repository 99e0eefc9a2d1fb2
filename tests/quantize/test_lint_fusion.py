"""What the linter says of fusion is what ONNX Runtime does, and what it mends keeps every bit of the answers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

import onnxruntime as ort  # noqa: E402
from onnx import TensorProto, helper  # noqa: E402

from quantize.lint import lint  # noqa: E402
from quantize.rules.mend import mended  # noqa: E402
from quantize.rules.onnxruntime import unfused  # noqa: E402
from quantize.rules.read import GraphError  # noqa: E402
from quantize.rules.view import GraphView  # noqa: E402
from tests.quantize.qdq_net import (  # noqa: E402
    Break,
    adding,
    attributes,
    both,
    importing,
    inserting,
    node,
    onnxruntime_net,
    reading,
    setting,
    tensorrt_net,
)


def changed_to(operator: str, *inputs: str) -> Break:
    """The first ReLU becomes another operator."""

    def change(model: onnx.ModelProto) -> None:
        found = node(model, "first_relu")
        found.op_type = operator
        found.input.extend(inputs)

    return change


def clip(low: float, high: float) -> Break:
    bounds = both(adding("low", np.float32(low)), adding("high", np.float32(high)))
    return both(bounds, changed_to("Clip", "low", "high"))


def handing_out(name: str) -> Break:
    def change(model: onnx.ModelProto) -> None:
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4))

    return change


def nothing(model: onnx.ModelProto) -> None:
    pass


TURNED = [0, 1, 3, 2]
WAYS: dict[str, tuple[Break, int]] = {  # how the graph is changed, and how many of six convolutions fuse then
    "as it is": (nothing, 6),
    "float data": (reading("first", 0, "stem_relu"), 4),
    "an output that something else reads": (reading("residual", 1, "second"), 5),
    "an output of the graph": (handing_out("second"), 5),
    "an output behind its pair": (handing_out("second_dq"), 6),
    "a ReLU that the range does not hold": (setting("first_dq_z", np.uint8(10)), 5),
    "a Clip that the range does not hold": (clip(0, 6), 5),
    "a Clip that the range holds": (clip(0, 20), 6),
    "LeakyRelu": (changed_to("LeakyRelu"), 5),
    "Sigmoid": (changed_to("Sigmoid"), 5),
    "MaxPool behind": (inserting(("MaxPool", "new", ["second"]), before="second_dq_q", kernel_shape=[1, 1]), 6),
    "Transpose behind": (inserting(("Transpose", "new", ["first_relu"]), before="first_dq_q", perm=TURNED), 6),
    "Transpose before": (inserting(("Transpose", "new", ["stem_dq"]), before="first", perm=TURNED), 6),
    "Abs behind": (inserting(("Abs", "new", ["second"]), before="second_dq_q"), 5),
    "weights behind Transpose": (inserting(("Transpose", "new", ["first_w"]), before="first", reads=1, perm=TURNED), 6),
}


def session(model: onnx.ModelProto, *, optimized: Path | None = None, signed: bool = False) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    if signed:  # what it does on ARM without being told
        options.add_session_config_entry("session.qdqisint8allowed", "1")
    if optimized is None:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    else:
        options.optimized_model_filepath = str(optimized)
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def fused_by_onnxruntime(model: onnx.ModelProto, folder: Path, *, signed: bool = False) -> int:
    session(model, optimized=folder / "optimized.onnx", signed=signed)
    return Counter(found.op_type for found in onnx.load(folder / "optimized.onnx").graph.node)["QLinearConv"]


@pytest.mark.parametrize("way", WAYS)
def test_what_is_said_to_fuse_is_what_onnx_runtime_fuses(way: str, tmp_path: Path) -> None:
    change, fuse = WAYS[way]
    model = onnxruntime_net()
    change(model)
    assert [not unfused(found) for found in GraphView(model).of("Conv")].count(True) == fuse
    assert fused_by_onnxruntime(model, tmp_path) == fuse


def test_signed_activations_fuse_behind_a_relu_if_their_range_begins_at_zero(tmp_path: Path) -> None:
    model = onnxruntime_net("int8")
    assert fused_by_onnxruntime(model, tmp_path, signed=True) == 6
    setting("first_dq_z", np.int8(0))(model)
    assert [f.rule for f in lint(model, "ort-arm").findings] == [7]
    assert fused_by_onnxruntime(model, tmp_path, signed=True) == 5


def answers(model: onnx.ModelProto, seeds: int = 5) -> list[np.ndarray]:
    runner = session(model)
    images = [np.random.default_rng(seed).normal(0, 2, (1, 3, 8, 8)).astype(np.float32) for seed in range(seeds)]
    return [output for image in images for output in runner.run(None, {"image": image})]


def same_bits(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("net", [tensorrt_net, onnxruntime_net])
def test_weights_are_stored_as_integers_without_changing_a_bit_of_the_answers(net: object) -> None:
    model = net(stored=False)  # type: ignore[operator]
    result = mended(model)
    weights = sum(found.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul") for found in model.graph.node)
    assert result.done[0] == f"{weights} float weights stored as integers"
    assert same_bits(answers(model), answers(result.model))
    assert result.model.ByteSize() < model.ByteSize()
    assert not lint(result.model, "ort-x86" if net is onnxruntime_net else "tensorrt").findings


def untidy() -> onnx.ModelProto:
    """All at once that can be mended."""
    model = onnxruntime_net(stored=False)
    both(importing("org.openvinotoolkit"), adding("unread", np.ones(5)))(model)
    model.ir_version = 12
    model.graph.node.insert(0, helper.make_node("Constant", [], ["unread_too"], value_float=1.0))
    return model


def test_everything_that_can_be_mended_is_mended_once_and_told() -> None:
    result = mended(untidy())
    text = "; ".join(result.done)
    for part in (
        "ir_version 12 lowered to 10",
        "org.openvinotoolkit",
        "6 float weights",
        "repeat another",
        "8 constants",
    ):
        assert part in text, text
    assert not lint(result.model, "ort-x86").findings
    assert same_bits(answers(onnxruntime_net(stored=False)), answers(result.model))
    assert mended(result.model).done == []


def test_mending_leaves_the_model_it_was_given_alone() -> None:
    model = untidy()
    before = model.SerializeToString(deterministic=True)
    mended(model)
    assert model.SerializeToString(deterministic=True) == before


def with_output_dtype(kind: int, *, zero_point: bool) -> onnx.ModelProto:
    """As torch's newer exporter writes it: opset 21, the type as an attribute."""
    model = onnxruntime_net()
    model.opset_import[0].version = 21
    attributes("block_dq_q", output_dtype=kind)(model)
    if not zero_point:
        reading("block_dq_q", 2, "")(model)
    return model


@pytest.mark.parametrize("zero_point", [True, False])
def test_output_dtype_is_dropped_where_the_zero_point_says_the_same(zero_point: bool) -> None:
    model = with_output_dtype(TensorProto.UINT8, zero_point=zero_point)
    result = mended(model)
    assert "1 attribute output_dtype dropped" in result.done
    assert 12 not in {finding.rule for finding in lint(result.model, "ort-x86").findings}
    assert same_bits(answers(model), answers(result.model))


def test_output_dtype_stays_where_it_says_something_else() -> None:
    result = mended(with_output_dtype(TensorProto.INT8, zero_point=True))
    assert 12 in {finding.rule for finding in lint(result.model, "ort-x86").findings}


def test_outputs_become_float_when_asked_and_what_reads_them_stays_quantized() -> None:
    model = tensorrt_net()
    model.graph.output.append(helper.make_tensor_value_info("block_dq", TensorProto.FLOAT, [None] * 4))
    assert [f.rule for f in lint(mended(model).model, "tensorrt").findings] == [11]
    result = mended(model, float_outputs=True)
    assert not lint(result.model, "tensorrt").findings
    (answer, feature), (same, moved) = answers(model, 1), answers(result.model, 1)
    assert answer.tobytes() == same.tobytes()
    step, held = 0.05, feature < 0.05 * 126  # beyond, the pair saturated
    assert 0 < np.abs(feature - moved)[held].max() <= step / 2 + 1e-6


def test_an_invalid_file_is_not_mended() -> None:
    model = onnxruntime_net()
    reading("first", 0, "nowhere")(model)
    with pytest.raises(GraphError, match="not valid ONNX, so nothing can be mended safely"):
        mended(model)
