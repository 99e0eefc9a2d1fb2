"""What can be mended in a file without changing a value that it computes, and graph outputs in float when asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from quantize.rules.file import MAX_IR_VERSION, unused_imports
from quantize.rules.qdq import quantized_constant
from quantize.rules.read import GraphError
from quantize.rules.view import PAIRED, Node, Scope

STORED_BY_NAME = 4  # ir_version from which an initializer need not be a graph input too


@dataclass
class Mended:
    """A changed copy of a model, and what was changed."""

    model: onnx.ModelProto
    done: list[str] = field(default_factory=list)

    def add(self, count: int, text: str) -> None:
        """text: with `{n}` for the count and `(s)` for its plural."""
        if count:
            self.done.append(text.format(n=count).replace("(s)", "" if count == 1 else "s"))


def mended(model: onnx.ModelProto, *, float_outputs: bool = False) -> Mended:
    """Everything that can be mended, in a copy that onnx's checker accepts. GraphError if the model is not valid."""
    check(model, "the file is not valid ONNX, so nothing can be mended safely")
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    result = Mended(copy)
    if copy.ir_version > MAX_IR_VERSION:
        result.done.append(f"ir_version {copy.ir_version} lowered to {MAX_IR_VERSION}")
        copy.ir_version = MAX_IR_VERSION
    _drop_imports(result)
    result.add(sum(map(_drop_output_dtype, _nodes(copy, *PAIRED))), "{n} attribute(s) output_dtype dropped")
    result.add(_store_weights(copy), "{n} float weight(s) stored as integers")
    if float_outputs:
        result.add(
            _float_outputs(copy), "{n} graph output(s) made float: they move by at most half a step of their scale"
        )
    result.add(_share_constants(copy.graph), "{n} constant(s) dropped that repeat another")
    result.add(sum(_drop_unused(scope.proto) for scope in _scopes(copy)), "{n} constant(s) dropped that nothing reads")
    check(copy, "the file would not be valid ONNX when mended, so nothing was written")
    return result


def check(model: onnx.ModelProto, otherwise: str) -> None:
    try:
        onnx.checker.check_model(model)
    except Exception as error:  # whatever the checker throws, the file is what it is about
        raise GraphError(f"{otherwise}: {str(error).strip().splitlines()[0]}") from error


def _scopes(model: onnx.ModelProto) -> Iterator[Scope]:
    waiting = [Scope(model.graph)]
    while waiting:
        scope = waiting.pop()
        waiting += scope.inner
        yield scope


def _nodes(model: onnx.ModelProto, *operators: str) -> Iterator[Node]:
    for node in Scope(model.graph).all_nodes():
        if node.op in operators:
            yield node


def _drop_imports(result: Mended) -> None:
    model = result.model
    used = {node.proto.domain for node in Scope(model.graph).all_nodes()}
    used |= {node.domain for function in model.functions for node in function.node}
    used |= {function.domain for function in model.functions}
    names = unused_imports(model, used)
    kept = [imported for imported in model.opset_import if imported.domain not in names]
    if names:
        del model.opset_import[:]
        model.opset_import.extend(kept)
        result.done.append(f"unused import of {', '.join(names)} dropped")


def _drop_output_dtype(node: Node) -> bool:
    """Drop the attribute if the zero-point says the same, or once one is given that does."""
    wanted = node.attribute("output_dtype", 0)
    if not node.has("output_dtype") or (node.op == "DequantizeLinear" and wanted not in (0, TensorProto.FLOAT)):
        return False
    zero, scale = node.constant(2), node.constant(1)
    if node.op == "QuantizeLinear" and wanted:
        if zero is None and not node.input(2) and scale is not None and wanted in (TensorProto.INT8, TensorProto.UINT8):
            _give_zero_point(node, wanted, scale)
        elif zero is None or helper.np_dtype_to_tensor_dtype(zero.dtype) != wanted:
            return False
    kept = [attribute for attribute in node.proto.attribute if attribute.name != "output_dtype"]
    del node.proto.attribute[:]
    node.proto.attribute.extend(kept)
    return True


