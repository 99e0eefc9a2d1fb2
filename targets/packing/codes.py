"""What a device remembers, handed on as the 8-bit codes that it is: a quarter of the bytes, and no way there and back.

An INT8 encoder ends in Quantize and Dequantize, and its floating-point outputs come back a slot later. Where zero's
code is zero, the codes can be remembered in their place; the fuser's means and maxima are then of codes, and become
numbers by each stream's scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from codriver.bundle.manifest import PART, POOLED
from codriver.tasks import GROUP_OF, JOINTS, STREAMS

HANDED_IN = {"feature": "before", "motion": "motion_before"}  # an output, and the input that it is a slot later


def in_codes(encoders: Mapping[str, bytes], pooled: bytes) -> tuple[dict[str, bytes], bytes] | None:
    """Each group's encoder by its path, and the fuser behind its pooling -> the same of codes; None: not all are."""
    parts, scales = {}, {}
    for path, data in encoders.items():
        group = path.rpartition(PART)[2].removesuffix(".onnx")
        model = onnx.load_from_string(data)
        for what in (*HANDED_IN, "slot"):
            node = _made_of_codes(model.graph, f"{group}_{what}")
            if node is None:
                return None
            scales[group] = float(_values(model.graph, node.input[1]))  # the slot's is the last one
            _hand_on(model.graph, group, what, node)
        onnx.checker.check_model(model, full_check=True)
        parts[path] = bytes(model.SerializeToString(deterministic=True))
    return parts, _of_codes(onnx.load_from_string(pooled), scales)


def _made_of_codes(graph: onnx.GraphProto, output: str) -> onnx.NodeProto | None:
    """The node that makes numbers of the output's codes, if they are unsigned and zero's code is zero."""
    node = next(node for node in graph.node if output in node.output)
    if node.op_type != "DequantizeLinear" or len(node.input) < 3:
        return None
    zero = _values(graph, node.input[2])
    return node if zero.dtype == np.uint8 and not zero.any() and not zero.ndim else None


def _values(graph: onnx.GraphProto, name: str) -> NDArray[Any]:
    values: NDArray[Any] = numpy_helper.to_array(next(tensor for tensor in graph.initializer if tensor.name == name))
    return values


def _hand_on(graph: onnx.GraphProto, group: str, what: str, node: onnx.NodeProto) -> None:
    """Give the codes in place of the numbers, and take them a slot later."""
    output, numbers = f"{group}_{what}", f"{group}_{what}_numbers"
    codes, *how = node.input
    for other in graph.node:
        for side in (other.input, other.output):
            side[:] = [{output: numbers, codes: output}.get(name, name) for name in side]
    if not any(numbers in other.input for other in graph.node):
        graph.node.remove(node)
    _retype(graph.output, output)
    if what in HANDED_IN:
        given = f"{group}_{HANDED_IN[what]}"
        for other in graph.node:
            other.input[:] = [f"{given}_numbers" if name == given else name for name in other.input]
        graph.node.insert(
            0, helper.make_node("DequantizeLinear", [given, *how], [f"{given}_numbers"], f"{given}_numbers")
        )
        _retype(graph.input, given)


def _retype(values: list[onnx.ValueInfoProto], name: str) -> None:
    next(value for value in values if value.name == name).type.tensor_type.elem_type = TensorProto.UINT8


def _of_codes(model: onnx.ModelProto, scales: Mapping[str, float]) -> bytes:
    """The fuser whose means and maxima are multiplied by what a code of the stream's slots stands for."""
    for kind, name in POOLED.items():
        streams = [
            stream for stream in STREAMS if (stream in JOINTS) == (kind == "joints") and GROUP_OF[stream] in scales
        ]
        if not streams:
            continue
        for node in model.graph.node:
            node.input[:] = [f"{name}_numbers" if given == name else given for given in node.input]
        each = np.repeat([scales[GROUP_OF[stream]] for stream in streams], 2).astype(np.float32)[None, :, None]
        model.graph.initializer.append(numpy_helper.from_array(each, f"{name}_scales"))
        model.graph.node.insert(
            0, helper.make_node("Mul", [name, f"{name}_scales"], [f"{name}_numbers"], f"{name}_numbers")
        )
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))
