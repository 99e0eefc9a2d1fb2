"""An ONNX graph read for what it costs: shapes, what is constant, what is a mere view, what is stored in 8 bits."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import NodeProto, TensorProto, helper, shape_inference

from codriver.errors import SourceError
from workshop.onnx_files.check import faults
from workshop.onnx_files.infer import with_inferred_shapes
from workshop.onnx_files.shapes import Shapes, declared_inputs, with_shapes
from workshop.onnx_files.spelling import inlined, written_out

VIEWS = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout"})  # no byte is moved
OUTSIDE = -1  # stands for whoever takes a graph's output


def read_graph(path: Path, shapes: Shapes) -> SizedGraph:
    """shapes: of inputs that the file leaves open. A ConfigError if some are missing."""
    try:
        model = onnx.load(str(path))
        fault = next(faults(model), None)
        if fault is not None:
            raise SourceError(f"{path} is not valid ONNX: {fault}")
        declared = declared_inputs(model)
        return SizedGraph(with_shapes(model, shapes.among(list(declared)).settled(declared)))
    except FileNotFoundError as error:
        raise SourceError(
            f"{path} is not there; give an ONNX file, a bundle, or a folder made by quantize.run"
        ) from error
    except (DecodeError, onnx.checker.ValidationError, shape_inference.InferenceError) as error:
        raise SourceError(f"{path} is not an ONNX graph that can be read: {error}") from error


class SizedGraph:
    """Nodes in order, and what is known of their tensors. All shapes must be fixed."""

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = with_inferred_shapes(written_out(inlined(model))).graph
        self.nodes: list[NodeProto] = list(graph.node)
        self.inputs = {value.name for value in graph.input}
        self.outputs = {value.name for value in graph.output}
        self._initial = {tensor.name: tensor for tensor in graph.initializer}
        self._types = {value.name: value.type.tensor_type for value in (*graph.value_info, *graph.input, *graph.output)}
        self.producer = {name: at for at, node in enumerate(self.nodes) for name in node.output}
        self._readers: dict[str, list[int]] = {}
        for at, node in enumerate(self.nodes):
            for name in node.input:
                self._readers.setdefault(name, []).append(at)

    @cached_property
    def constants(self) -> frozenset[str]:
        """What a runtime computes once, when it loads the graph."""
        known = set(self._initial)
        for node in self.nodes:
            inputs = [name for name in node.input if name]
            if node.op_type == "Shape" or all(name in known for name in inputs):
                known.update(node.output)
        return frozenset(known)

    def shape(self, name: str) -> tuple[int, ...]:
        if name in self._initial:
            return tuple(self._initial[name].dims)
        if name not in self._types or not self._types[name].HasField("shape"):
            raise SourceError(f"the shape of {name} is not known; export the graph with fixed shapes")
        dims = self._types[name].shape.dim
        if not all(dim.HasField("dim_value") and dim.dim_value >= 0 for dim in dims):
            raise SourceError(f"the shape of {name} is not fixed; export the graph with fixed shapes")
        return tuple(dim.dim_value for dim in dims)

    def size(self, name: str) -> int:
        """Elements."""
        count = 1
        for length in self.shape(name):
            count *= length
        return count

    def is_float(self, name: str) -> bool:
        return self._dtype(name) in (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)

    def itemsize(self, name: str) -> int:
        """Bytes of an element as the file declares it."""
        return int(helper.tensor_dtype_to_np_dtype(self._dtype(name)).itemsize)

    def _dtype(self, name: str) -> int:
        if name in self._initial:
            return int(self._initial[name].data_type)
        return int(self._types[name].elem_type if name in self._types else TensorProto.FLOAT)

    def is_activation(self, name: str) -> bool:
        return bool(name) and name not in self.constants

    def readers(self, name: str) -> list[int]:
        """Numbers of the nodes that read a tensor; OUTSIDE if it leaves the graph."""
        return self._readers.get(name, []) + ([OUTSIDE] if name in self.outputs else [])

    def readers_through_views(self, name: str) -> Iterator[int]:
        for at in self.readers(name):
            if at != OUTSIDE and self.nodes[at].op_type in VIEWS:
                yield from self.readers_through_views(self.nodes[at].output[0])
            else:
                yield at

    def behind_views(self, name: str) -> str:
        """The tensor that a view shows."""
        while name in self.producer and self.nodes[self.producer[name]].op_type in VIEWS:
            name = self.nodes[self.producer[name]].input[0]
        return name

    def dequantizer(self, name: str) -> NodeProto | None:
        """The DequantizeLinear that a tensor comes from, views aside; None where it is not one."""
        name = self.behind_views(name)
        node = self.nodes[self.producer[name]] if name in self.producer else None
        if node is not None and node.op_type == "Transpose" and name in self.constants:  # of a stored weight
            return self.dequantizer(node.input[0])
        return node if node is not None and node.op_type == "DequantizeLinear" else None
