"""One spelling of quantization: functions written out, and integer operators as Q/DQ around the float operator.

ONNX has two ways to say "INT8": Q/DQ pairs around float operators, and operators that hold integers inside
(QLinearConv, ConvInteger, and those of com.microsoft). Rules and predictions read the first way alone, so a file that
speaks the second is written out here first: same values, same names of tensors, each new node named as the node it
stands for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper
from onnx.inliner import inline_local_functions

MICROSOFT = "com.microsoft"
WAS = "codriver.was"  # metadata of a node: the integer operator that it stands for


def inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """Functions written out, where there are any: what runs is then in the graph."""
    for convert in (False, True):  # with other opsets than the model's they stay, unless converted
        if not model.functions:
            break
        try:
            model = inline_local_functions(model, convert)
        except Exception:  # a damaged function: its calls stay, as foreign operators
            break
    return model


def written_out(model: onnx.ModelProto) -> onnx.ModelProto:
    """A model without functions, in Q/DQ alone; the model itself where it already is."""
    if not any(_key(node) in WRITERS for graph in graphs(model.graph) for node in graph.node):
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    taken = {name for graph in graphs(copy.graph) for name in names_in(graph)}
    for graph in reversed(list(graphs(copy.graph))):  # the innermost first: an outer one is rebuilt from its nodes
        _write_out(graph, taken, _numbers(copy.graph, graph))
    return copy


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and all graphs within it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if inner.node or inner.output:
                    yield from graphs(inner)


def names_in(graph: onnx.GraphProto) -> set[str]:
    """Every name of a tensor in a graph, without those of graphs within it."""
    found = {value.name for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer)}
    found |= {sparse.values.name for sparse in graph.sparse_initializer}
    return found | {name for node in graph.node for name in (*node.input, *node.output)}


def stands_for(node: onnx.NodeProto) -> str:
    """The integer operator that a node was written out of, as `com.microsoft::QGemm`; empty for any other node."""
    return next((entry.value for entry in node.metadata_props if entry.key == WAS), "")


def _key(node: onnx.NodeProto) -> tuple[str, str]:
    return ("" if node.domain == "ai.onnx" else node.domain, node.op_type)


def _numbers(*levels: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    found: dict[str, onnx.TensorProto] = {}
    for graph in levels:
        found |= {tensor.name: tensor for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute and node.attribute[0].type == AttributeProto.TENSOR:
                found[node.output[0]] = node.attribute[0].t
    return found


def _write_out(graph: onnx.GraphProto, taken: set[str], numbers: dict[str, onnx.TensorProto]) -> None:
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        writer = WRITERS.get(_key(node))
        page = _Page(node, taken, numbers)
        done = writer is not None and writer(page)
        nodes += page.nodes if done else [node]
        graph.initializer.extend(page.tensors if done else ())
    del graph.node[:]
    graph.node.extend(nodes)


@dataclass
class _Page:
    """What one integer operator becomes."""

    of: onnx.NodeProto
    taken: set[str]
    numbers: dict[str, onnx.TensorProto]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    tensors: list[onnx.TensorProto] = field(default_factory=list)

    def input(self, index: int) -> str:
        return self.of.input[index] if index < len(self.of.input) else ""

    def attributes(self, *without: str) -> dict[str, Any]:
        return {a.name: helper.get_attribute_value(a) for a in self.of.attribute if a.name not in without}

    def add(self, op: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        name = self.of.name or (self.of.output[0] if self.of.output else "")
        output = output or self.fresh(op)
        while inputs and not inputs[-1]:
            inputs = inputs[:-1]
        node = helper.make_node(op, inputs, [output], name=name, **attributes)
        node.metadata_props.append(onnx.StringStringEntryProto(key=WAS, value="::".join(filter(None, _key(self.of)))))
        self.nodes.append(node)
        return output

    def fresh(self, what: str) -> str:
        name = f"{self.of.output[0] if self.of.output else self.of.name}_{what}"
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name

    def constant(self, what: str, values: Any) -> str:
        name = self.fresh(what)
        self.tensors.append(numpy_helper.from_array(np.asarray(values), name))
        self.numbers[name] = self.tensors[-1]
        return name

    def read(self, first: int, axis: int = 0) -> str:
        """The float behind codes, scale and zero-point at three inputs in a row."""
        return self.decoded(self.input(first), self.input(first + 1), self.input(first + 2), axis)

    def decoded(self, codes: str, scale: str, zero: str, axis: int = 0) -> str:
        if self.size(scale) > 1:
            return self.add("DequantizeLinear", [codes, scale, zero], axis=axis)
        return self.add("DequantizeLinear", [codes, scale, zero])

    def write(self, value: str, first: int) -> str:
        """Codes of a float, with scale and zero-point at two inputs in a row, as the operator's output."""
        return self.add("QuantizeLinear", [value, self.input(first), self.input(first + 1)], self.of.output[0])

    def size(self, name: str) -> int:
        tensor = self.numbers.get(name)
        return int(np.prod(tensor.dims)) if tensor is not None else 1

    def rank(self, name: str) -> int:
        tensor = self.numbers.get(name)
        return len(tensor.dims) if tensor is not None else 2

    def bias(self, index: int, left: int, right: int) -> str:
        """A bias in int32, whose step is the product of both operands' steps."""
        if not self.input(index):
            return ""
        scales = [self._array(self.input(i)) for i in (left, right)]
        if scales[0] is not None and scales[1] is not None:
            product = scales[0] * scales[1]
            scale = self.constant("bias_scale", product.reshape(()) if product.size == 1 else product.ravel())
        else:
            scale = self.add("Mul", [self.input(left), self.input(right)])
        return self.decoded(self.input(index), scale, "")

    def _array(self, name: str) -> Any:
        try:
            return numpy_helper.to_array(self.numbers[name]) if name in self.numbers else None
        except Exception:  # damaged bytes: the rule of valid files reports them
            return None


