"""Mending changes no output, wherever the names it touches are read: in branches, loops and functions too."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from quantize.executed.opening import compared  # noqa: E402
from quantize.lint import lint, main  # noqa: E402
from quantize.rules.mend import mended  # noqa: E402
from tests.quantize.qdq_net import (  # noqa: E402
    adding,
    attributes,
    importing,
    node,
    onnxruntime_net,
    reading,
    tensor,
    tensorrt_net,
)
from tests.quantize.spellings import in_a_function, in_half  # noqa: E402

YES = np.array(True)


def constant(name: str, value: float) -> onnx.TensorProto:
    return numpy_helper.from_array(np.full(3, value, np.float32), name)


def floats(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)


def choosing(nodes: list[onnx.NodeProto], output: str, *stored: onnx.TensorProto) -> onnx.NodeProto:
    """An If whose branches are both these nodes."""
    inner = helper.make_graph(nodes, "branch", [], [floats(output)], stored)
    return helper.make_node("If", ["yes"], ["chosen"], name="if", then_branch=inner, else_branch=inner)


def around(*nodes: onnx.NodeProto, stored: list[onnx.TensorProto], output: str = "chosen") -> onnx.ModelProto:
    given = [
        helper.make_tensor_value_info("image", TensorProto.FLOAT, [3]),
        helper.make_tensor_value_info("yes", TensorProto.BOOL, []),
    ]
    graph = helper.make_graph(list(nodes), "outer", given, [floats(output)], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def a_branch_with_a_name_of_its_own() -> onnx.ModelProto:
    """`b` repeats `a` outside; inside the branch `a` is something else, and `b` is the outer one."""
    inner = choosing([helper.make_node("Sum", ["image", "a", "b"], ["t"], "sum")], "t", constant("a", 5))
    return around(inner, stored=[constant("a", 2), constant("b", 2)])


def a_branch_that_reads_from_around_it() -> onnx.ModelProto:
    inner = choosing([helper.make_node("Sum", ["image", "b"], ["t"], "sum")], "t")
    return around(inner, stored=[constant("a", 2), constant("b", 2), constant("unread", 9)])


def a_loop_whose_input_has_the_name() -> onnx.ModelProto:
    """The loop's state is called `b`, as a constant outside that repeats another."""
    body = helper.make_graph(
        [
            helper.make_node("Sum", ["b", "image"], ["next"], "sum"),
            helper.make_node("Identity", ["going"], ["go"], "go"),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            floats("b"),
        ],
        [helper.make_tensor_value_info("go", TensorProto.BOOL, []), floats("next")],
    )
    turns = numpy_helper.from_array(np.int64(3), "turns")
    loop = helper.make_node("Loop", ["turns", "yes", "a"], ["chosen"], name="loop", body=body)
    end = helper.make_node("Sum", ["chosen", "b"], ["y"], name="end")
    return around(loop, end, stored=[constant("a", 2), constant("b", 2), turns], output="y")


def branch_behind_the_net(nodes: list[onnx.NodeProto], output: str, *stored: onnx.TensorProto) -> onnx.ModelProto:
    """onnxruntime_net, with an If behind it."""
    model = onnxruntime_net(stored=False)
    model.graph.node.append(choosing(nodes, output, *stored))
    model.graph.input.append(helper.make_tensor_value_info("yes", TensorProto.BOOL, []))
    model.graph.output.append(floats("chosen"))
    return model


def a_zero_points_name_that_is_taken_in_a_branch() -> onnx.ModelProto:
    taken = "block_dq_q_zero_point"
    model = branch_behind_the_net(
        [helper.make_node("Add", ["block_dq", taken], ["t"], "add")],
        "t",
        numpy_helper.from_array(np.float32(1), taken),
    )
    model.opset_import[0].version = 21
    attributes("block_dq_q", output_dtype=TensorProto.UINT8)(model)
    reading("block_dq_q", 2, "")(model)
    return model


