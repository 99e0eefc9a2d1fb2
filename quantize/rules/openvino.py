"""What OpenVINO misreads in an ONNX file: signed Q/DQ at a Concat (docs/reference/int8.md 3.3)."""

from __future__ import annotations

from collections.abc import Iterator

from quantize.rules.qdq import dequantizer, in_int8, zero_type
from quantize.rules.rule import Asked, Found
from quantize.rules.view import CONVOLUTIONS, MOVING, PAIRED, GraphView, Node

STEPS = 16  # from a Concat to the convolution that reads it, through pairs and nodes that only move numbers


def concat_is_unsigned(graph: GraphView, asked: Asked) -> Iterator[Found]:
    """Of two branches or more: a single tensor twice was never seen to fail."""
    for node in graph.of("Concat"):
        signed = _signed_pair(node)
        if signed is not None and len(set(node.inputs)) > 1:
            reader = next((some for some in _convolutions_behind(node) if in_int8(some)), None)
            if reader is not None:
                yield node.name, f"{signed.name} is int8, and {reader.op} {reader.name} reads the join in INT8"


def _signed_pair(node: Node) -> Node | None:
    before = [dequantizer(node, index) for index in range(len(node.inputs))]
    behind = [reader for reader, _ in node.readers if reader.op == "QuantizeLinear"]
    return next((pair for pair in (*before, *behind) if pair is not None and zero_type(pair) == "int8"), None)


def _convolutions_behind(node: Node) -> list[Node]:
    found: dict[int, Node] = {}
    front = [node]
    for _ in range(STEPS):
        readers = [reader for some in front for reader, index in some.readers if index == 0 or some is node]
        found |= {id(reader): reader for reader in readers if reader.op in CONVOLUTIONS}
        front = list({id(r): r for r in readers if r.op in (*PAIRED, *MOVING, "Relu", "Clip")}.values())
    return list(found.values())
