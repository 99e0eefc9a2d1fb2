"""Every rule of every dialect: a clean graph breaks none, and each way to break one is found, and found as that one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper  # noqa: E402

from quantize.lint import lint  # noqa: E402
from quantize.rules.dialects import RULES  # noqa: E402
from quantize.rules.rule import Asked  # noqa: E402
from tests.quantize.qdq_net import (  # noqa: E402
    CLEAN,
    Break,
    adding,
    attributes,
    both,
    foreign,
    importing,
    inserting,
    node,
    onnxruntime_net,
    pair_before,
    reading,
    setting,
    tensor,
    tensorrt_net,
)

INT8, UINT8 = TensorProto.INT8, TensorProto.UINT8


def opset(version: int) -> Break:
    def change(model: onnx.ModelProto) -> None:
        model.opset_import[0].version = version

    return change


def ir_version(version: int) -> Break:
    def change(model: onnx.ModelProto) -> None:
        model.ir_version = version

    return change


def lost(name: str) -> Break:
    def change(model: onnx.ModelProto) -> None:
        model.graph.initializer.remove(tensor(model, name))

    return change


def output_renamed(old: str, new: str) -> Break:
    def change(model: onnx.ModelProto) -> None:
        node(model, old).output[0] = new

    return change


def dequantized_bias(kind: type) -> Break:
    """The stem's bias as integers behind DequantizeLinear."""
    numbers = both(adding("bias_q", np.ones(8, kind)), adding("bias_s", np.full(8, 0.001, np.float32)))
    zero = adding("bias_z", np.zeros(8, kind))
    pair = inserting(("DequantizeLinear", "bias_dq", ["bias_q", "bias_s", "bias_z"]), before="stem", reads=2, axis=0)
    return both(numbers, zero, pair)


def ending(operator: str, inputs: list[str], outputs: int = 1, **attributes: Any) -> Break:
    """A node at the end, which nothing reads."""

    def change(model: onnx.ModelProto) -> None:
        names = [f"end_{index}" for index in range(outputs)]
        model.graph.node.append(helper.make_node(operator, inputs, names, name="end", **attributes))

    return change


def handing_out(name: str) -> Break:
    def change(model: onnx.ModelProto) -> None:
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4))

    return change


def max_pool_of_a_pair(model: onnx.ModelProto) -> None:
    ending("MaxPool", ["block_dq"], kernel_shape=[2, 2])(model)
    handing_out("end_0")(model)


def axes_as_input(model: onnx.ModelProto) -> None:
    """ReduceMean as it is from opset 18 on."""
    adding("axes", np.array([-1]))(model)
    for some in model.graph.node:
        if some.op_type == "ReduceMean":
            del some.attribute[:]
            some.input.append("axes")