Writer = Callable[[_Page], bool]  # False: this one cannot be said in Q/DQ and stays


def _conv(page: _Page) -> bool:
    value = page.add("Conv", [page.read(0), page.read(3), page.bias(8, 1, 4)], **page.attributes())
    page.write(value, 6)
    return True


def _matmul(page: _Page) -> bool:
    left = page.read(0, axis=page.rank(page.input(0)) - 2)
    page.write(page.add("MatMul", [left, page.read(3, axis=page.rank(page.input(3)) - 1)]), 6)
    return True


def _gemm(page: _Page) -> bool:
    attributes = page.attributes()
    right = page.read(3, axis=0 if attributes.get("transB") else 1)
    inputs = [page.read(0), right, page.bias(6, 1, 4)]
    if page.input(7):
        page.write(page.add("Gemm", inputs, **attributes), 7)
    else:
        page.add("Gemm", inputs, page.of.output[0], **attributes)
    return True


def _integer(op: str) -> Writer:
    """ConvInteger and MatMulInteger: whole numbers in, whole numbers out, and no scale."""

    def write(page: _Page) -> bool:
        one = page.constant("one", np.float32(1))
        left, right = (page.decoded(page.input(i), one, page.input(i + 2)) for i in (0, 1))
        page.add("Cast", [page.add(op, [left, right], **page.attributes())], page.of.output[0], to=TensorProto.INT32)
        return True

    return write


def _matmul_to_float(page: _Page) -> bool:
    left = page.decoded(page.input(0), page.input(2), page.input(4))
    return _product(page, left, right=(1, 3, 5), bias=6)


def _dynamic_matmul(page: _Page) -> bool:
    codes, scale, zero = (page.fresh(part) for part in ("codes", "scale", "zero"))
    measured = helper.make_node("DynamicQuantizeLinear", [page.input(0)], [codes, scale, zero], name=page.of.name)
    page.nodes.append(measured)
    return _product(page, page.decoded(codes, scale, zero), right=(1, 2, 3), bias=4)


