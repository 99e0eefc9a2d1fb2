"""Rules about the file as such: is it ONNX, whose operators, which versions."""

from __future__ import annotations

import re
from collections.abc import Iterator

import onnx

from quantize.rules.qdq import quantizers
from quantize.rules.rule import Asked, Check, Found
from quantize.rules.view import STANDARD, GraphView
from workshop.onnx_files.check import faults

MAX_IR_VERSION = 10  # newest that ONNX Runtime 1.23 and TensorRT 10.3's parser read
# How onnx's shape inference words what it finds.
PLACE = re.compile(r"\[\w+\] \(op_type:(?P<op>[^,]+), node name: (?P<name>[^)]*)\): (?P<what>.+)")
# Operators of ONNX itself that hold integers inside. TensorRT's parser takes Q/DQ around float operators instead.
FUSED = ("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear")


def valid_onnx(graph: GraphView, asked: Asked) -> Iterator[Found]:
    """What a runtime's own check would refuse, but for unknown operators and output_dtype, which have own rules."""
    for reason in faults(graph.model):
        told = PLACE.match(reason)
        yield (told["name"], f"{told['op']}: {told['what']}") if told and told["name"] else ("file", reason)


def operators_of(*domains: str, refused: tuple[str, ...] = ()) -> Check:
    """Only operators of these domains, and of the standard one none that is unknown or refused."""

    def check(graph: GraphView, asked: Asked) -> Iterator[Found]:
        for node in graph.written:
            domain, kind = node.proto.domain, node.proto.op_type
            if domain not in (*STANDARD, *domains):
                yield node.name, f"{kind} of domain {domain}"
            elif domain in STANDARD and not onnx.defs.has(kind):
                yield node.name, f"{kind} is no ONNX operator"
            elif domain in STANDARD and kind in refused:
                yield node.name, f"{kind} works on integers inside; the runtime wants Q/DQ around the float operator"
        used = {node.proto.domain for node in graph.written}
        functions = {function.domain for function in graph.model.functions}
        for name in unused_imports(graph.model, used | functions):
            if name not in domains:
                yield "file", f"imports domain {name}, which no node uses"

    return check


def unused_imports(model: onnx.ModelProto, used: set[str]) -> list[str]:
    """Foreign domains that the file imports for nothing."""
    return [i.domain for i in model.opset_import if i.domain not in STANDARD and i.domain not in used]


def opset_within(low: int, high: int) -> Check:
    def check(graph: GraphView, asked: Asked) -> Iterator[Found]:
        opsets = [imported.version for imported in graph.model.opset_import if imported.domain in STANDARD]
        if not opsets:
            yield "file", f"names no opset, wanted is {low} to {high}"
        for opset in opsets:
            if not low <= opset <= high:
                yield "file", f"opset {opset}, wanted is {low} to {high}"
        if graph.model.ir_version > MAX_IR_VERSION:
            yield "file", f"ir_version {graph.model.ir_version}, wanted is at most {MAX_IR_VERSION}"

    return check


def no_output_dtype(graph: GraphView, asked: Asked) -> Iterator[Found]:
    for node in quantizers(graph):
        if node.has("output_dtype"):
            yield node.name, "has the attribute output_dtype"
