"""Lint and audit are asked of the same files and never contradict each other, however a file spells quantization."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from quantize.audit import audit, main  # noqa: E402
from quantize.executed.judged import dialect_of, errors, judged, layers_at  # noqa: E402
from quantize.executed.layers import Executed, ExecutedLayer  # noqa: E402
from quantize.lint import LintReport, judged_file, lint  # noqa: E402
from quantize.rules.mend import mended  # noqa: E402
from quantize.rules.view import CONVOLUTIONS, GraphView  # noqa: E402
from tests.quantize.qdq_net import (  # noqa: E402
    Break,
    attributes,
    inserting,
    onnxruntime_net,
    pair_before,
    reading,
    setting,
    tensorrt_net,
)
from tests.quantize.spellings import (  # noqa: E402
    SPELLINGS,
    behind_cast,
    dynamic_net,
    in_a_function,
    in_half,
    int32_bias,
    integer_operators,
    random_net,
    signed_net,
)

# Rules that say of a convolution: it is not in INT8.
FLOAT_RULES = {"onnxruntime": {4, 5, 7, 8}, "tensorrt": {13}}
SEEDS = 40
SEVEN_BITS = 64


def written(folder: Path, model: onnx.ModelProto) -> Path:
    path = folder / "graph.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def broken(model: onnx.ModelProto, change: Break) -> onnx.ModelProto:
    change(model)
    return model


def normalised() -> onnx.ModelProto:
    model = onnxruntime_net()
    model.graph.initializer.append(numpy_helper.from_array(np.ones(8, np.float32), "ones"))
    inserting(("BatchNormalization", "norm", ["second", *["ones"] * 4]), before="second_dq_q")(model)
    return model


GRAPHS: dict[str, Callable[[], onnx.ModelProto]] = {
    **{f"unsigned, {name}": (lambda s=spell: s(onnxruntime_net())) for name, spell in SPELLINGS.items()},  # type: ignore[misc]
    **{f"signed, {name}": (lambda s=spell: s(signed_net())) for name, spell in SPELLINGS.items()},  # type: ignore[misc]
    **{f"random {seed}": (lambda s=seed: random_net(s)) for seed in range(SEEDS)},  # type: ignore[misc]
    "TensorRT's": tensorrt_net,
    "signed from -128 on": lambda: onnxruntime_net("int8"),
    "seven bits": lambda: onnxruntime_net(weight_max=SEVEN_BITS),
    "in half": lambda: in_half(signed_net(weight_max=SEVEN_BITS)),  # without VNNI, larger ones are one more error
    "int32 bias": lambda: int32_bias(onnxruntime_net()),
    "int32 bias of another step": lambda: int32_bias(onnxruntime_net(), off=2),
    "int32 bias of nearly its step": lambda: int32_bias(onnxruntime_net(), off=1.02),
    "int32 bias of not quite its step": lambda: int32_bias(onnxruntime_net(), off=1.05),
    "int32 bias, signed": lambda: int32_bias(signed_net()),
    "dynamic": dynamic_net,
    "normalisation": normalised,
    "scale of zero": lambda: broken(onnxruntime_net(), setting("second_dq_s", np.float32(0))),
    "another axis": lambda: broken(onnxruntime_net(), attributes("first_w", axis=1)),
    "float data": lambda: broken(onnxruntime_net(), reading("first", 0, "stem_relu")),
    "zero-point of another type": lambda: broken(onnxruntime_net(), reading("first_dq", 2, "first_w_z")),
    "two names": lambda: broken(onnxruntime_net(), lambda m: setattr(m.graph.node[3], "name", m.graph.node[4].name)),
}


def in_float_by_lint(graph: GraphView, report: LintReport, runtime: str) -> set[str]:
    """Convolutions that a rule says to be in floating point, or whose numbers an error concerns."""
    severe = {id(finding) for finding in errors(report.findings, report.dialect)}
    found = set()
    for finding in report.findings:
        if finding.rule in FLOAT_RULES[runtime] or id(finding) in severe:
            layers = layers_at(graph, finding)
            if not layers and runtime == "tensorrt":  # about the file, and TensorRT builds nothing of it
                layers = graph.of(*CONVOLUTIONS)
            found |= {node.name for node in layers if node.op in CONVOLUTIONS}
    return found


def bare(name: str) -> str:
    """A layer's name in the file: ONNX Runtime appends to it when it fuses, and prefixes what it fuses in float."""
    return re.sub(r"_token_\d+$|_nchwc$", "", name.removeprefix("fused "))


