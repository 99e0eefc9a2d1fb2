"""A picture's pixels are already the codes of the first quantizer: what would compute them again goes."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from quantize.rules.view import MOVING, Node, Scope

PIXELS = np.arange(256, dtype=np.uint8)


def take_pixels_as_codes(model: onnx.ModelProto) -> int:
    """Let what reads a quantized picture read the picture itself, in place, where a pixel is its own code.

    Cast, Mul and QuantizeLinear then give back, bit by bit, what they were given: all 256 pixels are tried. Pictures
    are uint8; codes may not have been moved to int8 before. Returns how many.
    """
    scope = Scope(model.graph)
    found = {node.outputs[0]: picture for node in scope.nodes if (picture := _picture_of(node)) is not None}
    for node in model.graph.node:
        node.input[:] = [found.get(name, name) for name in node.input]
    drop_unread(model.graph)
    return len(found)


def _picture_of(quantize: Node) -> str | None:
    """The uint8 tensor whose values are this node's codes; None if they are not or nobody can tell."""
    scaled = quantize.producer(0) if quantize.op == "QuantizeLinear" and not quantize.leaves else None
    cast = scaled.producer(0) if scaled is not None and scaled.op == "Mul" else None
    if scaled is None or cast is None or cast.op != "Cast" or not _is_uint8(cast):
        return None
    factor, scale, zero = scaled.constant(1), quantize.constant(1), quantize.constant(2)
    if factor is None or scale is None or zero is None or {factor.size, scale.size} != {1} or zero.dtype != np.uint8:
        return None
    pixels = PIXELS.astype(np.float32) * factor.astype(np.float32).ravel()
    codes = np.rint(pixels / scale.ravel()) + zero.ravel()
    return cast.input(0) if np.array_equal(codes, PIXELS) else None


def _is_uint8(cast: Node) -> bool:
    """Whether a Cast to float32 reads an input of the graph that is a picture, as it is or moved."""
    if cast.attribute("to", 0) != TensorProto.FLOAT:
        return False
    name = cast.input(0)
    while (node := cast.scope.producer(name)) is not None and node.op in MOVING:
        name = node.input(0)
    kinds = {value.name: value.type.tensor_type.elem_type for value in cast.scope.proto.input}
    return bool(kinds.get(name) == TensorProto.UINT8)


def drop_unread(graph: onnx.GraphProto) -> None:
    """Nodes that nobody reads any more, from the end, and constants."""
    read = {value.name for value in graph.output} | {name for node in graph.node for name in node.input}
    for node in reversed(list(graph.node)):
        if not read & set(node.output):
            graph.node.remove(node)
            read = {value.name for value in graph.output} | {name for left in graph.node for name in left.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in read]:
        graph.initializer.remove(tensor)