def a_zero_points_name_that_is_an_input() -> onnx.ModelProto:
    model = onnxruntime_net()
    model.opset_import[0].version = 21
    attributes("block_dq_q", output_dtype=TensorProto.UINT8)(model)
    reading("block_dq_q", 2, "")(model)
    model.graph.input.append(helper.make_tensor_value_info("block_dq_q_zero_point", TensorProto.FLOAT, [1, 8, 4, 4]))
    model.graph.node.append(helper.make_node("Add", ["answer", "block_dq_q_zero_point"], ["sum"], "sum"))
    model.graph.output.append(floats("sum"))
    return model


def weights_quantized_in_a_branch() -> onnx.ModelProto:
    """The branch quantizes weights that lie around it, and has a constant of a name used outside."""
    nodes = [
        helper.make_node("QuantizeLinear", ["left_w_f", "left_w_s", "left_w_z"], ["inner_q"], "inner_q", axis=0),
        helper.make_node("DequantizeLinear", ["inner_q", "left_w_s", "left_w_z"], ["inner"], "inner", axis=0),
        helper.make_node("Conv", ["block_dq", "inner"], ["t"], "inner_conv"),
    ]
    return branch_behind_the_net(nodes, "t")


def nodes_of_one_name() -> onnx.ModelProto:
    model = onnxruntime_net(stored=False)
    for name in ("first", "second", "left"):
        node(model, name).name = "conv"
    node(model, "right").name = "conv_2"
    return model


def a_domain_that_a_branch_of_a_function_alone_uses() -> onnx.ModelProto:
    inner = helper.make_graph(
        [helper.make_node("Gelu", ["x"], ["t"], "gelu", domain="com.microsoft")], "b", [], [floats("t")]
    )
    choice = helper.make_node("If", ["go"], ["y"], "if", then_branch=inner, else_branch=inner)
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    made = helper.make_function("local", "Choose", ["x", "go"], ["y"], [choice], imports)
    call = helper.make_node("Choose", ["image", "yes"], ["chosen"], "call", domain="local")
    model = around(call, stored=[])
    model.functions.append(made)
    model.opset_import.extend([imports[1], helper.make_opsetid("local", 1)])
    return model


CASES: dict[str, Callable[[], onnx.ModelProto]] = {
    name: value
    for name, value in list(globals().items())
    if callable(value) and name.startswith(("a_", "weights_", "nodes_"))
}
CASES["weights in a function"] = lambda: in_a_function(onnxruntime_net(stored=False))


def answers(model: onnx.ModelProto) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(3)
    values = {}
    for given in session.get_inputs():
        values[given.name] = (
            YES if given.type == "tensor(bool)" else random.normal(0, 2, given.shape).astype(np.float32)
        )
    return list(session.run(None, values))


@pytest.mark.parametrize("how", CASES)
def test_mending_changes_no_bit_of_an_output(how: str) -> None:
    model = CASES[how]()
    result = mended(model)
    before = model
    if "one_name" in how:  # refused as it is
        before = CASES[how]()
        for some in before.graph.node:
            some.name = ""
    for one, other in zip(answers(before), answers(result.model), strict=True):
        assert one.tobytes() == other.tobytes()
    assert mended(result.model).done == []


def test_a_constant_that_repeats_another_is_shared_where_its_name_means_the_same() -> None:
    stored = mended(a_branch_that_reads_from_around_it()).model.graph.initializer
    assert [some.name for some in stored] == ["a"]


def test_weights_in_a_function_are_stored() -> None:
    done = mended(in_a_function(onnxruntime_net(stored=False))).done
    assert done[0] == "1 function written out" and "6 float weights stored as integers" in done


def test_an_output_that_becomes_float_keeps_its_name_within_a_branch_that_has_it_too() -> None:
    model = tensorrt_net()
    inner = choosing(
        [helper.make_node("Sum", ["block_dq", "block"], ["t"], "inner")],
        "t",
        numpy_helper.from_array(np.full((1, 8, 8, 8), 7, np.float32), "block_dq"),
    )
    model.graph.node.append(inner)
    model.graph.input.append(helper.make_tensor_value_info("yes", TensorProto.BOOL, []))
    model.graph.output.extend([floats("chosen"), floats("block_dq")])
    result = mended(model, float_outputs=True)
    assert result.made_float == ["block_dq"]
    (_, chosen, _), (_, same, _) = answers(model), answers(result.model)
    assert chosen.tobytes() == same.tobytes()


