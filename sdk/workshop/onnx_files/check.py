"""Is a file ONNX that a runtime takes? onnx's full check, and what runtimes ask beyond it.

onnx's ordinary check looks at each node alone. Runtimes also refuse a zero-point of another type than its data, and
two nodes of one name; the full check finds the first, and nothing in onnx the second.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import onnx

from workshop.onnx_files.spelling import graphs, inlined, written_out

CHECKED_BYTES = 2**31 - 2**20  # onnx's checker takes a model as one message
SHARED_NAME = "share the name"
UNKNOWN_OPERATOR = "No Op registered"


def faults(model: onnx.ModelProto) -> Iterator[str]:
    """Why a runtime would refuse the file; unknown operators and the attribute output_dtype aside."""
    if model.ByteSize() > CHECKED_BYTES:
        yield from repeated_names(model)
        return
    bare = without_hints(model)
    reason = full_check(bare)
    if reason is None and any(node.domain for graph in graphs(model.graph) for node in graph.node):
        reason = _types_within(bare)
    if reason is not None and UNKNOWN_OPERATOR not in reason:
        yield reason
    yield from repeated_names(model)


def full_check(model: onnx.ModelProto) -> str | None:
    """What onnx's checker says, with types and shapes inferred; None if nothing."""
    try:
        onnx.checker.check_model(_with_all_shapes(model))
        onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    except Exception as error:  # ValidationError, InferenceError, and whatever its C++ side throws on damaged files
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return lines[0] if lines else type(error).__name__
    return None


def _with_all_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The checker wants a shape, of any sizes, for all that a graph takes and gives; runtimes do without."""
    if all(value.type.tensor_type.HasField("shape") for value in _ends(model)):
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for value in _ends(copy):
        if value.type.WhichOneof("value") == "tensor_type":
            value.type.tensor_type.shape.SetInParent()
    return copy


def _ends(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    return [value for graph in graphs(model.graph) for value in (*graph.input, *graph.output)]


def repeated_names(model: onnx.ModelProto) -> Iterator[str]:
    for graph in graphs(model.graph):
        counts = Counter(node.name for node in graph.node if node.name)
        for name, count in counts.items():
            if count > 1:
                yield f"{count} nodes {SHARED_NAME} {name!r}"


def without_hints(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy without what a runtime ignores or other rules report: sizes noted for inner tensors, output_dtype."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for graph in graphs(copy.graph):
        for value in graph.value_info:
            if value.type.WhichOneof("value") == "tensor_type":
                value.type.tensor_type.ClearField("shape")
        for node in graph.node:
            kept = [attribute for attribute in node.attribute if attribute.name != "output_dtype"]
            if len(kept) < len(node.attribute) and node.op_type in ("QuantizeLinear", "DequantizeLinear"):
                del node.attribute[:]
                node.attribute.extend(kept)
    return copy


def _types_within(model: onnx.ModelProto) -> str | None:
    """onnx looks into neither functions nor com.microsoft's operators: types are checked on what they stand for."""
    plain = written_out(inlined(model))
    if plain is model:
        return None
    try:
        onnx.shape_inference.infer_shapes(plain, check_type=True, strict_mode=True)
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        return reason if "inconsistent type" in reason or "unsupported type" in reason else None
    return None
