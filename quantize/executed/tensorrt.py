"""What TensorRT would make of a graph, as its rules for Q/DQ say. Nothing runs, so it is a prediction."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from quantize.executed.layers import Executed, ExecutedLayer, convolution_macs, product_macs, transposed_macs
from quantize.rules.qdq import in_int8
from quantize.rules.read import GraphError
from quantize.rules.view import CONVOLUTIONS, LINEAR, GraphView, Node
from workshop.onnx_files.infer import with_inferred_shapes
from workshop.onnx_files.shapes import Shapes, declared_inputs, with_shapes
from workshop.onnx_files.spelling import inlined, written_out

UNCOUNTED = ("Attention", "LSTM", "GRU", "RNN", "Einsum", "DeformConv")


def executed(model: onnx.ModelProto, shapes: Shapes) -> Executed:
    plain = with_shapes(written_out(inlined(model)), shapes.settled(declared_inputs(model)))
    try:
        graph = GraphView(with_inferred_shapes(plain))
    except Exception as error:  # InferenceError, and what its C++ side throws on damaged files
        raise GraphError(f"shapes cannot be inferred: {str(error).strip().splitlines()[0]}") from error
    return Executed("TensorRT's Q/DQ rules", predicted=True, layers=tuple(_layers(graph)))


def _layers(graph: GraphView) -> Iterator[ExecutedLayer]:
    for node in graph.nodes:
        if node.op in LINEAR:
            yield ExecutedLayer(node.name, node.op, _macs(node), in_int8(node))
        elif node.op in UNCOUNTED:
            yield ExecutedLayer(node.name, node.op, None, False)


def _macs(node: Node) -> int:
    data, weight, output = _dims(node, node.input(0)), _dims(node, node.input(1)), _dims(node, node.outputs[0])
    if node.op == "ConvTranspose":
        return transposed_macs(data, weight)
    return convolution_macs(output, weight, weight[0]) if node.op in CONVOLUTIONS else product_macs(data, output)


def _dims(node: Node, name: str) -> list[int]:
    found = node.scope.dims(name)
    if found is None:
        raise GraphError(
            f"shape of {name!r} at {node.op} {node.name} cannot be inferred: it depends on values; simplify the graph"
        )
    return found
