"""Rules about where Q/DQ sit, as ONNX Runtime fuses on CPUs: pairs on every side, nothing in between.

What it takes was read from its optimized graphs; a test holds these rules against them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from quantize.rules.qdq import dequantizer, replaceable, weight_pair, zero_type
from quantize.rules.rule import Asked, Check, Found
from quantize.rules.view import CONVOLUTIONS, LIMIT, MOVING, GraphView, Node, source

FLOAT_FUSED = ("FusedConv", "FusedGemm")  # operators of com.microsoft that hold no integers
STEP_TOLERANCE = 0.021  # of a bias's scale; ONNX Runtime 1.32 takes 2 % and refuses 3 %
EPSILON = float(np.finfo(np.float32).eps)


def convolutions_fuse(signed: str) -> Check:
    """Conv becomes QLinearConv if its data, weight and output all carry a pair. signed: see `unfused`."""

    def check(graph: GraphView, asked: Asked) -> Iterator[Found]:
        for node in graph.of(*CONVOLUTIONS):
            if asked.int8 is not None and not {node.name, *node.outputs} & asked.int8:
                continue
            if node.op == "ConvTranspose":
                if weight_pair(node) is not None:
                    yield node.name, "ConvTranspose has no INT8 kernel: its Q/DQ cost time and accuracy for nothing"
                continue
            for reason in unfused(node, signed):
                yield node.name, reason

    return check


def unfused(node: Node, signed: str = "in single pairs") -> list[str]:
    """Why a convolution stays in floating point; empty if it fuses.

    signed: where int8 activations fuse. "everywhere": on ARM. "in single pairs": x86 turns a pair into an unsigned one
    if a QuantizeLinear has one reader, and runs no signed convolution.
    """
    if node.integer and node.integer.rpartition("::")[2] not in FLOAT_FUSED:
        return []  # the file asks for the integer kernel by name
    data, weight = dequantizer(node, 0), weight_pair(node)
    reasons = ["data does not come from DequantizeLinear"] if data is None else []
    reasons += ["weight does not come from DequantizeLinear"] if weight is None else []
    found, end = _output(node)
    reasons += [found] if found else []
    pairs = [some for some in (data, weight[0] if weight else None, end) if some is not None]
    half = [some.name for some in pairs if not _is_float32(some)]
    reasons += [f"scale of {half[0]} is not float32, and no integer kernel takes another"] if half else []
    given = [some.name for some in pairs if replaceable(some)]
    reasons += (
        [f"scale or zero-point of {given[0]} is an input of the graph, which a caller may replace"] if given else []
    )
    coarse = _bias_of_another_step(node, data, weight[0] if weight else None)
    reasons += [coarse] if coarse else []
    if signed != "everywhere" and not reasons:
        kept = [data and _stays_signed(data, node), end and _stays_signed(end)]
        reasons += [text for text in kept if text]
    return reasons


def _bias_of_another_step(node: Node, data: Node | None, weight: Node | None) -> str | None:
    """What is wrong with a bias that carries Q/DQ: the kernel takes int32 in steps of data times weight, or a float."""
    bias = dequantizer(node, 2, ("Identity",))
    if bias is None or data is None or weight is None:
        return None
    kind, steps = zero_type(bias), [some.constant(1) for some in (bias, data, weight)]
    if kind != "int32":
        return f"bias {bias.name} is stored as {kind}, and the kernel takes int32"
    zero = bias.constant(2)
    if zero is not None and np.any(zero != 0):
        return f"bias {bias.name} has a zero-point"
    if any(step is None for step in steps):
        return None
    step, left, right = (np.asarray(some, np.float64) for some in steps)
    if (
        left.size != 1
        or step.size not in (1, right.size)
        or np.allclose(step, left * right, rtol=STEP_TOLERANCE, atol=0)
    ):
        return None
    return f"bias {bias.name} has a scale that is not the data's times the weight's"


def _is_float32(quantizer: Node) -> bool:
    scale = quantizer.constant(1)
    return scale is None or scale.dtype == np.float32


def _stays_signed(quantizer: Node, reader: Node | None = None) -> str | None:
    """Why a pair keeps its signed codes on x86; None if they are or become unsigned. reader: of data, further down."""
    first = quantizer.producer(0) if quantizer.op == "DequantizeLinear" else quantizer
    if zero_type(quantizer) != "int8":
        return None
    if first is None or first.op != "QuantizeLinear":
        return f"{quantizer.name} holds signed codes, which x86 has no convolution for"
    chain = [first, *(pair for pair, _ in first.readers), *(_movers(reader) if reader is not None else ())]
    if any(len(step.readers) + step.leaves != 1 for step in chain):
        return f"signed codes of {first.name} are read more than once: x86 makes single pairs alone unsigned"
    return None


def _movers(node: Node) -> list[Node]:
    """Nodes between a convolution's data and its DequantizeLinear."""
    found: list[Node] = []
    step = node.producer(0)
    while step is not None and step.op in MOVING and len(found) < LIMIT:
        found.append(step)
        step = step.producer(0)
    return found


