"""Small quantized graphs, clean in one dialect each, with all the parts that rules look at; and ways to break them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Break = Callable[[onnx.ModelProto], None]
STEP = 0.05  # scale of an activation


class Net:
    """Builds a graph node by node; a node's output has the node's name."""

    def __init__(self, activation: str, *, stored: bool = True, weight_max: int = 127) -> None:
        self.random = np.random.default_rng(0)
        self.activation, self.stored, self.weight_max = np.dtype(activation), stored, weight_max
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []

    def constant(self, name: str, values: Any) -> str:
        self.tensors.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(self, op: str, name: str, *inputs: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def pair(self, of: str, name: str, *, zero: int = 0, step: float = STEP) -> str:
        numbers = (
            self.constant(f"{name}_s", np.float32(step)),
            self.constant(f"{name}_z", self.activation.type(zero)),
        )
        return self.node("DequantizeLinear", name, self.node("QuantizeLinear", f"{name}_q", of, *numbers), *numbers)

    def weight(self, name: str, shape: tuple[int, ...], axis: int) -> str:
        codes = self.random.integers(-self.weight_max, self.weight_max + 1, shape).astype(np.int8)
        codes.flat[0] = self.weight_max
        scale = self.random.uniform(0.001, 0.002, shape[axis]).astype(np.float32)
        numbers = (self.constant(f"{name}_s", scale), self.constant(f"{name}_z", np.zeros(shape[axis], np.int8)))
        if self.stored:
            codes_name = self.constant(f"{name}_q", codes)
        else:
            spread = scale.reshape([-1 if i == axis else 1 for i in range(len(shape))])
            noise = self.random.uniform(-0.4, 0.4, shape).astype(np.float32)
            floats = self.constant(f"{name}_f", (codes + noise).astype(np.float32) * spread)
            codes_name = self.node("QuantizeLinear", f"{name}_q", floats, *numbers, axis=axis)
        return self.node("DequantizeLinear", name, codes_name, *numbers, axis=axis)

    def conv(self, x: str, name: str, channels: tuple[int, int], size: int = 3) -> str:
        weight = self.weight(f"{name}_w", (channels[1], channels[0], size, size), 0)
        bias = self.constant(f"{name}_b", self.random.normal(size=channels[1]).astype(np.float32))
        return self.node("Conv", name, x, weight, bias, pads=[size // 2] * 4)

    def model(self, shape: tuple[int, ...], output: str, rank: int) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, [None] * rank)],
            self.tensors,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
        onnx.checker.check_model(model, full_check=True)
        return model


def tensorrt_net(*, stored: bool = True) -> onnx.ModelProto:
    """Signed, zero-point 0, pairs in front of layers and on the skip: (1, 3, 8, 8) -> answer (1, 4)."""
    net = Net("int8", stored=stored)
    stem = net.node("Relu", "stem_relu", net.conv(net.pair("image", "image_dq"), "stem", (3, 8)))
    skip = net.pair(stem, "skip_dq")
    first = net.node("Relu", "first_relu", net.conv(skip, "first", (8, 8)))
    second = net.conv(net.pair(first, "first_dq"), "second", (8, 8))
    block = net.pair(net.node("Relu", "block", net.node("Add", "residual", second, skip)), "block_dq")
    left, right = (net.pair(net.conv(block, side, (8, 8)), f"{side}_dq") for side in ("left", "right"))
    joined = net.conv(net.node("Concat", "join", left, right, axis=1), "joined", (16, 8))
    gated = net.node("Mul", "gated", joined, net.node("Sigmoid", "gate", joined))
    up = net.node("ConvTranspose", "up", net.pair(gated, "gated_dq"), net.weight("up_w", (8, 4, 3, 3), 1))
    flat = net.node("Flatten", "flat", net.node("GlobalAveragePool", "pool", up))
    gemm = net.node("Gemm", "gemm", net.pair(flat, "flat_dq"), net.weight("gemm_w", (6, 4), 0), transB=1)
    hidden = net.node("MatMul", "matmul", net.pair(layer_norm(net, gemm), "norm_dq"), net.weight("matmul_w", (6, 4), 1))
    shifted = net.node("Add", "shifted", hidden, net.constant("shift", np.ones(4, np.float32)))
    normal = net.node("LayerNormalization", "normal", gelu(net, shifted), net.constant("gamma", np.ones(4, np.float32)))
    net.node("Softmax", "answer", normal)
    return net.model((1, 3, 8, 8), "answer", rank=2)


def layer_norm(net: Net, x: str) -> str:
    """As exporters write it out below opset 17."""
    centred = net.node("Sub", "ln_sub", x, net.node("ReduceMean", "ln_mean", x, axes=[-1]))
    squared = net.node("Pow", "ln_pow", centred, net.constant("two", np.float32(2)))
    moved = net.node("Add", "ln_eps", net.node("ReduceMean", "ln_var", squared, axes=[-1]), _c(net, "epsilon", 1e-5))
    scaled = net.node("Div", "ln_div", centred, net.node("Sqrt", "ln_sqrt", moved))
    weighted = net.node("Mul", "ln_mul", scaled, net.constant("ln_gamma", np.ones(6, np.float32)))
    return net.node("Add", "ln_add", weighted, net.constant("ln_beta", np.zeros(6, np.float32)))


def gelu(net: Net, x: str) -> str:
    erf = net.node("Erf", "erf", net.node("Div", "erf_in", x, _c(net, "root", 1.4142135)))
    product = net.node("Mul", "gelu_mul", x, net.node("Add", "erf_out", erf, _c(net, "one", 1)))
    return net.node("Mul", "gelu", product, _c(net, "half", 0.5))


def _c(net: Net, name: str, value: float) -> str:
    return net.constant(name, np.float32(value))


def onnxruntime_net(activation: str = "uint8", *, stored: bool = True, weight_max: int = 127) -> onnx.ModelProto:
    """Pairs on every side of everything: (1, 3, 8, 8) -> answer (1, 8, 4, 4)."""
    net = Net(activation, stored=stored, weight_max=weight_max)
    low = int(np.iinfo(activation).min)

    def layer(x: str, name: str, channels: tuple[int, int], relu: bool = True) -> str:
        y = net.conv(x, name, channels)
        if relu:
            return net.pair(net.node("Relu", f"{name}_relu", y), f"{name}_dq", zero=low)
        return net.pair(y, f"{name}_dq", zero=low + 128)

    stem = layer(net.pair("image", "image_dq", zero=low + 128), "stem", (3, 8))
    second = layer(layer(stem, "first", (8, 8)), "second", (8, 8), relu=False)
    added = net.node("Relu", "block", net.node("Add", "residual", stem, second))
    block = net.pair(added, "block_dq", zero=low)
    pooled = net.node("MaxPool", "pool", block, kernel_shape=[2, 2], strides=[2, 2])
    sides = [layer(pooled, side, (8, 8)) for side in ("left", "right")]
    joined = net.pair(net.node("Concat", "join", *sides, axis=1), "join_dq", zero=low)
    net.node("Identity", "answer", layer(joined, "joined", (16, 8)))
    return net.model((1, 3, 8, 8), "answer", rank=4)


CLEAN = {
    "tensorrt": tensorrt_net,
    "ort-x86": onnxruntime_net,
    "ort-x86-7bit": lambda: onnxruntime_net(weight_max=64),
    "ort-arm": lambda: onnxruntime_net("int8"),
    "openvino": onnxruntime_net,
}


def node(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    return next(found for found in model.graph.node if found.name == name)


def tensor(model: onnx.ModelProto, name: str) -> onnx.TensorProto:
    return next(found for found in model.graph.initializer if found.name == name)


def setting(name: str, values: Any) -> Break:
    """Give constants that share this name another value."""

    def change(model: onnx.ModelProto) -> None:
        tensor(model, name).CopyFrom(numpy_helper.from_array(np.asarray(values), name))

    return change


def attributes(name: str, **values: Any) -> Break:
    def change(model: onnx.ModelProto) -> None:
        found = node(model, name)
        kept = [attribute for attribute in found.attribute if attribute.name not in values]
        del found.attribute[:]
        found.attribute.extend([*kept, *(helper.make_attribute(key, value) for key, value in values.items())])

    return change


def reading(name: str, index: int, tensor_name: str) -> Break:
    """Let a node read another tensor."""

    def change(model: onnx.ModelProto) -> None:
        found = node(model, name)
        found.input[:] = [*found.input, *[""] * (index + 1 - len(found.input))]
        found.input[index] = tensor_name

    return change


def inserting(*made: tuple[str, str, list[str]], before: str, reads: int = 0, **attributes: Any) -> Break:
    """Put nodes (operator, name, inputs) in front of a node, which then reads the last of them."""

    def change(model: onnx.ModelProto) -> None:
        at = list(model.graph.node).index(node(model, before))
        for offset, (operator, name, inputs) in enumerate(made):
            some = helper.make_node(operator, inputs, [name], name=name, **attributes)
            model.graph.node.insert(at + offset, some)
        reading(before, reads, made[-1][1])(model)

    return change


def pair_before(name: str, reads: int = 0, like: str = "block_dq") -> Break:
    """Put a pair in front of an input of a node, with the scale and zero-point of another pair."""

    def change(model: onnx.ModelProto) -> None:
        numbers = [f"{like}_s", f"{like}_z"]
        source = node(model, name).input[reads]
        quantize = ("QuantizeLinear", f"{name}_new_q", [source, *numbers])
        dequantize = ("DequantizeLinear", f"{name}_new_dq", [f"{name}_new_q", *numbers])
        inserting(quantize, dequantize, before=name, reads=reads)(model)

    return change


def both(*changes: Break) -> Break:
    def change(model: onnx.ModelProto) -> None:
        for some in changes:
            some(model)

    return change


def adding(name: str, values: Any) -> Break:
    def change(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))

    return change


def importing(domain: str) -> Break:
    def change(model: onnx.ModelProto) -> None:
        model.opset_import.append(helper.make_opsetid(domain, 1))

    return change


def foreign(name: str, operator: str, domain: str) -> Break:
    def change(model: onnx.ModelProto) -> None:
        found = node(model, name)
        found.op_type, found.domain = operator, domain
        if domain:
            importing(domain)(model)

    return change
