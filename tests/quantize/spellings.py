"""The same small quantized nets in every spelling: integer operators, functions, constants behind Cast, in half."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.quantize.qdq_net import Net, node, onnxruntime_net, tensor


def integer_operators(model: onnx.ModelProto) -> onnx.ModelProto:
    """QLinearConv and com.microsoft's operators in place of Q/DQ, as ONNX Runtime itself writes them."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    with TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        found = onnx.load(options.optimized_model_filepath)
    used = {some.domain for some in found.graph.node}
    kept = [some for some in found.opset_import if some.domain in used | {""}]
    del found.opset_import[:]
    found.opset_import.extend(kept)
    del found.graph.value_info[:]
    return found


def in_a_function(model: onnx.ModelProto, opset: int | None = None) -> onnx.ModelProto:
    """All nodes in a local function without names, constants too."""
    body = [helper.make_node("Constant", [], [t.name], value=t) for t in model.graph.initializer]
    body += [onnx.NodeProto.FromString(some.SerializeToString()) for some in model.graph.node]
    for some in body:
        some.name = ""
    names = [[value.name for value in side] for side in (model.graph.input, model.graph.output)]
    imports = [helper.make_opsetid("", opset or model.opset_import[0].version)]
    function = helper.make_function("local", "Block", *names, body, imports)
    call = helper.make_node("Block", *names, domain="local", name="call")
    graph = helper.make_graph([call], "calls", model.graph.input, model.graph.output)
    return helper.make_model(
        graph,
        functions=[function],
        opset_imports=[*model.opset_import, helper.make_opsetid("local", 1)],
        ir_version=model.ir_version,
    )


def behind_cast(model: onnx.ModelProto) -> onnx.ModelProto:
    """Scales in double and zero-points in int32, each behind Cast and Identity, as torch's exporter leaves them."""
    wide = {TensorProto.FLOAT: np.float64, TensorProto.INT8: np.int32, TensorProto.UINT8: np.int32}
    front = []
    for some in model.graph.initializer:
        if some.name.endswith(("_s", "_z")):
            name, kind, values = some.name, some.data_type, numpy_helper.to_array(some)
            some.CopyFrom(numpy_helper.from_array(values.astype(wide[kind]), f"{name}_wide"))
            front.append(helper.make_node("Cast", [f"{name}_wide"], [f"{name}_cast"], name=f"{name}_cast", to=kind))
            front.append(helper.make_node("Identity", [f"{name}_cast"], [name], name=name))
    for some in reversed(front):
        model.graph.node.insert(0, some)
    return model


def in_half(model: onnx.ModelProto, opset: int = 19) -> onnx.ModelProto:
    """Everything that is float, scales too, in half precision."""
    model.opset_import[0].version = opset
    for some in model.graph.initializer:
        if some.data_type == TensorProto.FLOAT:
            some.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(some).astype(np.float16), some.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    return model


def dynamic_net() -> onnx.ModelProto:
    """Scales measured on each run: DynamicQuantizeLinear, ConvInteger, MatMulInteger. (1, 3, 8, 8) -> (1, 8, 8, 8)."""
    net = Net("uint8")
    codes = net.random.integers(-127, 128, (8, 3, 3, 3)).astype(np.int8)
    net.nodes.append(helper.make_node("DynamicQuantizeLinear", ["image"], ["xq", "xs", "xz"], name="measure"))
    integers = net.node("ConvInteger", "conv", "xq", net.constant("w", codes), "xz", pads=[1] * 4)
    floats = net.node("Cast", "floats", integers, to=TensorProto.FLOAT)
    scale = net.node("Mul", "scale", "xs", net.constant("ws", np.float32(0.001)))
    rows = net.node("Mul", "answered", floats, scale)
    net.nodes.append(helper.make_node("DynamicQuantizeLinear", [rows], ["rq", "rs", "rz"], name="again"))
    right = net.constant("right", net.random.integers(-127, 128, (8, 8)).astype(np.int8))
    product = net.node("MatMulInteger", "product", "rq", right, "rz")
    net.node("Cast", "answer", product, to=TensorProto.FLOAT)
    return net.model((1, 3, 8, 8), "answer", rank=4)


def signed_net(*, weight_max: int = 127) -> onnx.ModelProto:
    """onnxruntime_net as TensorRT wants its numbers: every zero-point int8 and zero."""
    model = onnxruntime_net("int8", weight_max=weight_max)
    for some in model.graph.initializer:
        if some.name.endswith("_dq_z"):
            some.CopyFrom(numpy_helper.from_array(np.int8(0), some.name))
    return model


def int32_bias(model: onnx.ModelProto, layer: str = "joined", off: float = 1.0) -> onnx.ModelProto:
    """The layer's bias as int32 behind DequantizeLinear, in steps of data times weight, `off` times that."""
    conv = node(model, layer)
    data = next(some for some in model.graph.node if conv.input[0] in some.output)
    left = numpy_helper.to_array(tensor(model, data.input[1]))
    right = numpy_helper.to_array(tensor(model, f"{layer}_w_s"))
    scale = (left * right * off).astype(np.float32)
    codes = np.round(numpy_helper.to_array(tensor(model, f"{layer}_b")) / scale).astype(np.int32)
    parts = {f"{layer}_bq": codes, f"{layer}_bs": scale, f"{layer}_bz": np.zeros(len(codes), np.int32)}
    model.graph.initializer.extend(numpy_helper.from_array(values, name) for name, values in parts.items())
    pair = helper.make_node("DequantizeLinear", list(parts), [f"{layer}_bias"], name=f"{layer}_bias", axis=0)
    model.graph.node.insert(0, pair)
    conv.input[2] = f"{layer}_bias"
    return model


def random_net(seed: int) -> onnx.ModelProto:
    """Convolutions, activations, joins and pools with pairs here and there: what fuses is anybody's guess."""
    random = np.random.default_rng(seed)
    net = Net(str(random.choice(["uint8", "int8"])))
    low = int(np.iinfo(net.activation).min)

    def pair(of: str, name: str) -> str:
        zero = int(random.choice([low, low + 128, 0 if net.activation == np.int8 else 10]))
        return of if random.random() < 0.15 else net.pair(of, name, zero=zero)

    x, channels = pair("image", "image_dq"), 3
    for index in range(int(random.integers(2, 6))):
        y = net.conv(x, f"conv{index}", (channels, 8))
        kind = str(random.choice(["", "Relu", "Clip", "LeakyRelu", "Sigmoid"], p=[0.3, 0.4, 0.1, 0.1, 0.1]))
        bounds = {"low": 0.0, "high": float(random.choice([6, 20]))} if kind == "Clip" else {}
        more = [net.constant(f"{name}{index}", np.float32(value)) for name, value in bounds.items()]
        y = pair(net.node(kind, f"act{index}", y, *more) if kind else y, f"dq{index}")
        if channels == 8 and random.random() < 0.4:
            y = pair(net.node("Add", f"add{index}", y, x), f"sum{index}")
        if random.random() < 0.3:
            y = net.node("MaxPool", f"pool{index}", y, kernel_shape=[1, 1])
        x, channels = y, 8
    net.node("Identity", "answer", x)
    return net.model((1, 3, 8, 8), "answer", rank=4)


Spelling = Callable[[onnx.ModelProto], onnx.ModelProto]
SPELLINGS: dict[str, Spelling] = {
    "as it is": lambda model: model,
    "integer operators": integer_operators,
    "in a function": in_a_function,
    "behind Cast": behind_cast,
}
