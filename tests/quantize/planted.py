"""Graphs that a runtime gets wrong, or that were made wrong, so that checks can be seen to fail."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from codriver.engines.openvino import shared_core


def through_concat(encoder: onnx.ModelProto, output: str, codes: Any = np.int8, step: float = 0.05) -> onnx.ModelProto:
    """A copy whose output goes, in 8 bits, through a concatenation of two branches and a convolution that joins them.

    relu(x) - relu(-x) = x, so the answer stays the same but for rounding. OpenVINO reads signed codes here with a
    wrong scale (reference/int8.md 3.3).
    """
    model = onnx.ModelProto()
    model.CopyFrom(encoder)
    channels = next(o for o in model.graph.output if o.name == output).type.tensor_type.shape.dim[1].dim_value
    for node in model.graph.node:
        node.output[:] = ["planted_x" if name == output else name for name in node.output]
        node.input[:] = ["planted_x" if name == output else name for name in node.input]
    both = np.concatenate([np.eye(channels), -np.eye(channels)], axis=1)[:, :, None, None]
    stored = {
        "planted_step": np.float32(step),
        "planted_zero": codes(0),
        "planted_w": (127 * both).astype(np.int8),
        "planted_w_step": np.full(channels, 1 / 127, np.float32),
        "planted_w_zero": np.zeros(channels, np.int8),
    }
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), name) for name, v in stored.items())
    node = helper.make_node
    added = [
        node("Neg", ["planted_x"], ["planted_minus"]),
        node("Relu", ["planted_x"], ["planted_a"]),
        node("Relu", ["planted_minus"], ["planted_b"]),
    ]
    for name in ("planted_a", "planted_b"):
        added += _pair(name)
    added += [node("Concat", ["planted_a_d", "planted_b_d"], ["planted_c"], axis=1), *_pair("planted_c")]
    weights = ["planted_w", "planted_w_step", "planted_w_zero"]
    added += [
        node("DequantizeLinear", weights, ["planted_w_d"], axis=0),
        node("Conv", ["planted_c_d", "planted_w_d"], [output]),
    ]
    model.graph.node.extend(added)
    return model


def _pair(name: str) -> list[onnx.NodeProto]:
    numbers = ["planted_step", "planted_zero"]
    return [
        helper.make_node("QuantizeLinear", [name, *numbers], [f"{name}_q"]),
        helper.make_node("DequantizeLinear", [f"{name}_q", *numbers], [f"{name}_d"]),
    ]


def with_scale(encoder: onnx.ModelProto, factor: float) -> onnx.ModelProto:
    """A copy in which ReLUs' codes are read back with `factor` times the scale that they were made with."""
    model = onnx.ModelProto()
    model.CopyFrom(encoder)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    stored |= {node.output[0]: node.attribute[0].t for node in model.graph.node if node.op_type == "Constant"}
    relus = {node.output[0] for node in model.graph.node if node.op_type == "Relu"}
    codes = {n.output[0]: n for n in model.graph.node if n.op_type == "QuantizeLinear" and n.input[0] in relus}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in codes:
            scale = np.float32(numpy_helper.to_array(stored[node.input[1]]) * factor)
            name = f"{node.input[0]}_planted"
            model.graph.initializer.append(numpy_helper.from_array(scale, name))
            node.input[1] = name
    return model


def openvino_reading_onnx(model: onnx.ModelProto) -> Any:
    """An engine that does what codriver's refuses to: hand an ONNX file to OpenVINO."""
    compiled = shared_core().compile_model(shared_core().read_model(model.SerializeToString()), "CPU")
    outputs = [output.name for output in model.graph.output]

    class Reader:
        def infer(self, inputs: dict[str, Any]) -> dict[str, Any]:
            found = compiled(inputs)
            return {name: found[name].copy() for name in outputs}

        def close(self) -> None: ...

    return Reader()