BREAKS: dict[str, dict[int, dict[str, Break]]] = {
    "tensorrt": {
        0: {
            "a constant is missing": lost("stem_b"),
            "a tensor is made twice": output_renamed("gate", "joined"),
            "a tensor comes from nowhere": reading("shifted", 1, "nowhere"),
        },
        1: {
            "FakeQuantize": foreign("answer", "FakeQuantize", "org.openvinotoolkit"),
            "a contrib operator": foreign("answer", "Softmax", "com.microsoft"),
            "an operator that ONNX lacks": foreign("answer", "Swish9000", ""),
            "an import that nothing uses": importing("com.microsoft"),
            "an operator with integers inside": ending("DynamicQuantizeLinear", ["normal"], outputs=3),
        },
        2: {
            "uint8": setting("block_dq_z", np.uint8(0)),
            "a zero-point": setting("block_dq_z", np.int8(3)),
            "no zero-point, which means uint8": both(reading("block_dq_q", 2, ""), reading("block_dq", 2, "")),
            "a weight's zero-point": setting("first_w_z", np.arange(8, dtype=np.int8)),
            "a zero-point that is computed": both(
                inserting(("Identity", "computed", ["skip_dq_q"]), before="block_dq_q", reads=2),
                reading("block_dq", 2, "computed"),
            ),
        },
        3: {
            "zero": setting("block_dq_s", np.float32(0)),
            "negative": setting("block_dq_s", np.float32(-0.1)),
            "NaN": setting("block_dq_s", np.float32("nan")),
            "infinite": setting("first_w_s", np.full(8, np.inf, np.float32)),
            "half": setting("block_dq_s", np.float16(0.1)),
            "computed": both(
                inserting(("Relu", "computed", ["block_dq_s"]), before="block_dq_q", reads=1),
                reading("block_dq", 1, "computed"),
            ),
        },
        4: {
            "one per channel": both(
                setting("image_dq_s", np.full(3, 0.1, np.float32)), setting("image_dq_z", np.zeros(3, np.int8))
            )
        },
        5: {
            "Conv": attributes("first_w", axis=1),
            "Gemm": both(
                attributes("gemm_w", axis=1),
                setting("gemm_w_s", np.full(4, 0.1, np.float32)),
                setting("gemm_w_z", np.zeros(4, np.int8)),
            ),
            "ConvTranspose": both(
                attributes("up_w", axis=0),
                setting("up_w_s", np.full(8, 0.1, np.float32)),
                setting("up_w_z", np.zeros(8, np.int8)),
            ),
            "MatMul": both(
                attributes("matmul_w", axis=0),
                setting("matmul_w_s", np.full(6, 0.1, np.float32)),
                setting("matmul_w_z", np.zeros(6, np.int8)),
            ),
            "a count that is not the channels'": both(
                setting("first_w_s", np.full(5, 0.1, np.float32)), setting("first_w_z", np.zeros(5, np.int8))
            ),
        },
        6: {"int32": dequantized_bias(np.int32), "int8": dequantized_bias(np.int8)},
        7: {
            "different scales": setting("left_dq_s", np.float32(0.07)),
            "one side alone": ending("Concat", ["left_dq", "right"], axis=1),
        },
        8: {
            "both sides": pair_before("residual", 0),
            "the convolution's side alone": both(pair_before("residual", 0), reading("residual", 1, "stem_relu")),
        },
        9: {
            "LayerNorm": pair_before("normal"),
            "LayerNorm's factor": pair_before("normal", 1),
            "behind LayerNorm, for no layer": pair_before("answer"),
            "LayerNorm written out": pair_before("ln_sqrt"),
            "into LayerNorm written out": pair_before("ln_mean"),
            "LayerNorm's factor written out": pair_before("ln_mul", 1),
            "inside GELU": pair_before("gelu_mul", 1),
            "into GELU": pair_before("erf_in"),
            "into a gate": pair_before("gate"),
            "behind a gate": pair_before("gated", 1),
        },
        10: {"opset 21": both(axes_as_input, opset(21)), "ir_version 11": ir_version(11)},
        11: {"a pair": handing_out("block_dq"), "a pair and a MaxPool": max_pool_of_a_pair},
        12: {"on Q": attributes("block_dq_q", output_dtype=INT8)},
        13: {
            "float data": reading("second", 0, "first_relu"),
            "float weight": both(adding("floats", np.ones((8, 8, 3, 3), np.float32)), reading("second", 1, "floats")),
        },
        14: {
            "a ReLU": both(inserting(("Relu", "up_relu", ["up"]), before="pool"), pair_before("pool")),
            "a normalisation": both(
                adding("ones", np.ones(4, np.float32)),
                inserting(("BatchNormalization", "norm", ["up", *["ones"] * 4]), before="pool"),
                pair_before("pool"),
            ),
        },
    },
    "ort-x86": {
        0: {"a constant is missing": lost("stem_b")},
        1: {
            "FakeQuantize": foreign("answer", "FakeQuantize", "org.openvinotoolkit"),
            "an operator that ONNX lacks": foreign("answer", "Swish9000", ""),
            "an import that nothing uses": importing("org.openvinotoolkit"),
        },
        2: {"int8": setting("second_dq_z", np.int8(0))},
        3: {"zero": setting("second_dq_s", np.float32(0)), "half": setting("second_dq_s", np.float16(0.1))},
        4: {
            "one per channel": both(
                setting("image_dq_s", np.full(3, 0.1, np.float32)), setting("image_dq_z", np.full(3, 128, np.uint8))
            )
        },
        5: {"Conv": attributes("first_w", axis=1)},
        6: {"uint8": dequantized_bias(np.uint8)},
        7: {
            "float data": reading("first", 0, "stem_relu"),
            "float weight": both(adding("floats", np.ones((8, 8, 3, 3), np.float32)), reading("first", 1, "floats")),
            "an output that something else reads": reading("residual", 1, "second"),
            "a ReLU that the range does not hold": setting("first_dq_z", np.uint8(10)),
            "an operator in between": inserting(("Abs", "abs", ["second"]), before="second_dq_q"),
        },
        8: {
            "in between": both(
                adding("ones", np.ones(8, np.float32)),
                inserting(("BatchNormalization", "norm", ["second", *["ones"] * 4]), before="second_dq_q"),
            )
        },
        9: {"Add": inserting(("Abs", "abs", ["residual"]), before="block")},
        10: {"opset 21": opset(21), "ir_version 11": ir_version(11)},
        12: {"on Q": attributes("block_dq_q", output_dtype=UINT8)},
        13: {"a zero-point": setting("first_w_z", np.arange(8, dtype=np.int8))},
    },
    "ort-x86-7bit": {14: {"eight bits": setting("first_w_q", np.full((8, 8, 3, 3), -65, np.int8))}},
    "ort-arm": {
        2: {"uint8": setting("second_dq_z", np.uint8(128))},
        7: {"symmetric behind a ReLU": setting("first_dq_z", np.int8(0))},
    },
    "openvino": {
        3: {"NaN": setting("second_dq_s", np.float32("nan"))},
        7: {"behind": setting("join_dq_z", np.int8(0)), "before": setting("left_dq_z", np.int8(0))},
        13: {"float data": reading("first", 0, "stem_relu")},
    },
}
# Half precision below opset 19 is no ONNX either, and fuses nowhere on a CPU; nor does a bias in 8 bits.
MORE = {("tensorrt", "half"): {0}, ("ort-x86", "half"): {0, 7}, ("ort-x86", "uint8"): {7}}
CASES = [(d, n, how) for d, rules in BREAKS.items() for n, ways in rules.items() for how in ways]


