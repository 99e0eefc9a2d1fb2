"""Quantizers in a graph: which are for weights, which for activations, and what lies on each side of an operator."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx

from quantize.rules.view import CONVOLUTIONS, MOVING, PAIRED, GraphView, Node, source

WEIGHT_MOVING = ("Identity", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze")


def quantizers(graph: GraphView) -> list[Node]:
    return graph.of(*PAIRED)


def data_constant(node: Node) -> np.ndarray | None:
    """The constant that a quantizer works on, stored as it is or as float behind its own QuantizeLinear."""
    found = source(node.scope, node.input(0), WEIGHT_MOVING)
    if node.op == "DequantizeLinear" and found.node is not None and found.node.op == "QuantizeLinear":
        return data_constant(found.node)
    return node.scope.constant(found.name)


def of_weight(node: Node) -> bool:
    return data_constant(node) is not None


def activations(graph: GraphView) -> list[Node]:
    return [node for node in quantizers(graph) if not of_weight(node)]


def weight_pair(node: Node) -> tuple[Node, int | None] | None:
    """The DequantizeLinear behind the weight of a Conv, ConvTranspose, Gemm or MatMul, and its axis as seen there."""
    for index in (1, 0) if node.op == "MatMul" else (1,):
        found = source(node.scope, node.input(index), WEIGHT_MOVING)
        if found.node is not None and found.node.op == "DequantizeLinear" and of_weight(found.node):
            data, axis = data_constant(found.node), found.node.attribute("axis", 1)
            axis = axis + data.ndim if data is not None and axis < 0 else axis
            return found.node, found.axes(axis)
    return None


def is_bias(node: Node) -> bool:
    """A DequantizeLinear that feeds a bias: the third input of a layer, or a vector added behind a MatMul."""
    for reader, index in node.readers:
        if index == 2 and reader.op in (*CONVOLUTIONS, "Gemm"):
            return True
        data = data_constant(node)
        if reader.op == "Add" and data is not None and data.ndim <= 1 and len(reader.inputs) == 2:
            other = reader.producer(1 - index)
            if other is not None and other.op in ("MatMul", "Gemm"):
                return True
    return False


def dequantizer(node: Node, index: int, through: tuple[str, ...] = MOVING) -> Node | None:
    """The DequantizeLinear that an input comes from, if it comes from one."""
    found = source(node.scope, node.input(index), through).node
    return found if found is not None and found.op == "DequantizeLinear" else None


def in_int8(node: Node) -> bool:
    """Whether both inputs of a convolution come from DequantizeLinear: TensorRT then runs it in INT8."""
    return _quantized(node, 0) and weight_pair(node) is not None


def _quantized(node: Node, index: int) -> bool:
    found = source(node.scope, node.input(index)).node
    if found is not None and found.op == "Concat":  # quantized as a whole if each part is: it moves numbers too
        return bool(found.inputs) and all(dequantizer(found, i) is not None for i in range(len(found.inputs)))
    return found is not None and found.op == "DequantizeLinear"


def zero_type(node: Node) -> str | None:
    """Element type that a quantizer stores, as `int8`; None if the file does not say."""
    zero = node.constant(2)
    if dynamic(node):
        return "uint8"
    if node.input(2):
        return None if zero is None else zero.dtype.name
    if node.op == "QuantizeLinear":
        wanted = node.attribute("output_dtype", 0)
        return onnx.TensorProto.DataType.Name(wanted).lower() if wanted in _TYPES and wanted else "uint8"
    stored = node.constant(0)
    if stored is not None:
        return stored.dtype.name
    before = node.producer(0)
    return zero_type(before) if before is not None and before.op == "QuantizeLinear" else None


def replaceable(node: Node) -> bool:
    """Whether scale or zero-point is an input of the graph with a default: a constant no more."""
    scope = node.scope
    while scope.outer is not None:
        scope = scope.outer
    given = {value.name for value in scope.proto.input} & set(scope.tensors)
    return any(source(node.scope, node.input(index), ("Identity", "Cast")).name in given for index in (1, 2))


def dynamic(node: Node) -> bool:
    """Whether scale and zero-point are measured on each run, by DynamicQuantizeLinear."""
    return any(before is not None and before.op == "DynamicQuantizeLinear" for before in map(node.producer, (0, 1, 2)))


_TYPES = set(onnx.TensorProto.DataType.values())


def pairs(graph: GraphView) -> Iterator[Node]:
    """One node for each place of quantization: each QuantizeLinear, and each DequantizeLinear without one before it."""
    for node in quantizers(graph):
        before = source(node.scope, node.input(0)).node
        if node.op == "QuantizeLinear" or before is None or before.op != "QuantizeLinear":
            yield node


def stored_weight(node: Node) -> np.ndarray | None:
    """The integers of a layer's weight, as its DequantizeLinear reads them; None if they cannot be told."""
    pair = weight_pair(node)
    if pair is None:
        return None
    before = pair[0].producer(0)
    if before is not None and before.op == "QuantizeLinear":
        return quantized_constant(before)
    return data_constant(pair[0])


def quantized_constant(node: Node) -> np.ndarray | None:
    """What a QuantizeLinear makes of a constant, by ONNX's definition: float32, half to even, saturated.

    None if an input is no constant, or of a kind that cannot be evaluated here to the last bit.
    """
    data, scale, zero = node.constant(0), node.constant(1), node.constant(2)
    if (
        data is None
        or scale is None
        or zero is None
        or zero.dtype not in (np.int8, np.uint8)
        or zero.shape != scale.shape
    ):
        return None
    if data.dtype != np.float32 or scale.dtype != np.float32 or not np.isfinite(data).all() or not (scale > 0).all():
        return None
    axis = node.attribute("axis", 1)
    if scale.ndim > 1 or (scale.ndim and not (-data.ndim <= axis < data.ndim and data.shape[axis] == scale.size)):
        return None
    shape = [-1 if i == axis % data.ndim else 1 for i in range(data.ndim)] if scale.ndim else []
    with np.errstate(over="ignore"):
        codes = np.rint(data / scale.reshape(shape)) + zero.reshape(shape).astype(np.float32)
    info = np.iinfo(zero.dtype)
    return np.asarray(np.clip(codes, info.min, info.max).astype(zero.dtype))
