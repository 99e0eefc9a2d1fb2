"""Every integer operator, written out as Q/DQ around its float operator, computes what ONNX Runtime makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from workshop.onnx_files.spelling import graphs, inlined, stands_for, written_out  # noqa: E402

RANDOM = np.random.default_rng(7)
F, U8, I8, I32 = np.float32, np.uint8, np.int8, np.int32
MICROSOFT = "com.microsoft"


def codes(*shape: int, kind: type = U8) -> np.ndarray:
    """Activations (U8), or weights (I8) of 7 bits: a processor without VNNI adds two products in 16 bits, and full ones
    saturate there, in the integer operator alone."""
    low, high = (0, 256) if kind is U8 else (-64, 64)
    return RANDOM.integers(low, high, shape).astype(kind)


def floats(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=shape).astype(F)


Q = (F(0.05), U8(120))  # scale and zero-point of an activation
WIDE = (F(0.4), U8(110))
W = (RANDOM.uniform(0.01, 0.02, 4).astype(F), np.zeros(4, I8))  # one for each of four channels
ONE = (F(0.015), I8(3))
STEPS = F(0.05) * W[0]

# Operator -> domain, inputs, attributes. The first input is the graph's, the others are stored.
CASES: dict[str, tuple[str, Sequence[Any], dict[str, Any]]] = {
    "QLinearConv": ("", [codes(1, 3, 5, 5), *Q, codes(4, 3, 3, 3, kind=I8), *W, *WIDE, np.arange(4, dtype=I32)], {}),
    "QLinearConv without bias": ("", [codes(1, 3, 5, 5), *Q, codes(4, 3, 3, 3, kind=I8), *ONE, *WIDE], {}),
    "QLinearConv in groups": (
        "",
        [codes(1, 4, 5, 5), *Q, codes(4, 1, 3, 3, kind=I8), *W, *WIDE],
        {"group": 4, "pads": [1] * 4, "strides": [2, 2]},
    ),
    "QLinearMatMul": ("", [codes(2, 6), *Q, codes(6, 4, kind=I8), *W, *WIDE], {}),
    "ConvInteger": ("", [codes(1, 3, 5, 5), codes(4, 3, 3, 3, kind=I8), U8(7)], {"pads": [1] * 4}),
    "MatMulInteger": ("", [codes(2, 6), codes(6, 4, kind=I8), U8(7), I8(0)], {}),
    "QGemm": (
        MICROSOFT,
        [codes(2, 6), *Q, codes(4, 6, kind=I8), *W, np.arange(4, dtype=I32), *WIDE],
        {"transB": 1},
    ),
    "QGemm to float": (MICROSOFT, [codes(2, 6), *Q, codes(6, 4, kind=I8), *ONE, np.arange(4, dtype=I32)], {}),
    "QLinearAdd": (MICROSOFT, [codes(1, 4, 3, 3), *Q, codes(1, 4, 3, 3), *WIDE, *WIDE], {}),
    "QLinearMul": (MICROSOFT, [codes(1, 4, 3, 3), *Q, codes(1, 4, 1, 1), *Q, *WIDE], {}),
    "QLinearSigmoid": (MICROSOFT, [codes(2, 9), *Q, F(1 / 256), U8(0)], {}),
    "QLinearLeakyRelu": (MICROSOFT, [codes(2, 9), *Q, *Q], {"alpha": 0.1}),
    "QLinearSoftmax": (MICROSOFT, [codes(2, 9), *Q, F(1 / 256), U8(0)], {"axis": -1, "opset": 17}),
    "QLinearGlobalAveragePool": (MICROSOFT, [codes(1, 4, 5, 5), *Q, *Q], {}),
    "QLinearAveragePool": (MICROSOFT, [codes(1, 4, 6, 6), *Q, *Q], {"kernel_shape": [2, 2]}),
    "MatMulIntegerToFloat": (MICROSOFT, [codes(2, 6), codes(6, 4, kind=I8), F(0.05), F(0.01), U8(7), I8(0)], {}),
    "DynamicQuantizeMatMul": (MICROSOFT, [floats(2, 6), codes(6, 4, kind=I8), F(0.01), I8(0), floats(4)], {}),
    "FusedConv": (MICROSOFT, [floats(1, 3, 5, 5), floats(4, 3, 3, 3), floats(4)], {"activation": "Relu"}),
    "FusedConv with a sum": (
        MICROSOFT,
        [floats(1, 3, 5, 5), floats(4, 3, 3, 3), floats(4), floats(1, 4, 3, 3)],
        {"activation": "Relu"},
    ),
    "FusedGemm": (MICROSOFT, [floats(2, 6), floats(6, 4), floats(4)], {"activation": "Relu"}),
}


def model_of(operator: str, name: str = "it") -> tuple[onnx.ModelProto, np.ndarray]:
    domain, inputs, attributes = CASES[operator]
    kind = operator.split()[0]
    names = ["x", *(f"c{index}" for index in range(1, len(inputs)))]
    node = helper.make_node(kind, names, ["y"], name=name, domain=domain, **attributes)
    stored = [numpy_helper.from_array(np.asarray(v), n) for n, v in zip(names[1:], inputs[1:], strict=True)]
    given = helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(inputs[0].dtype), inputs[0].shape)
    out = TensorProto.FLOAT
    if kind in ("ConvInteger", "MatMulInteger"):
        out = TensorProto.INT32
    elif kind.startswith("QLinear") or operator == "QGemm":
        out = TensorProto.UINT8
    taken = helper.make_tensor_value_info("y", out, None)
    graph = helper.make_graph([node], "g", [given], [taken], stored)
    imports = [helper.make_opsetid("", 17), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=9), inputs[0]


def run(model: onnx.ModelProto, x: np.ndarray, **more: Any) -> np.ndarray:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for graph in graphs(copy.graph):
        for node in graph.node:
            node.name = ""  # several stand for one node and share its name
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(copy.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x, **more})[0])


@pytest.mark.parametrize("operator", CASES)
def test_an_integer_operator_written_out_computes_the_same(operator: str) -> None:
    model, x = model_of(operator)
    plain = written_out(model)
    assert {node.domain for node in plain.graph.node} == {""}
    assert all(stands_for(node).endswith(operator.split()[0]) or not node.metadata_props for node in plain.graph.node)
    before, after = run(model, x), run(plain, x)
    assert before.dtype == after.dtype and before.shape == after.shape and before.std() > 0
    if before.dtype == np.uint8:  # another order of additions may round a code the other way
        apart = np.abs(before.astype(int) - after.astype(int))
        assert apart.max() <= 1 and (apart > 0).mean() < 0.1
    else:
        np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-5)


def test_joins_of_many_and_of_a_condition_are_written_out_too() -> None:
    parts = [numpy_helper.from_array(np.asarray(v), n) for n, v in {"s": F(0.1), "z": U8(9)}.items()]
    parts.append(numpy_helper.from_array(RANDOM.random((1, 4)) > 0.5, "which"))
    three = ["x", "s", "z"]
    nodes = [
        helper.make_node("QLinearConcat", ["s", "z", *three, *three], ["j"], "join", domain=MICROSOFT, axis=0),
        helper.make_node("QLinearWhere", ["which", *three, "j", "s", "z", "s", "z"], ["y"], "pick", domain=MICROSOFT),
    ]
    ends = [helper.make_tensor_value_info(n, TensorProto.UINT8, s) for n, s in (("x", [1, 4]), ("y", [2, 4]))]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], parts)
    imports = [helper.make_opsetid("", 17), helper.make_opsetid(MICROSOFT, 1)]
    model, x = helper.make_model(graph, opset_imports=imports, ir_version=9), codes(1, 4)
    np.testing.assert_array_equal(run(written_out(model), x), run(model, x))


def test_an_operator_within_a_branch_is_written_out_with_constants_from_around_it() -> None:
    model, x = model_of("QLinearConv")
    inner = onnx.GraphProto(name="branch", node=model.graph.node, output=model.graph.output)
    choice = helper.make_node("If", ["yes"], ["z"], "if", then_branch=inner, else_branch=inner)
    given = [*model.graph.input, helper.make_tensor_value_info("yes", TensorProto.BOOL, [])]
    taken = [helper.make_tensor_value_info("z", TensorProto.UINT8, None)]
    graph = helper.make_graph([choice], "outer", given, taken, model.graph.initializer)
    whole = helper.make_model(graph, opset_imports=model.opset_import, ir_version=9)
    plain = written_out(whole)
    assert "QLinearConv" not in {node.op_type for some in graphs(plain.graph) for node in some.node}
    np.testing.assert_array_equal(run(plain, x, yes=np.array(True)), run(whole, x, yes=np.array(True)))


def test_new_names_are_never_names_of_the_file() -> None:
    model, x = model_of("QLinearConv")
    held = numpy_helper.from_array(F(1), "y_DequantizeLinear")
    model.graph.initializer.append(held)
    model.graph.node.append(helper.make_node("Identity", ["y_DequantizeLinear"], ["y_Conv"], "taken"))
    np.testing.assert_array_equal(run(written_out(model), x), run(model, x))


def test_a_model_in_pairs_alone_is_handed_back_as_it_is() -> None:
    model, _ = model_of("FusedGemm")
    plain = written_out(model)
    assert written_out(plain) is plain and inlined(plain) is plain