def broken(dialect: str, model: onnx.ModelProto, **asked: Any) -> set[int]:
    return {finding.rule for finding in lint(model, dialect, Asked(**asked)).findings}


@pytest.mark.parametrize("dialect", RULES)
def test_a_clean_graph_has_no_findings(dialect: str) -> None:
    assert lint(CLEAN[dialect](), dialect).findings == ()


@pytest.mark.parametrize(("dialect", "number", "how"), CASES)
def test_a_graph_that_breaks_one_rule_is_told_so_and_of_no_other(dialect: str, number: int, how: str) -> None:
    model = CLEAN[dialect]()
    BREAKS[dialect][number][how](model)
    assert broken(dialect, model) == {number} | MORE.get((dialect, how), set())


def test_floats_that_are_quantized_on_loading_break_the_rule_of_stored_weights_alone() -> None:
    assert broken("ort-x86", onnxruntime_net(stored=False)) == {11}
    assert broken("tensorrt", tensorrt_net(stored=False)) == set()


def test_every_rule_has_a_graph_that_breaks_it() -> None:
    tried = {dialect: set(rules) for dialect, rules in BREAKS.items()}
    assert tried["tensorrt"] == {rule.number for rule in RULES["tensorrt"]} == set(range(15))
    assert tried["ort-x86"] | {11} == {rule.number for rule in RULES["ort-x86"]}
    assert tried["ort-x86-7bit"] == {r.number for r in RULES["ort-x86-7bit"]} - {r.number for r in RULES["ort-x86"]}


@pytest.mark.parametrize("dialect", RULES)
def test_every_rule_says_why_and_how_to_mend(dialect: str) -> None:
    for rule in RULES[dialect]:
        assert min(len(rule.title), len(rule.why), len(rule.mend)) > 10 and rule.severity in ("error", "warning")


def test_findings_name_the_node_and_what_was_found() -> None:
    model = tensorrt_net()
    setting("block_dq_z", np.uint8(5))(model)
    assert [(f.where, f.what) for f in lint(model, "tensorrt").findings] == [
        ("block_dq_q", "stores uint8, zero-point is 5")
    ]