def _product(page: _Page, left: str, right: tuple[int, int, int], bias: int) -> bool:
    codes, scale, zero = (page.input(i) for i in right)
    factors = [left, page.decoded(codes, scale, zero, axis=page.rank(codes) - 1)]
    if page.input(bias):
        page.add("Add", [page.add("MatMul", factors), page.input(bias)], page.of.output[0])
    else:
        page.add("MatMul", factors, page.of.output[0])
    return True


def _around(op: str, *reads: int, writes: int, without: tuple[str, ...] = (), first: int | None = None) -> Writer:
    """An operator that takes codes, scale and zero-point at each of `reads`, and its output's at `writes`."""

    def write(page: _Page) -> bool:
        attributes = page.attributes(*without)
        if attributes.pop("channels_last", 0):
            return False
        inputs = [page.input(first)] if first is not None else []
        page.write(page.add(op, [*inputs, *(page.read(i) for i in reads)], **attributes), writes)
        return True

    return write


def _concat(page: _Page) -> bool:
    parts = [page.read(i) for i in range(2, len(page.of.input) - 2, 3)]
    page.write(page.add("Concat", parts, **page.attributes()), 0)
    return True


def _quantizer(page: _Page) -> bool:
    page.add(page.of.op_type, list(page.of.input), page.of.output[0], **page.attributes())
    return True


def _fused_float(op: str, added: int = 3) -> Writer:
    """A float operator with its activation inside, as ONNX Runtime saves optimized graphs."""

    def write(page: _Page) -> bool:
        kind = page.attributes().get("activation", b"").decode()
        if kind not in ("", "Relu", "Sigmoid", "Tanh"):
            return False
        more, inputs, last = page.input(added), list(page.of.input[:added]), page.of.output[0]
        bare = page.attributes("activation", "activation_params")
        value = page.add(op, inputs, "" if more or kind else last, **bare)
        if more:
            value = page.add("Add", [value, more], "" if kind else last)
        if kind:
            page.add(kind, [value], last)
        return True

    return write


WRITERS: dict[tuple[str, str], Writer] = {
    ("", "QLinearConv"): _conv,
    ("", "QLinearMatMul"): _matmul,
    ("", "ConvInteger"): _integer("Conv"),
    ("", "MatMulInteger"): _integer("MatMul"),
    (MICROSOFT, "QuantizeLinear"): _quantizer,
    (MICROSOFT, "DequantizeLinear"): _quantizer,
    (MICROSOFT, "QGemm"): _gemm,
    (MICROSOFT, "MatMulIntegerToFloat"): _matmul_to_float,
    (MICROSOFT, "DynamicQuantizeMatMul"): _dynamic_matmul,
    (MICROSOFT, "QLinearAdd"): _around("Add", 0, 3, writes=6),
    (MICROSOFT, "QLinearMul"): _around("Mul", 0, 3, writes=6),
    (MICROSOFT, "QLinearConcat"): _concat,
    (MICROSOFT, "QLinearWhere"): _around("Where", 1, 4, writes=7, first=0),
    (MICROSOFT, "QLinearSigmoid"): _around("Sigmoid", 0, writes=3),
    (MICROSOFT, "QLinearLeakyRelu"): _around("LeakyRelu", 0, writes=3),
    (MICROSOFT, "QLinearSoftmax"): _around("Softmax", 0, writes=3, without=("opset",)),
    (MICROSOFT, "QLinearGlobalAveragePool"): _around("GlobalAveragePool", 0, writes=3),
    (MICROSOFT, "QLinearAveragePool"): _around("AveragePool", 0, writes=3),
    (MICROSOFT, "FusedConv"): _fused_float("Conv"),
    (MICROSOFT, "FusedGemm"): _fused_float("Gemm"),
}
