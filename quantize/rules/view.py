"""A graph as rules want to see it: who made a tensor, who reads it, which tensors are constant. Subgraphs included.

Functions and integer operators are written out first (workshop/onnx_files/spelling.py), so that a rule knows one
spelling of quantization and judges them all. Every walk ends, on graphs with cycles, missing inputs and repeated names
too: the file may be damaged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, helper, numpy_helper

from workshop.onnx_files.spelling import inlined, stands_for, written_out

PAIRED = ("QuantizeLinear", "DequantizeLinear")
STANDARD = ("", "ai.onnx")
CONVOLUTIONS = ("Conv", "ConvTranspose")
LINEAR = (*CONVOLUTIONS, "Gemm", "MatMul")
# They move numbers and change none, so that quantizing before or after them is the same.
MOVING = ("Identity", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Slice", "MaxPool")
LIMIT = 64  # steps of one walk: a longer chain of such nodes is no network


class Node:
    """One node and the scope in which its names mean something."""

    def __init__(self, proto: onnx.NodeProto, scope: Scope, index: int) -> None:
        self.proto, self.scope = proto, scope
        self.inputs, self.outputs = list(proto.input), list(proto.output)
        standard = proto.domain in STANDARD or proto.op_type in PAIRED
        self.op = proto.op_type if standard else f"{proto.domain}::{proto.op_type}"
        self.name = proto.name or (self.outputs[0] if self.outputs else "") or f"{proto.op_type} number {index}"

    def input(self, index: int) -> str:
        """Name of an input, empty where it is absent."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def producer(self, index: int) -> Node | None:
        return self.scope.producer(self.input(index))

    def constant(self, index: int) -> np.ndarray | None:
        return self.scope.constant(self.input(index))

    def attribute(self, name: str, default: Any = None) -> Any:
        """Value of an attribute of the type of `default`; the default where it is absent or of another type."""
        for found in self.proto.attribute:
            if found.name == name:
                kinds = {AttributeProto.INT: found.i, AttributeProto.FLOAT: found.f, AttributeProto.INTS: found.ints}
                return kinds.get(found.type, default)
        return default

    def has(self, name: str) -> bool:
        return any(found.name == name for found in self.proto.attribute)

    @property
    def integer(self) -> str:
        """The integer operator that this node was written out of; empty for a node of the file."""
        return stands_for(self.proto)

    @cached_property
    def readers(self) -> list[tuple[Node, int]]:
        """Nodes that read an output of this one, each with the index of its input."""
        return [reader for name in self.outputs if name for reader in self.scope.readers.get(name, [])]

    @property
    def leaves(self) -> bool:
        """Whether an output of this node is an output of its graph."""
        return any(name in self.scope.output_names for name in self.outputs)


class Scope:
    """A graph or subgraph. Names that it does not define are looked up in the graph around it."""

    def __init__(self, proto: onnx.GraphProto, outer: Scope | None = None) -> None:
        self.proto, self.outer = proto, outer
        self.tensors = {tensor.name: tensor for tensor in proto.initializer}
        self.output_names = {output.name for output in proto.output}
        self.input_names = {value.name for value in proto.input} - set(self.tensors)
        self.nodes = [Node(node, self, index) for index, node in enumerate(proto.node)]
        self.made = {name: node for node in self.nodes for name in node.outputs if name}
        self.inner = [
            Scope(graph, self)
            for node in proto.node
            for attribute in node.attribute
            for graph in (attribute.g, *attribute.graphs)
            if graph.node or graph.output
        ]
        self.readers: dict[str, list[tuple[Node, int]]] = {}
        for node in self.nodes:
            for index, name in enumerate(node.inputs):
                self.readers.setdefault(name, []).append((node, index))
        for scope in self.inner:  # what a subgraph takes from around it is read here
            for name, readers in scope.readers.items():
                if not scope.defines(name):
                    self.readers.setdefault(name, []).extend(readers)
        self._constants: dict[str, np.ndarray | None] = {}

    def all_nodes(self) -> Iterator[Node]:
        yield from self.nodes
        for scope in self.inner:
            yield from scope.all_nodes()

    def defines(self, name: str) -> bool:
        """Whether a name means something in this graph itself, and not what it means around it."""
        return name in self.made or name in self.tensors or name in self.input_names

    def producer(self, name: str) -> Node | None:
        scope: Scope | None = self
        while scope is not None and name:
            if scope.defines(name):
                return scope.made.get(name)
            scope = scope.outer
        return None

    def constant(self, name: str) -> np.ndarray | None:
        """The value of an initializer or Constant node, through Cast and Identity; None if it has none to be read."""
        if name not in self._constants:
            self._constants[name] = None  # ends a cycle of Identity nodes
            self._constants[name] = self._evaluated(name)
        return self._constants[name]

    def dims(self, name: str) -> list[int] | None:
        """Shape of a tensor if it is constant, or if the file tells it and leaves no size open."""
        value = self.constant(name)
        if value is not None:
            return list(value.shape)
        scope: Scope | None = self
        while scope is not None:
            for told in (*scope.proto.value_info, *scope.proto.input, *scope.proto.output):
                if told.name == name and told.type.tensor_type.HasField("shape"):
                    sizes = [dimension.dim_value for dimension in told.type.tensor_type.shape.dim]
                    return sizes if all(size > 0 for size in sizes) else None
            scope = scope.outer
        return None

    def _evaluated(self, name: str) -> np.ndarray | None:
        scope: Scope | None = self
        while scope is not None and name:
            if name in scope.tensors and name not in scope.made:
                return _array(scope.tensors[name])
            if name in scope.made:
                node = scope.made[name]
                if node.op == "Constant":
                    return _constant_node(node.proto)
                value = scope.constant(node.input(0)) if node.op in ("Identity", "Cast") else None
                return value if value is None or node.op == "Identity" else _cast(value, node.attribute("to", 0))
            if name in scope.input_names:
                return None
            scope = scope.outer
        return None


