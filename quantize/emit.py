"""Torch modules to clean ONNX graphs: opset 17, names as in the manifest, weights stored as int8."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

OPSET = 17  # 18 and later leave the legacy exporter's tested range; 21 breaks ONNX Runtime's S8 pass
IR_VERSION = 10  # newest that ONNX Runtime 1.23 and TensorRT 10.3's parser read


def onnx_from_module(
    module: nn.Module, example: tuple[Tensor, ...], inputs: Sequence[str], outputs: Sequence[str]
) -> onnx.ModelProto:
    """Export with fixed shapes through the legacy exporter, the only one that keeps NNCF's Q/DQ whole."""
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
    model = onnx.load_from_string(buffer.getvalue())
    model.ir_version = min(model.ir_version, IR_VERSION)
    store_weights_as_int8(model)
    model.graph.ClearField("value_info")
    model.graph.name = "codriver"
    onnx.checker.check_model(model, full_check=True)
    return model


def store_weights_as_int8(model: onnx.ModelProto) -> int:
    """Replace each float weight and its QuantizeLinear by the int8 weight; DequantizeLinear stays. Returns how many.

    A quarter of the bytes, and the same numbers: the node is evaluated here with ONNX's own rounding, half to even.
    """
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    constants |= {node.output[0]: node.attribute[0].t for node in graph.node if node.op_type == "Constant"}
    done = []
    for node in graph.node:
        if node.op_type == "QuantizeLinear" and all(name in constants for name in node.input):
            weight, scale, zero = (numpy_helper.to_array(constants[name]) for name in node.input)
            axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
            shape = [-1 if i == axis else 1 for i in range(weight.ndim)] if scale.ndim else []
            codes = np.rint(weight / scale.reshape(shape)) + zero.reshape(shape).astype(np.float32)
            info = np.iinfo(zero.dtype)
            stored = np.clip(codes, info.min, info.max).astype(zero.dtype)
            graph.initializer.append(numpy_helper.from_array(stored, node.output[0]))
            done.append(node)
    for node in done:
        graph.node.remove(node)
    drop_unused(graph)
    return len(done)


def drop_unused(graph: onnx.GraphProto) -> None:
    """Remove constants that nothing reads any more."""
    used = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    for tensor in [t for t in graph.initializer if t.name not in used]:
        graph.initializer.remove(tensor)
    for node in [n for n in graph.node if n.op_type == "Constant" and n.output[0] not in used]:
        graph.node.remove(node)
