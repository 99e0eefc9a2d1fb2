"""What rules see in rarer spellings: types that a file does not say, scales in other scopes, parts written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from quantize.rules.fragile import fragile_parts_are_float, parts  # noqa: E402
from quantize.rules.numbers import scale_types, scales_are_sound  # noqa: E402
from quantize.rules.placement import _lacking  # noqa: E402
from quantize.rules.qdq import quantized_constant, replaceable, zero_type  # noqa: E402
from quantize.rules.rule import Asked  # noqa: E402
from quantize.rules.view import GraphView  # noqa: E402

CONSTANTS = {
    "s": np.float32(0.5),
    "z": np.int8(3),
    "codes": np.array([1, 2], np.int8),
    "data": np.array([0.0, 1.0, -1.0], np.float32),
    "half": np.float16(0.5),
    "bad": np.float32(-1.0),
    "factor": np.float32(0.7071),
    "one": np.float32(1.0),
    "gain": np.ones(4, np.float32),
    "shift": np.ones(4, np.float32),
    "small": np.float32(1e-5),
    "w": np.ones((2, 4, 1, 1), np.float32),
}


def op(kind: str, inputs: str, output: str, domain: str = "", **attributes: Any) -> Any:
    return helper.make_node(kind, inputs.split(), [output], name=output, domain=domain, **attributes)


def graph(*nodes: Any, opset: int = 17, given: tuple[str, ...] = (), shape: tuple[int, ...] = (1, 4)) -> GraphView:
    """given: constants that are inputs of the graph too, with these as their defaults."""
    read = {name for node in nodes for name in node.input} | set(given)
    used = {name: np.asarray(value) for name, value in CONSTANTS.items() if name in read}
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    inputs += [helper.make_tensor_value_info(name, TensorProto.FLOAT, used[name].shape) for name in given]
    last = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)
    tensors = [numpy_helper.from_array(value, name) for name, value in used.items()]
    made = helper.make_graph(nodes, "g", inputs, [last], tensors)
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return GraphView(helper.make_model(made, opset_imports=imports))


def pair(data: str, name: str) -> tuple[Any, Any]:
    return op("QuantizeLinear", f"{data} s z", f"{name}_q"), op("DequantizeLinear", f"{name}_q s z", name)


def fragile(*nodes: Any) -> list[str]:
    return [said for _, said in fragile_parts_are_float(graph(*nodes), Asked())]


def test_a_quantizer_without_a_zero_point_stores_what_its_attribute_says_or_uint8() -> None:
    wanted = graph(op("QuantizeLinear", "x s", "y", output_dtype=TensorProto.INT8), opset=21)
    assert zero_type(wanted.named("y")[0]) == "int8"
    assert zero_type(graph(op("QuantizeLinear", "x s", "y")).named("y")[0]) == "uint8"


def test_a_dequantizer_without_a_zero_point_stores_what_its_constant_is() -> None:
    assert zero_type(graph(op("DequantizeLinear", "codes s", "y")).named("y")[0]) == "int8"


def test_codes_of_a_constant_are_moved_by_the_zero_point() -> None:
    found = quantized_constant(graph(op("QuantizeLinear", "data s z", "y")).named("y")[0])
    assert found is not None and found.tolist() == [3, 5, 1]


def test_a_scale_that_may_be_given_anew_is_seen_through_an_identity() -> None:
    through = op("Identity", "s", "s2"), op("QuantizeLinear", "x s2 z", "y")
    assert replaceable(graph(*through, given=("s",)).named("y")[0])
    assert not replaceable(graph(*through).named("y")[0])


def test_scales_in_half_precision_are_of_opset_19_on() -> None:
    for opset, kinds in ((18, 1), (19, 3)):
        found = graph(op("QuantizeLinear", "x half", "y"), opset=opset)
        assert len(scale_types(found, found.named("y")[0])) == kinds


def test_a_bad_scale_of_one_name_is_found_in_each_scope_that_has_its_own() -> None:
    def branch(name: str) -> Any:
        out = helper.make_tensor_value_info(f"{name}_out", TensorProto.UINT8, None)
        own = [numpy_helper.from_array(np.float32(-2.0), "own")]
        return helper.make_graph([op("QuantizeLinear", "x own", f"{name}_out")], name, [], [out], own)

    condition = helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.array(True)))
    choice = helper.make_node("If", ["c"], ["y"], then_branch=branch("a"), else_branch=branch("b"))
    assert len(list(scales_are_sound(graph(condition, choice), Asked()))) == 2


@pytest.mark.parametrize("scaled", [op("Mul", "xd factor", "m"), op("Div", "xd factor", "m")], ids=["Mul", "Div"])
def test_a_gelu_written_out_reaches_up_to_what_scales_its_input(scaled: Any) -> None:
    behind = op("Erf", "m", "e"), op("Add", "e one", "a"), op("Mul", "a xd", "y")
    assert any("GELU reads from xd" in said for said in fragile(*pair("x", "xd"), scaled, *behind))


def test_a_gelu_that_is_one_operator_is_a_fragile_part_too() -> None:
    found = graph(*pair("x", "xd"), op("Gelu", "xd", "y"), opset=20)
    assert [part.kind for part in parts(found)] == ["Gelu"]
    assert [said for _, said in fragile_parts_are_float(found, Asked())] == ["Gelu reads from xd"]


def test_a_layer_norm_written_out_reaches_down_to_its_shift() -> None:
    norm = (
        op("ReduceMean", "x", "mean", axes=[-1]),
        op("Sub", "x mean", "d"),
        op("Mul", "d d", "d2"),
        op("ReduceMean", "d2", "var", axes=[-1]),
        op("Add", "var small", "v"),
        op("Sqrt", "v", "root"),
        op("Div", "d root", "n"),
        op("Mul", "n gain", "g"),
        op("Add", "g shift", "y"),
    )
    assert fragile(*norm, *pair("y", "yd"), op("Relu", "yd", "z2")) == ["LayerNorm is followed by yd_q"]


def test_a_pair_behind_a_softmax_that_serves_nobody_is_found() -> None:
    assert fragile(op("Softmax", "x", "p"), *pair("p", "y")) == ["Softmax is followed by y_q"]


def test_what_a_convolution_lacks_is_said_of_the_side_that_lacks_it() -> None:
    found = graph(*pair("x", "xd"), op("Relu", "xd", "r"), op("Conv", "r w", "y"), shape=(1, 4, 2, 2))
    assert _lacking(found.named("y")[0]) == "data comes from Relu, weight comes from a float tensor"
    found = graph(*pair("x", "xd"), op("Conv", "xd w", "y"), shape=(1, 4, 2, 2))
    assert _lacking(found.named("y")[0]) == "weight comes from a float tensor"
