"""Rules about where Q/DQ sit, as ONNX Runtime fuses on CPUs: pairs on every side, nothing in between.

What it takes was read from its optimized graphs; a test holds these rules against them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from quantize.rules.qdq import dequantizer, weight_pair, zero_type
from quantize.rules.rule import Asked, Found
from quantize.rules.view import CONVOLUTIONS, LIMIT, MOVING, Graph, Node, source

EPSILON = float(np.finfo(np.float32).eps)


def convolutions_fuse(graph: Graph, asked: Asked) -> Iterator[Found]:
    """Conv becomes QLinearConv if its data, weight and output all carry a pair."""
    for node in graph.of(*CONVOLUTIONS):
        if asked.int8 is not None and not {node.name, *node.outputs} & asked.int8:
            continue
        if node.op == "ConvTranspose":
            if weight_pair(node) is not None:
                yield node.name, "ConvTranspose has no INT8 kernel: its Q/DQ cost time and accuracy for nothing"
            continue
        for reason in unfused(node):
            yield node.name, reason


def unfused(node: Node) -> list[str]:
    """Why a convolution stays in floating point; empty if it fuses."""
    reasons = []
    if dequantizer(node, 0) is None:
        reasons.append("data does not come from DequantizeLinear")
    if weight_pair(node) is None:
        reasons.append("weight does not come from DequantizeLinear")
    found = _output(node)
    return [*reasons, found] if found else reasons


def _output(node: Node) -> str | None:
    """What keeps the output of a node from being quantized within it; None if nothing does."""
    between: list[Node] = []
    for _ in range(LIMIT):
        if node.leaves:
            return f"{node.op} is an output of the graph, in floating point"
        if len(node.readers) != 1:
            return f"{node.op} is read by {len(node.readers)} nodes, not by one QuantizeLinear"
        node = node.readers[0][0]
        if node.op == "QuantizeLinear":
            kept = [step.op for step in between if step.op not in MOVING and not _absorbed(step, node)]
            return f"{kept[0]} stays before {node.name}, whose range is wider" if kept else None
        if node.op == "BatchNormalization":
            return None  # a rule of its own
        if node.op not in ("Relu", "Clip", *MOVING):
            return f"output goes to {node.op} {node.name}, not to QuantizeLinear"
        between.append(node)
    return "output reaches no QuantizeLinear"


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


def batch_norm_is_folded(graph: Graph, asked: Asked) -> Iterator[Found]:
    for node in graph.of("BatchNormalization"):
        before = source(node.scope, node.input(0), ("Identity", "QuantizeLinear", "DequantizeLinear")).node
        if before is not None and before.op in CONVOLUTIONS and weight_pair(before) is not None:
            yield node.name, f"follows quantized {before.op} {before.name}"


def joins_are_paired(graph: Graph, asked: Asked) -> Iterator[Found]:
    """An Add or Concat of quantized tensors ends in QuantizeLinear, else it is an island of floating point."""
    for node in graph.of("Add", "Concat"):
        inputs = [dequantizer(node, index, ("Identity",)) for index in range(len(node.inputs))]
        constants = [node.constant(index) is not None for index in range(len(node.inputs))]
        if len(inputs) > 1 and all(inputs) and not any(constants):
            reason = _output(node)
            if reason:
                yield node.name, reason
