"""From a graph's nodes to the kernels that a runtime makes of them, with what each computes and moves.

What is fused is the least that each runtime is known to do (reference/int8.md 2.2, 3.1; checked against the nodes that
ONNX Runtime keeps). Scales, zero-points and padding are not counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from onnx import NodeProto

from targets.roofline.graph import OUTSIDE, VIEWS, SizedGraph

COPY_BYTES = 32  # that one instruction moves; a shorter row of a patch costs a copy all the same
PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
ACTIVATIONS = frozenset({"Relu", "Clip", "LeakyRelu", "Sigmoid", "Tanh", "HardSwish", "HardSigmoid"})
POINTWISE = ACTIVATIONS | {
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Sum",
    "Neg",
    "Abs",
    "Exp",
    "Sqrt",
    "Pow",
    "Erf",
    "Cast",
    "Where",
}
MOVES = frozenset({"Transpose", "Concat", "Split", "Slice", "Gather", "Expand", "Pad", "Tile", "QuantizeLinear",
                   "DequantizeLinear", "Cast"})  # fmt: skip
PARTIAL = frozenset({"Slice", "Gather", "Split"})  # read no more than they write


@dataclass(frozen=True)
class Fusion:
    """What a runtime makes one kernel of."""

    add: frozenset[str]  # precisions in which the addition after a convolution is part of it
    chains: bool  # pointwise operations after one another are one kernel
    recode: bool  # a float kernel may read and write 8 bits; else Q and DQ beside it are kernels of their own
    int8_needs_q: bool  # an INT8 convolution must also write INT8
    views: frozenset[str] = frozenset()  # that are launched like a kernel, though nothing moves
    no_int8: frozenset[str] = frozenset()  # products that have no kernel in INT8
    half_scales: bool = True  # a scale in half precision is as good


FUSIONS = {
    "onnxruntime": Fusion(
        add=frozenset({"float"}),
        chains=False,
        recode=False,
        int8_needs_q=True,
        views=VIEWS - {"Identity", "Dropout"},
        no_int8=frozenset({"ConvTranspose"}),
        half_scales=False,
    ),
    "openvino": Fusion(add=frozenset({"float", "int8"}), chains=True, recode=True, int8_needs_q=False),
    "tensorrt": Fusion(add=frozenset({"float", "int8"}), chains=True, recode=True, int8_needs_q=False),
}


@dataclass(frozen=True)
class Kernel:
    """One launch: what it computes and moves."""

    name: str  # of its first node
    ops: str  # "Conv+Relu+QuantizeLinear"
    precision: str  # "int8" or "float"
    macs: int  # multiply-accumulates
    elementwise: int  # operations on single elements, one for each element and node
    recoded: int  # values brought to or from 8 bits
    gathered: int  # copies that lay out an INT8 convolution's patches, see `_gathered`
    compared: int  # values among which a maximum is looked for
    weight_bytes: int
    read_bytes: int
    write_bytes: int

    @property
    def bytes(self) -> int:
        return self.weight_bytes + self.read_bytes + self.write_bytes


def kernels_of(graph: SizedGraph, engine: str, float_bytes: int = 4) -> list[Kernel]:
    """engine: one of FUSIONS. float_bytes: of an element outside INT8 that stays inside the graph."""
    return _Builder(graph, FUSIONS[engine], float_bytes).kernels


def _view(node: NodeProto) -> Kernel:
    return Kernel(node.name or node.output[0], node.op_type, "float", *[0] * 8)


class _Builder:
    def __init__(self, graph: SizedGraph, fusion: Fusion, float_bytes: int) -> None:
        self._graph, self._fusion, self._float_bytes = graph, fusion, float_bytes

    @cached_property
    def kernels(self) -> list[Kernel]:
        done: set[int] = set()
        ready = set(self._graph.inputs | self._graph.constants)
        found = []
        for at, node in enumerate(self._graph.nodes):
            if at in done or self._is_free(node):
                ready.update(node.output)
                if node.op_type in self._fusion.views and node.output[0] not in self._graph.constants:
                    found.append(_view(node))
                continue
            group = self._grow(at, ready)
            done.update(group)
            ready.update(name for member in group for name in self._graph.nodes[member].output)
            found.append(self._kernel([self._graph.nodes[member] for member in group], self._is_int8(node)))
        return found

    def _is_free(self, node: NodeProto) -> bool:
        if node.op_type in VIEWS or all(name in self._graph.constants for name in node.output):
            return True
        return node.op_type == "DequantizeLinear" and self._is_read_as_int8(node)

    def _is_read_as_int8(self, node: NodeProto) -> bool:
        """Whether nobody needs the float values of a DequantizeLinear."""
        readers = list(self._graph.readers_through_views(node.output[0]))
        if self._fusion.recode:
            return OUTSIDE not in readers
        return all(at != OUTSIDE and self._is_int8(self._graph.nodes[at]) for at in readers)

    def _is_int8(self, node: NodeProto) -> bool:
        """Whether a node can run in INT8: it reads 8 bits and, where the runtime asks for that, writes 8 bits."""
        graph = self._graph
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") or node.op_type in self._fusion.no_int8:
            return False
        operands = node.input[:2] if node.op_type in PRODUCTS else [n for n in node.input if graph.is_activation(n)]
        quantizers = [graph.dequantizer(name) for name in operands]
        if not quantizers or not all(quantizers):
            return False
        if not self._fusion.half_scales and not all(graph.itemsize(q.input[1]) == 4 for q in quantizers if q):
            return False
        if node.op_type in ("Gemm", "MatMul") or (node.op_type in PRODUCTS and not self._fusion.int8_needs_q):
            return True
        return self._ends_in_q(node)

    def _ends_in_q(self, node: NodeProto) -> bool:
        graph, readers = self._graph, list(self._graph.readers_through_views(node.output[0]))
        if len(readers) == 1 and readers[0] != OUTSIDE and graph.nodes[readers[0]].op_type in ("Relu", "Clip"):
            readers = list(graph.readers_through_views(graph.nodes[readers[0]].output[0]))
        return bool(readers) and all(at != OUTSIDE and graph.nodes[at].op_type == "QuantizeLinear" for at in readers)

    def _grow(self, start: int, ready: set[str]) -> list[int]:
        """Numbers of the nodes that become one kernel with node `start`."""
        graph, group = self._graph, [start]
        int8 = self._is_int8(graph.nodes[start])
        while True:
            out = graph.nodes[group[-1]].output[0]
            readers = graph.readers(out)
            if len(readers) != 1 or readers[0] == OUTSIDE:
                return group
            node = graph.nodes[readers[0]]
            others = [name for name in node.input if name != out]
            if not all(name in ready for name in others) or not self._joins(node, group, int8):
                return group
            group.append(readers[0])
            if node.op_type == "QuantizeLinear":
                return group

    def _joins(self, node: NodeProto, group: Sequence[int], int8: bool) -> bool:
        ops = [self._graph.nodes[member].op_type for member in group]
        activations = [name for name in node.input if self._graph.is_activation(name)]
        if node.op_type == "QuantizeLinear":
            return ops[0] not in VIEWS and ops[-1] != "DequantizeLinear" and (int8 or self._fusion.recode)
        if ops[0] in PRODUCTS and not ACTIVATIONS & set(ops):
            if node.op_type in ACTIVATIONS | {"BatchNormalization"} and (ops[0] != "MatMul" or self._fusion.chains):
                return True
            if node.op_type in ("Add", "Sum"):
                bias = len(activations) == 1 and "Add" not in ops
                return bias or (ops[0] == "Conv" and ("int8" if int8 else "float") in self._fusion.add)
        if int8 and node.op_type in ("Relu", "Clip"):  # the codes' least value does what Relu does
            return len(ops) == 1
        return self._fusion.chains and (ops[-1] in POINTWISE or ops[0] in PRODUCTS) and node.op_type in POINTWISE

    def _kernel(self, nodes: list[NodeProto], int8: bool) -> Kernel:
        graph, inner = self._graph, {name for node in nodes for name in node.output}
        reads = {name for node in nodes for name in node.input if graph.is_activation(name) and name not in inner}
        writes = list(nodes[-1].output)
        write_bytes = sum(graph.size(name) * self._itemsize(name) for name in writes if name)
        sources = {self._stored(name, int8) for name in reads}
        read_bytes = sum(graph.size(name) * self._itemsize(name) for name in sources)
        return Kernel(
            name=nodes[0].name or nodes[0].output[0],
            ops="+".join(node.op_type for node in nodes),
            precision="int8" if int8 else "float",
            macs=sum(self._macs(node) for node in nodes),
            elementwise=sum(self._elementwise(node) for node in nodes),
            recoded=self._recoded(nodes, int8, len(sources)),
            gathered=self._gathered(nodes[0]) if int8 else 0,
            compared=sum(self._graph.size(node.input[0]) for node in nodes if node.op_type == "ReduceMax"),
            weight_bytes=sum(self._weight_bytes(node) for node in nodes),
            read_bytes=min(read_bytes, write_bytes) if nodes[0].op_type in PARTIAL else read_bytes,
            write_bytes=write_bytes,
        )

    def _stored(self, name: str, int8: bool) -> str:
        """The tensor in memory that is read: codes, if the kernel takes them as they are."""
        name = self._graph.behind_views(name)
        dequantize = self._graph.dequantizer(name)
        if dequantize is None or not (int8 or self._fusion.recode):
            return name
        return self._graph.behind_views(dequantize.input[0])

    def _itemsize(self, name: str) -> int:
        inside = name not in self._graph.inputs | self._graph.outputs
        return self._float_bytes if inside and self._graph.is_float(name) else self._graph.itemsize(name)

    def _weight_bytes(self, node: NodeProto) -> int:
        """Of constants: matrices as they are stored; what shapes, axes and scales take is not counted."""
        if node.op_type in VIEWS | {"QuantizeLinear", "DequantizeLinear"}:
            return 0
        total = 0
        for name in node.input:
            if name in self._graph.constants and self._graph.is_float(name):
                coded = self._graph.dequantizer(name) is not None
                total += self._graph.size(name) * (1 if coded else self._float_bytes)
        return total

    def _macs(self, node: NodeProto) -> int:
        graph, kind = self._graph, node.op_type
        if kind == "Conv":  # every output element: all of its group's input channels under the kernel
            return graph.size(node.output[0]) * math.prod(graph.shape(node.input[1])[1:])
        if kind == "ConvTranspose":  # every input element goes to all of its group's output channels
            return graph.size(node.input[0]) * math.prod(graph.shape(node.input[1])[1:])
        if kind == "Gemm":
            transposed = next((a.i for a in node.attribute if a.name == "transA"), 0)
            return graph.size(node.output[0]) * graph.shape(node.input[0])[0 if transposed else 1]
        return graph.size(node.output[0]) * graph.shape(node.input[0])[-1] if kind == "MatMul" else 0

    def _recoded(self, nodes: list[NodeProto], int8: bool, operands: int) -> int:
        """An INT8 product brings its sums to 8 bits; other INT8 operations also bring their operands from there."""
        size = self._graph.size(nodes[-1].output[0])
        if int8:
            return size if nodes[0].op_type in PRODUCTS else size * (1 + operands)
        return size * sum(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in nodes)

    def _gathered(self, node: NodeProto) -> int:
        """For each output pixel a copy for each place of the kernel, and one for a whole row of few channels."""
        graph = self._graph
        if node.op_type != "Conv":
            return 0
        outputs, inputs, *kernel = graph.shape(node.input[1])
        rows, columns = math.prod(kernel[:-1]), kernel[-1]  # a row of a patch lies in one piece
        copies = rows * min(columns, max(1, columns * inputs // COPY_BYTES))
        return graph.size(node.output[0]) // outputs * copies if rows * columns > 1 else 0

    def _elementwise(self, node: NodeProto) -> int:
        if node.op_type in PRODUCTS | MOVES:
            return 0
        return max(self._graph.size(name) for name in (node.output[0], node.input[0]) if name)