def _output(node: Node) -> tuple[str | None, Node | None]:
    """What keeps the output of a node from being quantized within it, None if nothing does; and the quantizer."""
    between: list[Node] = []
    for _ in range(LIMIT):
        if node.leaves:
            return f"{node.op} is an output of the graph, in floating point", None
        if len(node.readers) != 1:
            return f"{node.op} is read by {len(node.readers)} nodes, not by one QuantizeLinear", None
        node = node.readers[0][0]
        if node.op == "QuantizeLinear":
            kept = [step.op for step in between if step.op not in MOVING and not _absorbed(step, node)]
            return (f"{kept[0]} stays before {node.name}, whose range is wider" if kept else None), node
        if node.op == "BatchNormalization":
            return None, None  # a rule of its own
        if node.op not in ("Relu", "Clip", *MOVING):
            return f"output goes to {node.op} {node.name}, not to QuantizeLinear", None
        between.append(node)
    return "output reaches no QuantizeLinear", None


def _absorbed(step: Node, quantizer: Node) -> bool:
    """Whether quantizing already clips to what a Relu or Clip leaves, so that ONNX Runtime drops the step."""
    scale, zero, kind = quantizer.constant(1), quantizer.constant(2), zero_type(quantizer)
    if kind not in ("int8", "uint8") or scale is None or scale.size != 1 or (zero is not None and zero.size != 1):
        return False
    info, point = np.iinfo(kind), 0 if zero is None else int(zero.item())
    if step.op == "Relu":
        return point == info.min
    low, high = ((float(scale.item()) * (bound - point)) for bound in (info.min, info.max))
    least, most = (_bound(step, index) for index in (1, 2))
    return (least is None or least - low <= EPSILON) and (most is None or high - most <= EPSILON)


def _bound(step: Node, index: int) -> float | None:
    value = step.constant(index)
    return float(value.item()) if value is not None and value.size == 1 else None


def batch_norm_is_folded(graph: GraphView, asked: Asked) -> Iterator[Found]:
    for node in graph.of("BatchNormalization"):
        before = source(node.scope, node.input(0), ("Identity", "QuantizeLinear", "DequantizeLinear")).node
        if before is not None and before.op in CONVOLUTIONS and weight_pair(before) is not None:
            yield node.name, f"follows quantized {before.op} {before.name}"


def joins_are_paired(graph: GraphView, asked: Asked) -> Iterator[Found]:
    """An Add or Concat of quantized tensors ends in QuantizeLinear, else it is an island of floating point."""
    for node in graph.of("Add", "Concat"):
        inputs = [dequantizer(node, index, ("Identity",)) for index in range(len(node.inputs))]
        constants = [node.constant(index) is not None for index in range(len(node.inputs))]
        if len(inputs) > 1 and all(inputs) and not any(constants):
            reason, _ = _output(node)
            if reason:
                yield node.name, reason
