"""FP16 outside INT8, by explicit types: what TensorRT's strongly typed networks ask of the graph itself.

The convolutions and matrix products that Q/DQ makes INT8, and what lies between them and the next Q, stay as they are:
below opset 19 a scale must be FP32, and the fused kernel holds no FP32 tensor anyway. Of the rest, operations that are
safe in FP16 take and give float16, with casts where the two meet. Inputs and outputs keep their types.
A graph without Q/DQ becomes the FP16 twin.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Q, DQ = "QuantizeLinear", "DequantizeLinear"
FULL, HALF = TensorProto.FLOAT, TensorProto.FLOAT16
LARGEST = float(np.finfo(np.float16).max)  # what is larger, a mask's -1e9, becomes this: infinity makes NaN

# What may stand between an INT8 operation and the Q that ends it: TensorRT fuses or moves Q through all of it.
BETWEEN = frozenset({"Add", "AveragePool", "Clip", "Concat", "Flatten", "GlobalAveragePool", "Identity", "MaxPool"})
BETWEEN |= {"Mul", "Relu", "Reshape", "Slice", "Squeeze", "Sub", "Transpose", "Unsqueeze"}
# Everything else stays in FP32: squares and sums leave FP16's range, and TensorRT advises it for normalizations.
SAFE = BETWEEN | {
    "Conv",
    "ConvTranspose",
    "Div",
    "Erf",
    "Expand",
    "Gather",
    "Gemm",
    "MatMul",
    "Max",
    "Min",
    "Neg",
    "Pad",
}
SAFE |= {"Sigmoid", "Softmax", "Split", "Tanh", "Where"}


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """A new model; the one given stays as it is. Its shapes must be fixed and its weights inside."""
    half = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    zone = int8_zone(half.graph)
    kinds = [HALF if p not in zone and n.op_type in SAFE else FULL for p, n in enumerate(half.graph.node)]
    ends = _ends(half.graph, kinds)
    nodes = _Converter(half.graph).convert(kinds)
    del half.graph.node[:], half.graph.value_info[:]  # the latter hold the old types
    half.graph.node.extend(nodes + ends)
    used = {name for node in half.graph.node for name in node.input}
    constants = [constant for constant in half.graph.initializer if constant.name in used]
    del half.graph.initializer[:]
    half.graph.initializer.extend(constants)
    onnx.checker.check_model(half, full_check=True)
    return half


def _ends(graph: onnx.GraphProto, kinds: list[int]) -> list[onnx.NodeProto]:
    """Casts that give outputs made in FP16 their type back; inside the graph such an output gets another name."""
    outputs = {value.name: value for value in graph.output if value.type.tensor_type.elem_type == FULL}
    made = [
        n for node, kind in zip(graph.node, kinds, strict=True) if kind == HALF for n in node.output if n in outputs
    ]
    for name in made:
        inner = f"{name}_inner"
        value = graph.value_info.add()
        value.CopyFrom(outputs[name])
        value.name = inner
        for node in graph.node:
            node.input[:] = [inner if n == name else n for n in node.input]
            node.output[:] = [inner if n == name else n for n in node.output]
    return [helper.make_node("Cast", [f"{name}_inner"], [name], f"{name}_cast", to=FULL) for name in made]


def int8_zone(graph: onnx.GraphProto) -> set[int]:
    """Places of the nodes that stay as they are: Q, DQ, what a DQ feeds, and what lies between that and the next Q."""
    nodes = list(graph.node)
    makers = {output: place for place, node in enumerate(nodes) for output in node.output}
    from_dq = {output for node in nodes if node.op_type == DQ for output in node.output}
    zone = {place for place, node in enumerate(nodes) if node.op_type in (Q, DQ) or from_dq & set(node.input)}
    seen: set[int] = set()
    pending = [node.input[0] for node in nodes if node.op_type == Q]
    while pending:
        place = makers.get(pending.pop())
        if place is not None and place not in seen and nodes[place].op_type in BETWEEN:
            seen.add(place)
            pending += nodes[place].input
    return zone | seen


class _Converter:
    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._constants = {constant.name: constant for constant in graph.initializer}
        values = [*graph.input, *graph.output, *graph.value_info]
        types = {value.name: value.type.tensor_type.elem_type for value in values}
        types |= {constant.name: constant.data_type for constant in graph.initializer}
        self._kinds = {name: FULL for name, kind in types.items() if kind == FULL}  # of the tensors as they are made
        self._other: dict[str, str] = {}  # the same tensor in the other type
        self._nodes: list[onnx.NodeProto] = []

    def convert(self, kinds: list[int]) -> list[onnx.NodeProto]:
        """The nodes, each with the floating-point type that it is to take and give, and casts between them."""
        for node, kind in zip(self._graph.node, kinds, strict=True):
            node.input[:] = [self._as(name, kind) if name in self._kinds else name for name in node.input]
            self._nodes.append(node)
            self._kinds |= {name: kind for name in node.output if name in self._kinds}
        return self._nodes

    def _as(self, name: str, kind: int) -> str:
        """The tensor's name in this type; the first who asks has a cast, or another constant, made."""
        if self._kinds[name] == kind:
            return name
        if name not in self._other:
            other = self._other[name] = f"{name}_{'half' if kind == HALF else 'full'}"
            if name in self._constants:
                values = np.clip(numpy_helper.to_array(self._constants[name]), -LARGEST, LARGEST)
                self._graph.initializer.append(numpy_helper.from_array(np.asarray(values, np.float16), other))
            else:
                self._nodes.append(helper.make_node("Cast", [name], [other], f"{other}_cast", to=kind))
        return self._other[name]
