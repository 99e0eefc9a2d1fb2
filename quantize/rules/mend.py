"""What can be mended in a file without changing a value that it computes, and graph outputs in float when asked.

A tensor's name may be read in graphs within the graph, and may mean something else there: every new name is new in all
of them, and a constant is shared only where its name means the same to every reader. Functions are written out first,
so that there is no other place to look.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from quantize.rules.file import MAX_IR_VERSION, unused_imports
from quantize.rules.qdq import quantized_constant
from quantize.rules.read import GraphError
from quantize.rules.view import PAIRED, Node, Scope, source
from workshop.onnx_files.check import SHARED_NAME, faults, full_check, without_hints
from workshop.onnx_files.spelling import graphs, inlined, names_in

STORED_BY_NAME = 4  # ir_version from which an initializer need not be a graph input too


@dataclass
class Mended:
    """A changed copy of a model, and what was changed."""

    model: onnx.ModelProto
    done: list[str] = field(default_factory=list)
    made_float: list[str] = field(default_factory=list)  # graph outputs that lost their pair, and with it a rounding

    def add(self, count: int, text: str) -> None:
        """text: with `{n}` for the count and `(s)` for its plural."""
        if count:
            self.done.append(text.format(n=count).replace("(s)", "" if count == 1 else "s"))


def mended(model: onnx.ModelProto, *, float_outputs: bool = False) -> Mended:
    """Everything that can be mended, in a copy that onnx's checker accepts. GraphError if the model is not valid."""
    refuse_invalid(model, "the file is not valid ONNX, so nothing can be mended safely", repeated_names=True)
    copy = onnx.ModelProto()
    copy.CopyFrom(inlined(model))
    result = Mended(copy)
    result.add(len(model.functions) - len(copy.functions), "{n} function(s) written out")
    result.add(sum(_name_nodes(graph) for graph in graphs(copy.graph)), "{n} node(s) given a name of their own")
    if copy.ir_version > MAX_IR_VERSION:
        result.done.append(f"ir_version {copy.ir_version} lowered to {MAX_IR_VERSION}")
        copy.ir_version = MAX_IR_VERSION
    _drop_imports(result)
    taken = _every_name(copy)
    dropped = sum(_drop_output_dtype(node, taken) for node in _nodes(copy, *PAIRED))
    result.add(dropped, "{n} attribute(s) output_dtype dropped")
    result.add(_store_weights(copy), "{n} float weight(s) stored as integers")
    if float_outputs:
        result.made_float = _float_outputs(copy)
        result.add(
            len(result.made_float), "{n} graph output(s) made float: they move by at most half a step of their scale"
        )
    result.add(_share_constants(copy.graph), "{n} constant(s) dropped that repeat another")
    result.add(sum(_drop_unused(scope.proto) for scope in _scopes(copy)), "{n} constant(s) dropped that nothing reads")
    refuse_invalid(copy, "the file would not be valid ONNX when mended, so nothing was written")
    return result


def refuse_invalid(model: onnx.ModelProto, otherwise: str, *, repeated_names: bool = False) -> None:
    """repeated_names: whether nodes may share a name, which can be mended."""
    bare = without_hints(model)
    reason = full_check(bare)
    reason = reason or next((text for text in faults(bare) if not (repeated_names and SHARED_NAME in text)), None)
    if reason is not None:
        raise GraphError(f"{otherwise}: {reason}")


def _name_nodes(graph: onnx.GraphProto) -> int:
    """A new name for every node but the first of a name. Nothing refers to a node by it."""
    taken, count = {node.name for node in graph.node}, 0
    seen: set[str] = set()
    for node in graph.node:
        if node.name and node.name in seen:
            node.name, count = _fresh(taken, node.name), count + 1
        seen.add(node.name)
    return count


def _fresh(taken: set[str], wanted: str) -> str:
    """A name like this one that nothing has, which is then taken."""
    number, name = 1, wanted
    while name in taken:
        number, name = number + 1, f"{wanted}_{number + 1}"
    taken.add(name)
    return name


def _every_name(model: onnx.ModelProto) -> set[str]:
    return {name for graph in graphs(model.graph) for name in names_in(graph)}


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
    used = {node.domain for graph in graphs(model.graph) for node in graph.node}
    for function in model.functions:  # one that could not be written out
        inside = onnx.GraphProto(node=function.node)
        used |= {function.domain, *(imported.domain for imported in function.opset_import)}
        used |= {node.domain for graph in graphs(inside) for node in graph.node}
    names = unused_imports(model, used)
    kept = [imported for imported in model.opset_import if imported.domain not in names]
    if names:
        del model.opset_import[:]
        model.opset_import.extend(kept)
        result.done.append(f"unused import of {', '.join(names)} dropped")


