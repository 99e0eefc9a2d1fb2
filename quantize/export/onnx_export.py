"""Torch modules to clean ONNX graphs: opset 17, names as in the manifest, weights stored as int8."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from itertools import count

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from quantize.export.columns import compute_two_columns_at_once
from quantize.export.pixel_codes import take_pixels_as_codes
from quantize.ptq.quantizers import export_as_qdq
from quantize.rules.mend import mended

OPSET = 17  # 18 and later leave the legacy exporter's tested range; 21 breaks ONNX Runtime's S8 pass
OWNER = "model."  # EncoderGraph and FuserGraph hold the network under this name


def onnx_bytes(
    module: nn.Module,
    example: tuple[Tensor, ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    signed_codes: bool = False,
) -> bytes:
    """What is shipped: always the same bytes for the same weights. signed_codes: see `move_codes`."""
    model = onnx_from_module(module, example, inputs, outputs)
    if signed_codes:
        move_codes(model)
    else:
        take_pixels_as_codes(model)
        compute_two_columns_at_once(model)
    store_matrices_as_float16(model)
    shrink(model)
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def onnx_from_module(
    module: nn.Module, example: tuple[Tensor, ...], inputs: Sequence[str], outputs: Sequence[str]
) -> onnx.ModelProto:
    """Export with fixed shapes through the legacy exporter, the only one that keeps NNCF's Q/DQ whole."""
    export_as_qdq(module)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated for years, removed in none
        torch.onnx.export(
            module.eval(),
            example,
            buffer,
            dynamo=False,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
        )
    model = mended(
        onnx.load_from_string(buffer.getvalue())
    ).model  # what --fix does to any file: weights stored as int8
    model.graph.ClearField("value_info")
    model.graph.name = "codriver"
    return model


def move_codes(model: onnx.ModelProto) -> int:
    """Store activations as int8: each uint8 zero-point z becomes z - 128, and so does every code. Returns how many.

    The real values stay the same, bit by bit. Only zero-points of activations are uint8; weights are int8 already.
    """
    inits = {tensor.name: tensor for tensor in model.graph.initializer}
    inits |= {node.output[0]: node.attribute[0].t for node in model.graph.node if node.op_type == "Constant"}
    moved = 0
    for name in {n.input[2] for n in model.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")}:
        zero = numpy_helper.to_array(inits[name])
        if zero.dtype == np.uint8:
            inits[name].CopyFrom(
                numpy_helper.from_array((zero.astype(np.int16) - 128).astype(np.int8), inits[name].name)
            )
            moved += 1
    return moved


def store_matrices_as_float16(model: onnx.ModelProto) -> int:
    """Store matrices that hold values of float16 alone as such, with a Cast that runtimes fold away. Returns how many.

    No value changes, so a matrix with others is left as it is: see fold.with_vectors_in_half.
    """
    graph = model.graph
    taken = {name for node in graph.node if node.op_type in ("Gemm", "MatMul") for name in node.input}
    casts = []
    for tensor in [t for t in graph.initializer if t.name in taken and t.data_type == onnx.TensorProto.FLOAT]:
        values = numpy_helper.to_array(tensor)
        half = values.astype(np.float16)
        if values.ndim == 2 and np.array_equal(half.astype(np.float32), values):
            casts.append(
                onnx.helper.make_node("Cast", [f"{tensor.name}.half"], [tensor.name], to=onnx.TensorProto.FLOAT)
            )
            tensor.CopyFrom(numpy_helper.from_array(half, f"{tensor.name}.half"))
    nodes = [*casts, *graph.node]
    graph.ClearField("node")
    graph.node.extend(nodes)
    return len(casts)


def shrink(model: onnx.ModelProto) -> None:
    """Constants become initializers, equal ones one, and values in between get short names. No number changes."""
    graph = model.graph
    for node in [node for node in graph.node if node.op_type == "Constant"]:
        tensor = graph.initializer.add()
        tensor.CopyFrom(node.attribute[0].t)
        tensor.name = node.output[0]
        graph.node.remove(node)
    renamed: dict[str, str] = {}
    first: dict[tuple[object, ...], str] = {}
    for tensor in list(graph.initializer):
        key = (tensor.data_type, tuple(tensor.dims), numpy_helper.to_array(tensor).tobytes())
        if first.setdefault(key, tensor.name) != tensor.name:
            renamed[tensor.name] = first[key]
            graph.initializer.remove(tensor)
    _drop_defaults(graph)
    _shorten(graph, renamed)


def _shorten(graph: onnx.GraphProto, renamed: dict[str, str]) -> None:
    """Number what nobody asks for by name: values between nodes, codes and scales, and the Q/DQ nodes.

    Layers keep their names, without the exporter's repetition of parents. Weights keep theirs in full precision; in
    INT8 codes stand in their place, and a number does for the biases too: at the smallest size names are the overhead.
    """
    kept = {value.name for value in (*graph.input, *graph.output)}
    is_int8 = any(node.op_type == "QuantizeLinear" for node in graph.node)
    weights = [] if is_int8 else [t.name for t in graph.initializer if t.name.startswith(OWNER)]
    owned = {name: name.removeprefix(OWNER) for name in weights}
    numbered = [t.name for t in graph.initializer if t.name not in owned]
    numbered += [name for node in graph.node for name in node.output if name not in kept | owned.keys()]
    free = (name for name in (np.base_repr(n, 36).lower() for n in count()) if name not in kept)
    short = owned | dict(zip(dict.fromkeys(numbered), free, strict=False))
    for tensor in graph.initializer:
        tensor.name = short.get(tensor.name, tensor.name)
    for number, node in enumerate(graph.node):
        node.ClearField("doc_string")
        node.name = _node_name(node, number)
        for place, name in enumerate(node.input):
            name = renamed.get(name, name)
            node.input[place] = short.get(name, name)
        for place, name in enumerate(node.output):
            node.output[place] = short.get(name, name)


def _node_name(node: onnx.NodeProto, number: int) -> str:
    """/incar/layers/layers.0/layers.0.0/Conv -> /incar/layers.0.0/Conv: a part that the next one begins with goes."""
    if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        return f"{'q' if node.op_type == 'QuantizeLinear' else 'dq'}{number}"
    parts = node.name.split("/")
    pairs = zip(parts, [*parts[1:], ""], strict=True)
    return "/".join(part for part, following in pairs if not (part and following.startswith(f"{part}.")))


def _drop_defaults(graph: onnx.GraphProto) -> None:
    """Attributes of convolutions that say what ONNX takes for granted."""
    for node in graph.node:
        if node.op_type == "Conv":
            plain = [a for a in node.attribute if a.name in ("group", "dilations") and {a.i or 1, *a.ints} == {1}]
            for attribute in plain:
                node.attribute.remove(attribute)