def test_weights_that_a_caller_may_replace_are_not_stored() -> None:
    model = onnxruntime_net(stored=False)
    default = tensor(model, "left_w_f")
    model.graph.input.append(helper.make_tensor_value_info("left_w_f", TensorProto.FLOAT, default.dims))
    kept = mended(model).model
    assert "left_w_f" in {value.name for value in kept.graph.input}
    assert any(some.op_type == "QuantizeLinear" and some.input[0] == "left_w_f" for some in kept.graph.node)


def test_a_pair_whose_codes_leave_the_graph_too_stays_for_them() -> None:
    model = tensorrt_net()
    model.graph.output.append(floats("block_dq"))
    model.graph.output.append(helper.make_tensor_value_info("block_dq_q", TensorProto.INT8, None))
    for reader in model.graph.node:
        for index, name in enumerate(reader.input):
            if name == "block_dq":
                reader.input[index] = "block"
    result = mended(model, float_outputs=True)
    (_, _, codes), (_, _, same) = answers(model), answers(result.model)
    assert codes.tobytes() == same.tobytes() and result.made_float == ["block_dq"]


def test_nodes_of_one_name_are_mended_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "model.onnx", tmp_path / "out.onnx"
    path.write_bytes(nodes_of_one_name().SerializeToString())
    assert main([str(path), "--dialect", "ort-x86"]) == 1
    assert "3 nodes share the name 'conv'" in capsys.readouterr().out
    assert main([str(path), "--dialect", "ort-x86", "--fix", str(out)]) == 0
    told = capsys.readouterr().out
    assert "mended: 2 nodes given a name of their own" in told and "opened by ONNX Runtime" in told
    assert "outputs: not compared, the file given is refused" in told
    names = [some.name for some in onnx.load(out).graph.node]
    assert len(set(names)) == len(names)


def test_fix_says_that_both_files_gave_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "model.onnx", tmp_path / "out.onnx"
    path.write_bytes(onnxruntime_net(stored=False).SerializeToString())
    assert main([str(path), "--dialect", "ort-x86", "--fix", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["opened"].startswith("opened by ONNX Runtime")
    assert main([str(path), "--dialect", "ort-x86", "--fix", str(out)]) == 0
    assert "outputs: the same to the bit" in capsys.readouterr().out


def test_two_files_that_differ_in_one_output_are_told_apart(tmp_path: Path) -> None:
    first, second = onnxruntime_net(), onnxruntime_net()
    for model in (first, second):
        model.graph.output.append(floats("block"))
    tensor(second, "joined_b").raw_data = np.zeros(8, np.float32).tobytes()
    for name, model in (("a", first), ("b", second)):
        (tmp_path / name).write_bytes(model.SerializeToString())
    sizes = {"image": (1, 3, 8, 8)}
    found = compared(tmp_path / "a", tmp_path / "b", sizes, optimized=True)
    assert found.differing == ("answer",) and found.open is None and found.after.refused is None
    found = compared(tmp_path / "a", tmp_path / "b", sizes, optimized=True, aside=["answer"])
    assert found.differing == ()


def test_what_no_rule_calls_broken_and_the_runtime_refuses_is_broken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """ONNX Runtime makes an operator of a Concat between pairs that has no half precision."""
    path, out = tmp_path / "half.onnx", tmp_path / "out.onnx"
    path.write_bytes(in_half(onnxruntime_net()).SerializeToString())
    assert 0 not in {finding.rule for finding in lint(onnx.load(path), "ort-x86").findings}
    for arguments in ([], ["--fix", str(out)]):
        assert main([str(path), "--dialect", "ort-x86", *arguments]) == 1
        assert "refused by ONNX Runtime" in capsys.readouterr().out


def test_an_import_that_nothing_uses_is_dropped_beside_one_that_a_function_uses() -> None:
    model = a_domain_that_a_branch_of_a_function_alone_uses()
    importing("org.openvinotoolkit")(model)
    adding("unread", np.ones(2))(model)
    kept = {imported.domain for imported in mended(model).model.opset_import}
    assert "com.microsoft" in kept and "org.openvinotoolkit" not in kept
