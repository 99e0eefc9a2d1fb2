"""FP16 outside INT8: which tensors change their type, and that the answers hardly do."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from targets.packing.fp16 import to_half

RANDOM = np.random.default_rng(0)
CHANNELS = 4


class Graph:
    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, values: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(values, f"c{len(self.constants)}"))
        return self.constants[-1].name

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: object) -> str:
        output = output or f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], name=f"node {output}", **attributes))
        return output

    def quantized(self, name: str) -> str:
        scale, zero = self.constant(np.float32(0.05)), self.constant(np.int8(0))
        return self.add("DequantizeLinear", self.add("QuantizeLinear", name, scale, zero), scale, zero)

    def convolution(self, name: str, *, int8: bool) -> str:
        weights = RANDOM.normal(0, 0.2, (CHANNELS, CHANNELS, 3, 3)).astype(np.float32)
        if not int8:
            return self.add("Conv", name, self.constant(weights), pads=[1, 1, 1, 1])
        scale = np.abs(weights).max(axis=(1, 2, 3)) / 127
        stored = self.constant(np.round(weights / scale[:, None, None, None]).astype(np.int8))
        zeros = self.constant(np.zeros(CHANNELS, np.int8))
        restored = self.add("DequantizeLinear", stored, self.constant(scale), zeros, axis=0)
        return self.add("Conv", self.quantized(name), restored, pads=[1, 1, 1, 1])


def encoder(int8: bool) -> onnx.ModelProto:
    """uint8 in, normalized, a residual block, a head in floating point."""
    graph = Graph()
    x = graph.add("Cast", "x", to=TensorProto.FLOAT)
    x = graph.add("Mul", x, graph.constant(np.float32(1 / 255)))
    first = graph.add("Relu", graph.convolution(x, int8=int8))
    branch = graph.add("Relu", graph.convolution(first, int8=int8))
    branch = graph.convolution(branch, int8=int8)
    skip = graph.quantized(first) if int8 else first
    joined = graph.add("Relu", graph.add("Add", branch, skip))
    last = graph.add("Relu", graph.convolution(joined, int8=int8))
    mean = graph.add("GlobalAveragePool", last)
    flat = graph.add("Flatten", mean)
    head = graph.constant(RANDOM.normal(0, 1, (CHANNELS, 3)).astype(np.float32))
    graph.add("Gemm", flat, head, output="logits")
    inputs = [helper.make_tensor_value_info("x", TensorProto.UINT8, (1, CHANNELS, 8, 8))]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, (1, 3))]
    made = helper.make_graph(graph.nodes, "encoder", inputs, outputs, graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def types_into(model: onnx.ModelProto, operator: str) -> list[set[int]]:
    """Element types of what each operation of this kind takes."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    types = {t.name: t.data_type for t in inferred.initializer}
    types |= {v.name: v.type.tensor_type.elem_type for v in [*inferred.value_info, *inferred.input, *inferred.output]}
    return [{types[name] for name in node.input} for node in inferred.node if node.op_type == operator]


def logits(model: onnx.ModelProto, seed: int) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    frame = np.random.default_rng(seed).integers(0, 256, (1, CHANNELS, 8, 8), np.uint8)
    return np.asarray(session.run(None, {"x": frame})[0])


def test_what_is_int8_keeps_its_types_and_the_head_becomes_half() -> None:
    half = to_half(encoder(int8=True))
    assert types_into(half, "Conv") == [{TensorProto.FLOAT}] * 4
    assert types_into(half, "QuantizeLinear") == types_into(encoder(int8=True), "QuantizeLinear")
    assert types_into(half, "Add") == [{TensorProto.FLOAT}]  # the residual: conv + dequantized skip, fused in INT8
    assert types_into(half, "Gemm") == [{TensorProto.FLOAT16}]


def test_there_is_no_cast_between_an_int8_convolution_and_the_next_q() -> None:
    half = to_half(encoder(int8=True))
    by_output = {output: node for node in half.graph.node for output in node.output}
    before_q = [by_output[node.input[0]].op_type for node in half.graph.node if node.op_type == "QuantizeLinear"]
    assert "Cast" not in before_q


def test_a_graph_without_q_becomes_half_throughout_but_for_its_inputs_and_outputs() -> None:
    half = to_half(encoder(int8=False))
    assert types_into(half, "Conv") == [{TensorProto.FLOAT16}] * 4
    kinds = [v.type.tensor_type.elem_type for v in (half.graph.input[0], half.graph.output[0])]
    assert kinds == [TensorProto.UINT8, TensorProto.FLOAT]


@pytest.mark.parametrize("int8", [True, False])
def test_the_answers_hardly_change_and_the_model_given_does_not(int8: bool) -> None:
    model = encoder(int8)
    before = model.SerializeToString()
    half = to_half(model)
    assert model.SerializeToString() == before
    for seed in range(3):
        full = logits(model, seed)
        np.testing.assert_allclose(logits(half, seed), full, atol=5e-3 * np.abs(full).max())


def test_a_mask_of_minus_a_billion_stays_finite() -> None:
    graph = Graph()
    graph.add("Softmax", graph.add("Add", "x", graph.constant(np.float32([0.0, -1e9]))), output="y")
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 2))] for name in "xy"]
    made = helper.make_graph(graph.nodes, "masked", *ends, graph.constants)
    half = to_half(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=10))
    session = onnxruntime.InferenceSession(half.SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(session.run(None, {"x": np.zeros((1, 2), np.float32)})[0], [[1.0, 0.0]])
