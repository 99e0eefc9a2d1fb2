"""Rules about the numbers of quantizers: types, zero-points, scales, axes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from quantize.rules.qdq import (
    WEIGHT_MOVING,
    activations,
    data_constant,
    dynamic,
    is_bias,
    of_weight,
    pairs,
    quantizers,
    stored_weight,
    weight_pair,
    zero_type,
)
from quantize.rules.rule import Asked, Check, Found
from quantize.rules.view import LINEAR, GraphView, Node, source

HALF_SCALES = 19  # opset from which a scale may be in half precision
SEVEN_BITS = 64  # largest magnitude of a weight: two products of 255 * 64 still fit in 16 bits


def zero_is_int8_and_zero(graph: GraphView, asked: Asked) -> Iterator[Found]:
    for node in pairs(graph):
        if not is_bias(node) and not (node.op == "QuantizeLinear" and any(is_bias(n) for n, _ in node.readers)):
            yield from _zero_findings(node, "int8", zero=True)


def activations_are(kind: str) -> Check:
    """Every activation is stored as this type; its zero-point may be anything."""

    def check(graph: GraphView, asked: Asked) -> Iterator[Found]:
        for node in pairs(graph):
            if not of_weight(node):
                yield from _zero_findings(node, kind, zero=False)

    return check


def weights_are_int8(graph: GraphView, asked: Asked) -> Iterator[Found]:
    """Weights of convolutions and linear layers are symmetric int8. A constant left side of a MatMul is data."""
    found = [(node, pair[0]) for node in graph.of(*LINEAR) if (pair := weight_pair(node))]
    for quantizer in {id(one): one for node, one in found if _reads(node, 1, one)}.values():
        yield from _zero_findings(quantizer, "int8", zero=True)


def _zero_findings(node: Node, kind: str, *, zero: bool) -> Iterator[Found]:
    found, values = zero_type(node), node.constant(2)
    wrong = []
    if found is None and (node.input(2) or node.op == "QuantizeLinear"):  # else: what it reads is typed elsewhere
        wrong.append("zero-point is no constant that can be read")
    if found is not None and found != kind:
        wrong.append(f"stores {found}" if node.input(2) else f"has no zero-point, which means {found}")
    if zero and values is not None and values.size and np.any(np.asarray(values != 0)):
        wrong.append(f"zero-point is {values.ravel()[np.flatnonzero(values)[0]]}")
    if wrong:
        yield node.name, ", ".join(wrong)


def scales_are_sound(graph: GraphView, asked: Asked) -> Iterator[Found]:
    seen = set()
    for node in quantizers(graph):
        name = node.input(1)
        if (id(node.scope), name) in seen:
            continue
        seen.add((id(node.scope), name))
        scale = node.constant(1)
        if scale is None and not dynamic(node):
            yield node.name, f"scale {name!r} is no constant that can be read"
        elif scale is None:
            continue
        elif scale.dtype.name not in scale_types(graph, node):
            yield node.name, f"scale is {scale.dtype.name}"
        elif not np.isfinite(scale).all() or not (scale > 0).all():
            bad = scale[~(np.isfinite(scale) & (scale > 0))].ravel()
            yield node.name, f"scale holds {bad[0]} ({bad.size} of {scale.size} values are no positive number)"


def scale_types(graph: GraphView, node: Node) -> tuple[str, ...]:
    """Half precision came with opset 19; com.microsoft's operators always took it."""
    half = graph.opset >= HALF_SCALES or node.integer.startswith("com.microsoft")
    return ("float32", "float16", "bfloat16") if half else ("float32",)


def activations_are_per_tensor(graph: GraphView, asked: Asked) -> Iterator[Found]:
    done = set()
    for node in activations(graph):
        scale = node.constant(1)
        if scale is not None and scale.size != 1 and (id(node.scope), node.input(1)) not in done:
            done.add((id(node.scope), node.input(1)))  # a pair shares its scale: one finding
            yield node.name, f"activation with {scale.size} scales"


def weight_axis(graph: GraphView, asked: Asked) -> Iterator[Found]:
    """Per-channel weights have their scales along the output channels."""
    for node in graph.of(*LINEAR):
        pair = weight_pair(node)
        scale = None if pair is None else pair[0].constant(1)
        if pair is None or scale is None or scale.size == 1:
            continue
        if scale.ndim != 1 or pair[0].attribute("block_size", 0):
            yield pair[0].name, f"weight of {node.name} is quantized in blocks"
            continue
        wanted, data = _output_axis(node), data_constant(pair[0])
        if pair[1] is not None and pair[1] != wanted:
            yield pair[0].name, f"weight of {node.op} {node.name} has its scales along axis {pair[1]}, not {wanted}"
        elif pair[1] is not None and data is not None and _size_along(pair[0], data) != scale.size:
            yield (
                pair[0].name,
                f"weight of {node.name} has {scale.size} scales for {_size_along(pair[0], data)} channels",
            )


def _output_axis(node: Node) -> int:
    if node.op == "Gemm":
        return 0 if node.attribute("transB", 0) else 1
    if node.op == "MatMul":
        found = weight_pair(node)
        assert found is not None
        data = data_constant(found[0])
        ndim = 2 if data is None else data.ndim
        return ndim - 1 if node.constant(0) is None and _reads(node, 1, found[0]) else ndim - 2
    return 1 if node.op == "ConvTranspose" else 0


def _reads(node: Node, index: int, quantizer: Node) -> bool:
    return source(node.scope, node.input(index), WEIGHT_MOVING).node is quantizer


def _size_along(quantizer: Node, data: np.ndarray) -> int | None:
    axis = quantizer.attribute("axis", 1)
    return data.shape[axis] if -data.ndim <= axis < data.ndim else None


def bias_is(*allowed: str) -> Check:
    """No Q/DQ on a bias, but for the types that the runtime wants there."""

    def check(graph: GraphView, asked: Asked) -> Iterator[Found]:
        for node in graph.of("DequantizeLinear"):
            kind = zero_type(node) or "an unknown type"
            if is_bias(node) and kind not in allowed:
                yield node.name, f"bias of {node.readers[0][0].name} is quantized, to {kind}"

    return check


def weights_are_stored(graph: GraphView, asked: Asked) -> Iterator[Found]:
    """Weights are integers in the file, not floats that are quantized when the file is loaded."""
    for node in graph.of("QuantizeLinear"):
        data = data_constant(node)
        if data is not None and data.size > 1:  # a number costs nothing
            yield node.name, f"{data.nbytes} bytes of floats {list(data.shape)} are quantized on loading"


def weights_have_seven_bits(graph: GraphView, asked: Asked) -> Iterator[Found]:
    for node in graph.of(*LINEAR):
        codes = stored_weight(node)
        if codes is not None and codes.size and codes.dtype.kind in "iu":
            worst = int(np.abs(codes.astype(np.int64)).max())
            if worst > SEVEN_BITS:
                yield node.name, f"weight reaches {worst}, at most {SEVEN_BITS} cannot saturate"