def _array(tensor: onnx.TensorProto) -> np.ndarray | None:
    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except Exception:  # dims that do not fit the data, an unknown type, damaged bytes: rule 0 reports them
        return None


def _cast(value: np.ndarray, to: int) -> np.ndarray | None:
    try:
        with np.errstate(all="ignore"):
            return value.astype(helper.tensor_dtype_to_np_dtype(to))
    except Exception:  # no such type
        return None


def _constant_node(proto: onnx.NodeProto) -> np.ndarray | None:
    for attribute in proto.attribute:
        if attribute.name == "value" and attribute.type == AttributeProto.TENSOR:
            return _array(attribute.t)
        if attribute.name in ("value_float", "value_floats"):
            return np.array(attribute.f if attribute.name == "value_float" else attribute.floats, np.float32)
        if attribute.name in ("value_int", "value_ints"):
            return np.array(attribute.i if attribute.name == "value_int" else attribute.ints, np.int64)
    return None


@dataclass(frozen=True)
class TensorOrigin:
    """Where a tensor comes from when walking up through nodes that only move numbers."""

    node: Node | None  # the first other node; None for a graph input or a constant
    name: str  # the tensor at that point
    axes: Callable[[int], int | None]  # axis there -> axis of the tensor that the walk began with, None if unknown


def source(scope: Scope, name: str, through: tuple[str, ...] = MOVING) -> TensorOrigin:
    """Walk up from a tensor."""
    steps: list[Node] = []
    for _ in range(LIMIT):
        node = scope.producer(name)
        if node is None or node.op not in through:
            break
        steps.append(node)
        scope, name = node.scope, node.input(0)
    return TensorOrigin(scope.producer(name), name, lambda axis: _moved(axis, steps))


def _moved(axis: int, steps: list[Node]) -> int | None:
    """An axis followed down through the nodes of a walk, the last of which comes first in the graph."""
    for node in reversed(steps):
        order = list(node.attribute("perm", []))
        if node.op == "Transpose" and axis in order:
            axis = order.index(axis)
        elif node.op != "Identity":
            return None
    return axis


class GraphView:
    """A whole model, in one spelling of quantization."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self._inlined = inlined(model)
        self.scope = Scope(written_out(self._inlined).graph)
        self.nodes = list(self.scope.all_nodes())

    @cached_property
    def written(self) -> list[Node]:
        """Nodes as the file has them, functions written out."""
        return list(Scope(self._inlined.graph).all_nodes())

    @property
    def opset(self) -> int:
        """Of ONNX's own operators; 0 if the file names none."""
        return max((i.version for i in self.model.opset_import if i.domain in STANDARD), default=0)

    def of(self, *operators: str) -> list[Node]:
        return [node for node in self.nodes if node.op in operators]

    def named(self, name: str) -> list[Node]:
        return [node for node in self.nodes if node.name == name]
