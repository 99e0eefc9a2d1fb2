"""A file is called valid where a runtime opens it, and not where it refuses it: each case is shown to ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from workshop.onnx_files.check import faults  # noqa: E402

Change = Callable[[onnx.ModelProto], None]


def small() -> onnx.ModelProto:
    """image -> pair -> Conv on stored codes -> y."""
    stored = {
        "s": np.float32(0.1),
        "z": np.uint8(3),
        "other": np.int8(0),
        "w": np.ones((2, 3, 1, 1), np.int8),
        "ws": np.full(2, 0.1, np.float32),
        "wz": np.zeros(2, np.int8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["image", "s", "z"], ["q"], "quantize"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], "dequantize"),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["weight"], "weight", axis=0),
        helper.make_node("Conv", ["d", "weight"], ["y"], "conv"),
    ]
    ends = [
        helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 4, 4]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 4, 4]),
    ]
    tensors = [numpy_helper.from_array(np.asarray(v), n) for n, v in stored.items()]
    graph = helper.make_graph(nodes, "small", ends[:1], ends[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def node(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    return next(some for some in model.graph.node if some.name == name)


def named(old: str, new: str) -> Change:
    return lambda model: setattr(node(model, old), "name", new)


def reading(name: str, index: int, tensor: str) -> Change:
    def change(model: onnx.ModelProto) -> None:
        node(model, name).input[index] = tensor

    return change


def half_weights_beside_float_data(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.ones((2, 3, 1, 1), np.float16), "half"))
    reading("conv", 1, "half")(model)


def wrong_rank(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.ones((2, 3), np.float32), "flat"))
    reading("conv", 1, "flat")(model)


def as_integers(zero: str) -> Change:
    def change(model: onnx.ModelProto) -> None:
        del model.graph.node[1:]
        inputs = ["q", "s", zero, "w", "ws", "wz", "s", "z"]
        model.graph.node.append(helper.make_node("QLinearConv", inputs, ["c"], "integers"))
        model.graph.node.append(helper.make_node("DequantizeLinear", ["c", "s", "z"], ["y"], "end"))

    return change


def microsoft_add(zero: str) -> Change:
    def change(model: onnx.ModelProto) -> None:
        del model.graph.node[1:]
        inputs = ["q", "s", zero, "q", "s", "z", "s", "z"]
        model.graph.node.append(helper.make_node("QLinearAdd", inputs, ["c"], "sum", domain="com.microsoft"))
        model.graph.node.append(helper.make_node("DequantizeLinear", ["c", "s", "z"], ["y"], "end"))
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
        model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 3

    return change


def within_a_branch(change: Change) -> Change:
    def nest(model: onnx.ModelProto) -> None:
        change(model)
        inner = onnx.GraphProto(name="branch", node=model.graph.node, output=model.graph.output)
        choice = helper.make_node("If", ["yes"], ["chosen"], "if", then_branch=inner, else_branch=inner)
        del model.graph.node[:], model.graph.output[:]
        model.graph.node.append(choice)
        model.graph.input.append(helper.make_tensor_value_info("yes", TensorProto.BOOL, []))
        model.graph.output.append(helper.make_tensor_value_info("chosen", TensorProto.FLOAT, None))

    return nest


def in_a_function(change: Change) -> Change:
    def wrap(model: onnx.ModelProto) -> None:
        change(model)
        body = [helper.make_node("Constant", [], [t.name], value=t) for t in model.graph.initializer]
        imports = [helper.make_opsetid("", 17)]
        made = helper.make_function("local", "Block", ["image"], ["y"], [*body, *model.graph.node], imports)
        del model.graph.node[:], model.graph.initializer[:]
        model.graph.node.append(helper.make_node("Block", ["image"], ["y"], "call", domain="local"))
        model.functions.append(made)
        model.opset_import.append(helper.make_opsetid("local", 1))

    return wrap


def old_hints(model: onnx.ModelProto) -> None:
    """Sizes that an editor left behind for an inner tensor: a runtime infers its own."""
    model.graph.value_info.append(helper.make_tensor_value_info("d", TensorProto.FLOAT, [1, 3, 9, 9]))


def nameless(model: onnx.ModelProto) -> None:
    for some in model.graph.node:
        some.name = ""


def no_output_shape(model: onnx.ModelProto) -> None:
    model.graph.output[0].type.tensor_type.ClearField("shape")


REFUSED: dict[str, Change] = {
    "two nodes of one name": named("conv", "weight"),
    "two nodes of one name in a branch": within_a_branch(named("conv", "weight")),
    "an activation's zero-point of another type": reading("dequantize", 2, "other"),
    "a weight's zero-point of another type": lambda model: (
        model.graph.initializer.append(numpy_helper.from_array(np.zeros(2, np.uint8), "unsigned")),
        reading("weight", 2, "unsigned")(model),
    )[-1],
    "a zero-point of another type in a branch": within_a_branch(reading("dequantize", 2, "other")),
    "a zero-point of another type in a function": in_a_function(reading("dequantize", 2, "other")),
    "an integer operator's zero-point of another type": as_integers("other"),
    "com.microsoft's zero-point of another type": microsoft_add("other"),
    "weights in half beside data in float": half_weights_beside_float_data,
    "weights of too few axes": wrong_rank,
    "half precision below opset 19": lambda model: model.graph.initializer[0].CopyFrom(
        numpy_helper.from_array(np.float16(0.1), "s")
    ),
}
TAKEN: dict[str, Change] = {
    "as it is": lambda model: None,
    "without names": nameless,
    "in a branch": within_a_branch(lambda model: None),
    "in a function": in_a_function(lambda model: None),
    "an integer operator": as_integers("z"),
    "com.microsoft's operator": microsoft_add("z"),
    "old sizes of an inner tensor": old_hints,
    "an output without a shape": no_output_shape,
}


def opens(model: onnx.ModelProto) -> bool:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception:
        return False
    return True


@pytest.mark.parametrize("how", REFUSED)
def test_what_a_runtime_refuses_is_not_valid(how: str) -> None:
    model = small()
    REFUSED[how](model)
    assert not opens(model)
    assert list(faults(model))


@pytest.mark.parametrize("how", TAKEN)
def test_what_a_runtime_takes_is_valid(how: str) -> None:
    model = small()
    TAKEN[how](model)
    assert opens(model)
    assert list(faults(model)) == []