def _drop_output_dtype(node: Node, taken: set[str]) -> bool:
    """Drop the attribute if the zero-point says the same, or once one is given that does."""
    wanted = node.attribute("output_dtype", 0)
    if not node.has("output_dtype") or (node.op == "DequantizeLinear" and wanted not in (0, TensorProto.FLOAT)):
        return False
    zero, scale = node.constant(2), node.constant(1)
    if node.op == "QuantizeLinear" and wanted:
        if zero is None and not node.input(2) and scale is not None and wanted in (TensorProto.INT8, TensorProto.UINT8):
            _give_zero_point(node, wanted, scale, taken)
        elif zero is None or helper.np_dtype_to_tensor_dtype(zero.dtype) != wanted:
            return False
    kept = [attribute for attribute in node.proto.attribute if attribute.name != "output_dtype"]
    del node.proto.attribute[:]
    node.proto.attribute.extend(kept)
    return True


def _give_zero_point(node: Node, kind: int, scale: np.ndarray, taken: set[str]) -> None:
    name = _fresh(taken, f"{node.outputs[0]}_zero_point")
    zeros = np.zeros(scale.shape, helper.tensor_dtype_to_np_dtype(kind))
    node.scope.proto.initializer.append(numpy_helper.from_array(zeros, name))
    node.proto.input[:] = [*node.inputs[:2], name]


def _store_weights(model: onnx.ModelProto) -> int:
    """Replace each float constant and its QuantizeLinear by the integers."""
    count = 0
    given = {value.name for value in model.graph.input}  # with a default that a caller may replace
    for scope in _scopes(model) if model.ir_version >= STORED_BY_NAME else ():
        for node in scope.nodes:
            if node.op != "QuantizeLinear" or node.leaves or given & _sources(node):
                continue
            codes = quantized_constant(node)
            if codes is not None:
                scope.proto.initializer.append(numpy_helper.from_array(codes, node.outputs[0]))
                scope.proto.node.remove(node.proto)
                count += 1
    return count


def _sources(node: Node) -> set[str]:
    """Names of the tensors that a quantizer's inputs come from."""
    return {source(node.scope, name, ("Identity", "Cast")).name for name in node.inputs}


def _float_outputs(model: onnx.ModelProto) -> list[str]:
    """A pair in front of a graph output steps aside: its other readers keep it, the output takes what came before."""
    graph, taken = model.graph, _every_name(model)
    made: list[str] = []
    for output in graph.output:
        scope = Scope(graph)
        dequantize = scope.producer(output.name)
        quantize = dequantize.producer(0) if dequantize and dequantize.op == "DequantizeLinear" else None
        if dequantize is None or quantize is None or quantize.op != "QuantizeLinear":
            continue
        if len(dequantize.outputs) != 1:
            continue
        aside = _fresh(taken, f"{output.name}_quantized")
        _rename(graph, output.name, aside)
        dequantize.proto.output[0] = aside
        if not dequantize.readers:
            graph.node.remove(dequantize.proto)
            if len(quantize.readers) == 1 and not quantize.leaves:
                graph.node.remove(quantize.proto)
        identity = helper.make_node("Identity", [quantize.input(0)], [output.name], name=f"{output.name}_float")
        graph.node.append(identity)
        made.append(output.name)
    return made


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Let every reader of a tensor read another, in graphs within too unless they have a tensor of that name."""
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
    for inner in _within(graph):
        if old not in _defined(inner):
            _rename(inner, old, new)
            for value in inner.output:  # may hand out what was made around it
                value.name = new if value.name == old else value.name


def _within(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    for node in graph.node:
        for attribute in node.attribute:
            yield from (inner for inner in (attribute.g, *attribute.graphs) if inner.node or inner.output)


def _defined(graph: onnx.GraphProto) -> set[str]:
    """Names that mean something of a graph's own in it."""
    found = {value.name for value in (*graph.initializer, *graph.input)}
    found |= {sparse.values.name for sparse in graph.sparse_initializer}
    return found | {name for node in graph.node for name in node.output}


def _share_constants(graph: onnx.GraphProto) -> int:
    """Let readers of equal initializers read the first of them. What the graph hands in or out is left alone."""
    fixed = {value.name for value in (*graph.input, *graph.output)}
    fixed |= {pair.value for note in graph.quantization_annotation for pair in note.quant_parameter_tensor_names}
    elsewhere = {name for inner in graphs(graph) if inner is not graph for name in _defined(inner)}
    fixed |= elsewhere  # means something else in a graph within
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