def test_a_list_says_which_convolutions_must_be_in_int8() -> None:
    model = tensorrt_net()
    reading("second", 0, "first_relu")(model)
    every = {"stem", "first", "second", "left", "right", "joined", "up"}
    assert broken("tensorrt", model, int8=frozenset(every - {"second"})) == set()
    assert broken("tensorrt", tensorrt_net(), int8=frozenset(every - {"second"})) == {13}
    found = lint(tensorrt_net(), "tensorrt", Asked(int8=frozenset(every | {"typo"}))).findings
    assert [finding.where for finding in found] == ["typo"]


def test_an_output_may_be_quantized_when_asked() -> None:
    model = tensorrt_net()
    handing_out("block_dq")(model)
    assert broken("tensorrt", model, quantized_outputs=frozenset({"block_dq"})) == set()
    assert broken("tensorrt", model, quantized_outputs=frozenset({"answer"})) == {11}


def test_a_pair_at_the_branch_point_of_silu_is_allowed() -> None:
    model = tensorrt_net()
    both(pair_before("gate"), reading("gated", 0, "gate_new_dq"))(model)
    assert broken("tensorrt", model) == set()


@pytest.mark.parametrize("zero", [-128, -1, 1, 127])
def test_a_zero_point_on_either_side_of_zero_is_found(zero: int) -> None:
    model = tensorrt_net()
    setting("block_dq_z", np.int8(zero))(model)
    assert [finding.what for finding in lint(model, "tensorrt").findings] == [f"zero-point is {zero}"]
    model = onnxruntime_net()
    setting("first_w_z", np.full(8, zero, np.int8))(model)
    assert broken("ort-x86", model) != set()


@pytest.mark.parametrize(("layer", "axis"), [("first_w", -4), ("gemm_w", -2), ("matmul_w", -1), ("up_w", -3)])
def test_an_axis_counted_from_the_end_is_the_axis_that_it_means(layer: str, axis: int) -> None:
    model = tensorrt_net(stored=True)
    attributes(layer, axis=axis)(model)
    assert broken("tensorrt", model) == set()
    attributes(layer, axis=-1 if axis != -1 else -2)(model)
    assert broken("tensorrt", model) != set()


def test_weights_behind_a_transpose_are_judged_by_the_axis_that_the_layer_sees() -> None:
    model = tensorrt_net()
    both(setting("matmul_w_q", np.ones((4, 6), np.int8)), attributes("matmul_w", axis=0))(model)
    inserting(("Transpose", "turned", ["matmul_w"]), before="matmul", reads=1, perm=[1, 0])(model)
    assert broken("tensorrt", model) == set()


def test_rules_reach_into_subgraphs() -> None:
    """The same graph within an If: what it takes from around it is found."""
    model = tensorrt_net()
    setting("block_dq_z", np.uint8(0))(model)
    inner = onnx.GraphProto()
    inner.CopyFrom(model.graph)
    del inner.input[:]
    branches = {"then_branch": inner, "else_branch": inner}
    made = helper.make_node("If", ["yes"], ["chosen"], name="if", **branches)
    outer = helper.make_graph(
        [made],
        "outer",
        [model.graph.input[0], helper.make_tensor_value_info("yes", TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("chosen", TensorProto.FLOAT, [None, None])],
    )
    whole = helper.make_model(outer, opset_imports=model.opset_import, ir_version=10)
    assert [finding.rule for finding in lint(whole, "tensorrt").findings] == [2, 2]


def test_a_constant_left_side_of_a_product_is_data_and_may_be_unsigned() -> None:
    """As ONNX Runtime's own quantizer writes it."""
    model = onnxruntime_net()
    for name, values in {
        "left_q8": np.ones((4, 4), np.uint8),
        "left_s": np.float32(0.1),
        "left_z": np.uint8(3),
    }.items():
        adding(name, values)(model)
    left = helper.make_node("DequantizeLinear", ["left_q8", "left_s", "left_z"], ["left_side"], name="left_side")
    product = helper.make_node("MatMul", ["left_side", "answer"], ["product"], name="product")
    model.graph.node.extend([left, product])
    assert broken("ort-x86", model) == set()
