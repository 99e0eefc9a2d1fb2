"""What TensorRT would make of a graph, as its rules for Q/DQ say. Nothing runs, so it is a prediction."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx

from quantize.executed.layers import Executed, Layer, convolution_macs, product_macs, transposed_macs
from quantize.rules.qdq import in_int8
from quantize.rules.read import GraphError, read_model
from quantize.rules.view import CONVOLUTIONS, LINEAR, Graph, Node

UNCOUNTED = ("Attention", "LSTM", "GRU", "RNN", "Einsum", "DeformConv")


def executed(path: Path) -> Executed:
    model = read_model(path)
    for value in model.graph.input:  # one sample where the file leaves the size open
        for dimension in value.type.tensor_type.shape.dim:
            if not dimension.dim_value > 0:
                dimension.dim_value = 1
    del model.graph.value_info[:]
    try:
        graph = Graph(onnx.shape_inference.infer_shapes(model, data_prop=True))
    except Exception as error:  # InferenceError, and what its C++ side throws on damaged files
        raise GraphError(f"{path}: shapes cannot be inferred: {str(error).strip().splitlines()[0]}") from error
    return Executed("TensorRT's Q/DQ rules", predicted=True, layers=tuple(_layers(graph)))


def _layers(graph: Graph) -> Iterator[Layer]:
    for node in graph.nodes:
        if node.op in LINEAR:
            yield Layer(node.name, node.op, _macs(node), in_int8(node))
        elif node.op in UNCOUNTED:
            yield Layer(node.name, node.op, None, False)


def _macs(node: Node) -> int:
    data, weight, output = _dims(node, node.input(0)), _dims(node, node.input(1)), _dims(node, node.outputs[0])
    if node.op == "ConvTranspose":
        return transposed_macs(data, weight)
    return convolution_macs(output, weight, weight[0]) if node.op in CONVOLUTIONS else product_macs(data, output)


def _dims(node: Node, name: str) -> list[int]:
    found = node.scope.dims(name)
    if found is None:
        raise GraphError(f"shape of {name!r} at {node.op} {node.name} cannot be inferred; export with fixed shapes")
    return found
