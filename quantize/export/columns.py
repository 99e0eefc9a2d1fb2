"""The convolution that reads a picture computes two columns at once: the same integers in fewer, longer copies.

ONNX Runtime gathers each output pixel's patch row by row before it multiplies. Three channels are rows of nine bytes,
and gathering them takes twice as long as the product. Four columns of three channels lie in memory as one of twelve,
so the picture is read as that, without a move; the kernel is three rows by two such columns, zero where the 3x3 one
does not reach, and gives two columns of output side by side, which in memory are the two columns again.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from quantize.export.pixel_codes import drop_unread
from quantize.rules.qdq import weight_pair
from quantize.rules.view import Node, Scope

AT_ONCE = 2  # columns of output; four were slower in ONNX Runtime 1.32 (DECISIONS.md, 2026-11-30)
READ = 2 * AT_ONCE  # columns of the picture that lie side by side
TO_NCHW, TO_NHWC = [0, 3, 1, 2], [0, 2, 3, 1]
STRIDED = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
SAME = 0  # of a Reshape: the batch is what it was, as proofs run whole clips at once
DEFAULTS = {"dilations": [1, 1], "group": 1}


class Stem(NamedTuple):
    """A picture's first convolution, and what stands around it."""

    picture: tuple[str, tuple[int, ...]]  # an input of the graph, and its shape (N, H, W, C)
    entering: Node  # Transpose, from NHWC
    conv: Node
    weight: Node  # DequantizeLinear
    leaving: Node  # QuantizeLinear


def compute_two_columns_at_once(model: onnx.ModelProto) -> int:
    """Rewrite, in place, each 3x3 convolution of stride 2 that reads a picture's codes. Returns how many.

    Integers are the same: what is added to each sum is zero times a code.
    """
    stems = [stem for node in Scope(model.graph).nodes if (stem := _stem(node)) is not None]
    for stem in stems:
        _rewrite(model.graph, stem)
    if stems:
        drop_unread(model.graph)
    return len(stems)


def _stem(conv: Node) -> Stem | None:
    if conv.op != "Conv" or any(conv.attribute(name, [0]) != value for name, value in STRIDED.items()):
        return None
    if any(conv.attribute(name, value) != value for name, value in DEFAULTS.items()) or not conv.input(2):
        return None
    codes, weight, leaving = conv.producer(0), conv.producer(1), _leaving(conv)
    entering = codes.producer(0) if codes is not None and codes.op == "DequantizeLinear" else None
    if entering is None or entering.op != "Transpose" or entering.attribute("perm", [0]) != TO_NCHW:
        return None
    picture = _picture(entering)
    if picture is None or weight is None or leaving is None or weight_pair(conv) is None or conv.constant(2) is None:
        return None
    if weight.constant(2) is None or np.any(weight.constant(2)):  # a zero would be another code
        return None
    return Stem(picture, entering, conv, weight, leaving)


def _leaving(conv: Node) -> Node | None:
    """The quantizer behind a convolution, through its ReLU."""
    for _ in range(2):
        if conv.leaves or len(conv.readers) != 1:
            return None
        conv = conv.readers[0][0]
        if conv.op == "QuantizeLinear":
            return None if conv.leaves else conv
    return None


def _picture(entering: Node) -> tuple[str, tuple[int, ...]] | None:
    for value in entering.scope.proto.input:
        kind = value.type.tensor_type
        if value.name == entering.input(0) and kind.elem_type == TensorProto.UINT8 and len(entering.readers) == 1:
            shape = tuple(size.dim_value for size in kind.shape.dim)
            return (value.name, shape) if shape[1] % 2 == 0 == shape[2] % READ else None
    return None


def _rewrite(graph: onnx.GraphProto, stem: Stem) -> None:
    name, (_, height, width, channels) = stem.picture
    own, outputs = stem.conv.name, np.asarray(stem.weight.constant(0)).shape[0]

    def keep(what: str, values: np.ndarray) -> str:
        graph.initializer.append(numpy_helper.from_array(values, f"{own}.{what}"))
        return f"{own}.{what}"

    def twice(what: str, node: Node, index: int) -> str:
        """A number for each output channel, for both columns."""
        values = np.asarray(node.constant(index))
        return keep(what, np.tile(values, AT_ONCE) if values.size > 1 else values)

    def reshape(taken: str, shape: list[int]) -> onnx.NodeProto:
        return helper.make_node(
            "Reshape", [taken, keep(f"{taken}.shape", np.array(shape))], [f"{own}.{taken}.reshaped"]
        )

    together = reshape(name, [SAME, height, width // READ, READ * channels])
    weights = [keep("weights", _widened(np.asarray(stem.weight.constant(0)))), twice("scale", stem.weight, 1)]
    pair = helper.make_node(
        "DequantizeLinear", [*weights, twice("zero", stem.weight, 2)], [f"{own}.weights.real"], axis=0
    )
    given, codes = stem.leaving.outputs[0], f"{own}.codes"
    moved = helper.make_node("Transpose", [codes], [f"{codes}.moved"], perm=TO_NHWC)
    apart = reshape(moved.output[0], [SAME, height // 2, width // 2, outputs])
    back = helper.make_node("Transpose", [apart.output[0]], [given], perm=TO_NCHW)

    stem.entering.proto.input[0] = together.output[0]
    stem.conv.proto.input[1:] = [pair.output[0], twice("bias", stem.conv, 2)]
    for attribute in stem.conv.proto.attribute:
        replaced = {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 1, 1, 0]}.get(attribute.name)
        attribute.ints[:] = replaced or attribute.ints
    stem.leaving.proto.output[0] = codes
    _insert(graph, stem.entering.proto, [together, pair], after=False)
    _insert(graph, stem.leaving.proto, [moved, apart, back], after=True)


def _widened(weights: np.ndarray) -> np.ndarray:
    """(O, C, 3, 3) -> (2 * O, 4 * C, 3, 2): for each column of output own channels, zero where it does not reach."""
    outputs, channels = weights.shape[:2]
    wide = np.zeros((AT_ONCE, outputs, READ, channels, 3, 2), weights.dtype)
    for column in range(AT_ONCE):
        for at in range(3):
            group, lane = divmod(READ + 2 * column + at - 1, READ)  # the kernel's columns: those before, and these
            wide[column, :, lane, :, :, group] = weights[..., at]
    return wide.reshape(AT_ONCE * outputs, READ * channels, 3, 2)


def _insert(graph: onnx.GraphProto, beside: onnx.NodeProto, nodes: list[onnx.NodeProto], *, after: bool) -> None:
    place = next(k for k, node in enumerate(graph.node) if node is beside or node == beside) + after
    for k, node in enumerate(nodes):
        graph.node.insert(place + k, node)