def _give_zero_point(node: Node, kind: int, scale: np.ndarray) -> None:
    name = f"{node.outputs[0]}_zero_point"
    while node.scope.producer(name) or node.scope.constant(name) is not None:
        name += "_"
    zeros = np.zeros(scale.shape, helper.tensor_dtype_to_np_dtype(kind))
    node.scope.proto.initializer.append(numpy_helper.from_array(zeros, name))
    node.proto.input[:] = [*node.inputs[:2], name]


def _store_weights(model: onnx.ModelProto) -> int:
    """Replace each float constant and its QuantizeLinear by the integers."""
    count = 0
    for scope in _scopes(model) if model.ir_version >= STORED_BY_NAME else ():
        for node in scope.nodes:
            codes = None if node.op != "QuantizeLinear" or node.leaves else quantized_constant(node)
            if codes is not None:
                scope.proto.initializer.append(numpy_helper.from_array(codes, node.outputs[0]))
                scope.proto.node.remove(node.proto)
                count += 1
    return count


def _float_outputs(model: onnx.ModelProto) -> int:
    """A pair in front of a graph output steps aside: its other readers keep it, the output takes what came before."""
    graph, count = model.graph, 0
    for output in graph.output:
        scope = Scope(graph)
        dequantize = scope.producer(output.name)
        quantize = dequantize.producer(0) if dequantize and dequantize.op == "DequantizeLinear" else None
        if dequantize is None or quantize is None or quantize.op != "QuantizeLinear":
            continue
        aside = f"{output.name}_quantized"
        if aside in scope.made or aside in scope.tensors or len(dequantize.outputs) != 1:
            continue
        _rename(graph, output.name, aside)
        dequantize.proto.output[0] = aside
        if not dequantize.readers:
            graph.node.remove(dequantize.proto)
            if len(quantize.readers) == 1:
                graph.node.remove(quantize.proto)
        identity = helper.make_node("Identity", [quantize.input(0)], [output.name], name=f"{output.name}_float")
        graph.node.append(identity)
        count += 1
    return count


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Let every reader of a tensor read another, in subgraphs too unless they have a tensor of that name."""
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                names = {*(t.name for t in inner.initializer), *(i.name for i in inner.input)}
                if old not in names | {name for n in inner.node for name in n.output} and (inner.node or inner.output):
                    _rename(inner, old, new)


def _share_constants(graph: onnx.GraphProto) -> int:
    """Let readers of equal initializers read the first of them. What the graph hands in or out is left alone."""
    fixed = {value.name for value in (*graph.input, *graph.output)}
    fixed |= {pair.value for note in graph.quantization_annotation for pair in note.quant_parameter_tensor_names}
    first: dict[bytes, str] = {}
    repeated = []
    for tensor in graph.initializer:
        bare = TensorProto()
        bare.CopyFrom(tensor)
        for label in ("name", "doc_string"):
            bare.ClearField(label)
        key = bare.SerializeToString(deterministic=True)
        if tensor.name not in fixed and first.setdefault(key, tensor.name) != tensor.name:
            repeated.append(tensor)
            _rename(graph, tensor.name, first[key])
    for tensor in repeated:
        graph.initializer.remove(tensor)
    return len(repeated)


def _drop_unused(graph: onnx.GraphProto) -> int:
    kept = _read_names(graph) | {value.name for value in (*graph.input, *graph.output)}
    kept |= {pair.value for note in graph.quantization_annotation for pair in note.quant_parameter_tensor_names}
    tensors = [tensor for tensor in graph.initializer if tensor.name not in kept]
    nodes = [node for node in graph.node if node.op_type == "Constant" and not kept & set(node.output)]
    for tensor in tensors:
        graph.initializer.remove(tensor)
    for node in nodes:
        graph.node.remove(node)
    return len(tensors) + len(nodes)


def _read_names(graph: onnx.GraphProto) -> set[str]:
    """Every name that a node reads, in subgraphs too, and what those hand out."""
    names = {name for node in graph.node for name in node.input}
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                names |= _read_names(inner) | {value.name for value in inner.output}
    return names
