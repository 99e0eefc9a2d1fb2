"""Rules about where Q/DQ sit, as TensorRT fuses: joins, outputs, and which convolutions are in INT8."""

from __future__ import annotations

from collections.abc import Iterator

from quantize.rules.qdq import dequantizer, in_int8, weight_pair
from quantize.rules.rule import Asked, Found
from quantize.rules.view import CONVOLUTIONS, LIMIT, MOVING, PAIRED, GraphView, Node, source

AFTER_CONV = ("BatchNormalization", "Relu", "Clip", "LeakyRelu", "Identity")  # the builder folds these into the layer
# What would be one kernel with a float ConvTranspose.
FUSED_BEHIND = ("BatchNormalization", "Relu", "Clip", "LeakyRelu", "PRelu", "Elu", "Sigmoid", "Tanh", "HardSwish")


def concat_has_one_scale(graph: GraphView, asked: Asked) -> Iterator[Found]:
    for node in graph.of("Concat"):
        found = [dequantizer(node, index) for index in range(len(node.inputs))]
        with_pair = [quantizer for quantizer in found if quantizer is not None]
        if with_pair and len(with_pair) < len(found):
            yield node.name, f"{len(with_pair)} of {len(found)} inputs are quantized"
            continue
        scales = {_scale_text(quantizer) for quantizer in with_pair}
        if len(scales) > 1:
            yield node.name, f"inputs have {len(scales)} different scales: {', '.join(sorted(scales))}"


def _scale_text(quantizer: Node) -> str:
    scale = quantizer.constant(1)
    if scale is None:
        return "unknown"
    return f"{scale.item():.9g}" if scale.size == 1 else f"{scale.size} values"


def skip_alone_is_quantized(graph: GraphView, asked: Asked) -> Iterator[Found]:
    """An Add behind a convolution fuses with it if the convolution's side carries no pair."""
    for node in graph.of("Add", "Sum"):
        if any(node.scope.constant(name) is not None for name in node.inputs) or len(node.inputs) < 2:
            continue
        convolved = [i for i in range(len(node.inputs)) if _convolution(node, i) is not None]
        quantized = [i for i in range(len(node.inputs)) if dequantizer(node, i, ("Identity",)) is not None]
        if not convolved or not quantized:
            continue
        if len(quantized) > 1:
            sides = " and ".join(repr(node.inputs[i]) for i in quantized)
            yield node.name, f"inputs {sides} are quantized; the side of the convolution must not be"
        elif quantized[0] in _branches(node, convolved) and not _branches(node, [1 - quantized[0]]):
            convolution = _convolution(node, quantized[0])
            assert convolution is not None
            yield node.name, f"the side of {convolution.name} is quantized and the skip is not"


def _convolution(node: Node, index: int) -> Node | None:
    """The convolution that an input comes from, through its activation and through Q/DQ."""
    found = source(node.scope, node.input(index), (*AFTER_CONV, *PAIRED)).node
    return found if found is not None and found.op in CONVOLUTIONS else None


def _branches(node: Node, indices: list[int]) -> list[int]:
    """Those inputs that come straight from a convolution, folded normalisation aside, which nothing else reads."""
    found = []
    for index in indices:
        end = source(node.scope, node.input(index), ("BatchNormalization", "Identity", *PAIRED)).node
        if end is not None and end.op in CONVOLUTIONS and len(end.readers) == 1:
            found.append(index)
    return found


def outputs_are_float(graph: GraphView, asked: Asked) -> Iterator[Found]:
    for name in graph.scope.proto.output:
        found = source(graph.scope, name.name).node
        if found is not None and found.op in PAIRED and name.name not in asked.quantized_outputs:
            yield name.name, f"graph output comes from {found.op} {found.name}"


def convolutions_are_int8(graph: GraphView, asked: Asked) -> Iterator[Found]:
    """Those expected to be in INT8 are, and no others."""
    names: set[str] = set()
    for node in graph.of(*CONVOLUTIONS):
        known = {node.name, *node.outputs}
        names |= known
        wanted = asked.int8 is None or bool(known & asked.int8)
        if wanted and not in_int8(node):
            yield node.name, f"{node.op} stays in floating point: {_lacking(node)}"
        elif not wanted and in_int8(node):
            yield node.name, f"{node.op} runs in INT8, and is not on the list of those that should"
    for name in sorted((asked.int8 or frozenset()) - names):
        yield name, "is on the list, and no convolution has this name"


def _lacking(node: Node) -> str:
    sides = [("data", 0), ("weight", 1)]
    bare = []
    for side, index in sides:
        found = source(node.scope, node.input(index), MOVING).node
        if found is None or found.op != "DequantizeLinear":
            bare.append(f"{side} comes from {found.op if found is not None else 'a float tensor'}")
    return ", ".join(bare) or "weight is no constant"


def transposed_ends_in_pair(graph: GraphView, asked: Asked) -> Iterator[Found]:
    """A quantized ConvTranspose is followed by its pair, with no activation or normalisation in between."""
    for node in graph.of("ConvTranspose"):
        if weight_pair(node) is None or not in_int8(node):
            continue
        for between in _until_pair(node):
            yield node.name, f"{between.op} {between.name} stands between it and its output's pair"


def _until_pair(node: Node) -> list[Node]:
    """Activations and normalisations behind a node, each followed by a QuantizeLinear at last."""
    found: list[Node] = []
    for first, _ in node.readers:
        step = first
        chain: list[Node] = []
        while step.op in (*FUSED_BEHIND, *MOVING) and len(chain) < LIMIT and step.readers:
            chain.append(step)
            step = step.readers[0][0]
        kept = [some for some in chain if some.op in FUSED_BEHIND]
        if kept and step.op == "QuantizeLinear":
            found.append(kept[0])
    return found