@pytest.mark.parametrize("runtime", FLOAT_RULES)
@pytest.mark.parametrize("name", GRAPHS)
def test_lint_and_audit_never_contradict_each_other(
    name: str, runtime: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = GRAPHS[name]()
    path, dialect = written(tmp_path, model), dialect_of(runtime)
    report = lint(model, dialect)
    code = main([str(path), "--runtime", runtime, "--runs", "1"])
    capsys.readouterr()
    if code == 2:
        report, _ = judged_file(path, report)  # no rule may know what the runtime refuses
    invalid = any(finding.rule == 0 for finding in report.findings)
    assert code == (2 if invalid else 1 if errors(report.findings, dialect) else 0)
    if invalid:
        return
    found, graph = audit(path, runtime, runs=1), GraphView(model)
    every = {node.name for node in graph.of(*CONVOLUTIONS)}
    in_int8 = {bare(layer.name) for layer in found.counted if layer.int8} & every
    in_float = in_float_by_lint(graph, report, runtime)
    if model.functions:  # each inliner names the nodes its own way
        assert len(every) - sum(layer.int8 for layer in found.counted) == len(in_float)
    else:
        assert every - in_int8 == in_float


def test_the_error_of_one_layer_leaves_the_others_in_int8(tmp_path: Path) -> None:
    found = audit(written(tmp_path, int32_bias(tensorrt_net(), "second")), "tensorrt")
    assert [layer.name for layer in found.in_float if layer.fault] == ["second"]
    assert found.in_float[0].fault == "rule 6, second_bias: bias of second is quantized, to int32"
    assert found.share is not None and 0 < found.share < 1


def test_a_scale_that_layers_share_makes_all_of_them_faulty(tmp_path: Path) -> None:
    """A finding names the first of two pairs with one scale; the second's layer is as wrong."""
    model = tensorrt_net()
    for name in ("gated_dq_q", "gated_dq"):
        reading(name, 1, "block_dq_s")(model)
    setting("block_dq_s", np.float32("nan"))(model)
    report = lint(model, "tensorrt")
    assert [finding.rule for finding in report.findings] == [3]
    faulty = {layer.name for layer in audit(written(tmp_path, model), "tensorrt").layers if layer.fault}
    assert faulty == {"left", "right", "up", "residual"} - {"residual"}


def test_an_unsigned_pair_is_the_fault_of_its_own_layers_though_all_share_a_scale(tmp_path: Path) -> None:
    model = tensorrt_net()
    setting("first_dq_z", np.uint8(0))(model)
    shared = mended(model).model
    assert len({some.input[1] for some in shared.graph.node if some.op_type == "QuantizeLinear"}) == 1
    found = audit(written(tmp_path, shared), "tensorrt")
    assert {layer.name for layer in found.layers if layer.fault} == {"first", "second"}


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino", "tensorrt"])
def test_an_error_fails_the_audit_of_every_runtime_with_the_finding(
    runtime: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnx" if runtime == "tensorrt" else runtime)
    model = signed_net() if runtime == "tensorrt" else onnxruntime_net(weight_max=SEVEN_BITS)
    setting("first_dq_s", np.float32("inf"))(model)
    path = written(tmp_path, model)
    code = main([str(path), "--runtime", runtime, "--runs", "1"])
    out, err = capsys.readouterr()
    if runtime == "openvino":  # does not even take it
        assert code == 2 and "the linter finds rule 3, first_dq_q: scale holds inf" in err
        return
    assert code == 1 and "errors of the linter" in out and "scale holds inf" in out
    assert "the linter finds 1 error, first rule 3, first_dq_q: scale holds inf" in err
    assert f"python -m quantize.lint {path} --dialect" in err
    names = {bare(layer.name) for layer in audit(path, runtime, runs=1).layers if layer.fault}
    assert any("second" in name for name in names)


def test_a_fault_whose_layer_the_runtime_renamed_takes_all_out_of_int8() -> None:
    model = int32_bias(tensorrt_net(), "second")
    layers = tuple(ExecutedLayer(name, "Conv", 9, int8=True) for name in ("merged_17", "merged_18"))
    faults = errors(lint(model, "tensorrt").findings, "tensorrt")
    found = judged(Executed("made up", predicted=False, layers=layers), GraphView(model), faults)
    assert [layer.int8 for layer in found.layers] == [False, False]


def test_a_name_that_means_something_else_within_a_loop_is_not_taken_for_what_it_means_outside(tmp_path: Path) -> None:
    """The loop's state is called as a dequantized tensor outside; the convolution within reads the state."""
    model = tensorrt_net()
    within = helper.make_graph(
        [
            helper.make_node("Conv", ["block_dq", "second_w"], ["next"], "within", pads=[1] * 4),
            helper.make_node("Identity", ["going"], ["go"], "go"),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("block_dq", TensorProto.FLOAT, [1, 8, 8, 8]),
        ],
        [
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [1, 8, 8, 8]),
        ],
    )
    turns = numpy_helper.from_array(np.int64(2), "turns")
    model.graph.initializer.extend([turns, numpy_helper.from_array(np.array(True), "yes")])
    model.graph.node.append(helper.make_node("Loop", ["turns", "yes", "first"], ["looped"], "loop", body=within))
    model.graph.output.append(helper.make_tensor_value_info("looped", TensorProto.FLOAT, None))
    told = [finding for finding in lint(model, "tensorrt").findings if finding.rule == 13]
    assert [finding.where for finding in told] == ["within"]
    assert [layer.name for layer in audit(written(tmp_path, model), "tensorrt").in_float] == ["within"]


def test_openvino_is_not_believed_on_signed_pairs_at_a_concat(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    found = audit(written(tmp_path, signed_net()), "openvino", runs=1)
    assert [(error.rule, error.where) for error in found.errors] == [(7, "join")]


# What quantizing a file another way must not change: the findings, but for where they are.
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(
    ("dialect", "change", "rule"),
    [
        ("ort-x86-7bit", None, 14),
        ("ort-x86", setting("left_w_z", np.full(8, 3, np.int8)), 13),
        ("ort-arm", None, 2),
        ("tensorrt", None, 2),
    ],
)
def test_a_broken_rule_is_found_in_every_spelling(spelling: str, dialect: str, change: Break | None, rule: int) -> None:
    model = onnxruntime_net()
    if change is not None:
        change(model)
    assert rule in {finding.rule for finding in lint(SPELLINGS[spelling](model), dialect).findings}


@pytest.mark.parametrize("spelling", ["in a function", "behind Cast"])
def test_a_clean_net_is_clean_in_a_function_and_behind_cast(spelling: str) -> None:
    assert lint(SPELLINGS[spelling](onnxruntime_net()), "ort-x86").findings == ()
    assert lint(SPELLINGS[spelling](tensorrt_net()), "tensorrt").findings == ()


def test_integer_operators_are_clean_where_the_same_in_pairs_is() -> None:
    assert lint(integer_operators(onnxruntime_net()), "ort-x86").findings == ()
    assert lint(integer_operators(onnxruntime_net(weight_max=64)), "ort-x86-7bit").findings == ()
    assert lint(dynamic_net(), "ort-x86").findings == ()


def test_half_precision_scales_are_valid_from_opset_19_on_and_fuse_in_tensorrt_alone(tmp_path: Path) -> None:
    plain, half, old = signed_net(), in_half(signed_net()), in_half(signed_net(), opset=17)
    rules = {finding.rule for finding in lint(plain, "tensorrt").findings}
    assert {finding.rule for finding in lint(half, "tensorrt").findings} == rules
    assert {finding.rule for finding in lint(old, "tensorrt").findings} == rules | {0, 3}
    assert audit(written(tmp_path, half), "tensorrt").share == audit(written(tmp_path, plain), "tensorrt").share == 1
    told = [finding for finding in lint(in_half(onnxruntime_net()), "ort-x86").findings if finding.rule == 7]
    assert len(told) == 6 and all("is not float32" in finding.what for finding in told)


def test_a_function_of_another_opset_is_looked_into_too() -> None:
    model = in_a_function(onnxruntime_net(weight_max=127), opset=16)
    assert [finding.rule for finding in lint(model, "ort-x86-7bit").findings] == [14] * 6


def test_a_weight_that_is_cast_is_a_weight() -> None:
    """Half-precision floats in the file, cast and quantized when it is loaded."""
    model = onnxruntime_net(stored=False)
    for some in model.graph.initializer:
        if some.name == "first_w_f":
            some.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(some).astype(np.float16), "first_w_half"))
    model.graph.node.insert(
        0, helper.make_node("Cast", ["first_w_half"], ["first_w_f"], name="cast", to=TensorProto.FLOAT)
    )
    assert {finding.rule for finding in lint(model, "ort-x86").findings} == {11}
    assert {finding.rule for finding in lint(behind_cast(model), "ort-x86").findings} == {11}


@pytest.mark.parametrize("between", ["Relu", "Sigmoid", "HardSwish", "Tanh"])
def test_an_activation_behind_a_quantized_transposed_convolution_is_named(between: str) -> None:
    model = tensorrt_net()
    inserting((between, "between", ["up"]), before="pool")(model)
    assert lint(model, "tensorrt").findings == ()  # without a pair behind, nothing was to fuse
    pair_before("pool")(model)
    findings = lint(model, "tensorrt").findings
    assert [(f.rule, f.where) for f in findings] == [(14, "up")] and between in findings[0].what
    inserting(
        ("QuantizeLinear", "up_q", ["up", "block_dq_s", "block_dq_z"]),
        ("DequantizeLinear", "up_dq", ["up_q", "block_dq_s", "block_dq_z"]),
        before="between",
    )(model)
    assert lint(model, "tensorrt").findings == () or {f.rule for f in lint(model, "tensorrt").findings} == {9}
