"""Graphs are looked over without ONNX: what a graph of ours is passes, whatever else a file may hold does not."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from codriver.engines.graphcheck.onnx import MAX_NODES, check_graph
from codriver.errors import EngineError
from tests.tiny import tiny_encoder, tiny_fuser, tiny_manifest

MANIFEST = tiny_manifest()


def refused(graph: bytes) -> EngineError:
    with pytest.raises(EngineError) as error:
        check_graph(graph)
    return error.value


def one_node(*attributes: Any, constants: tuple[TensorProto, ...] = (), **keywords: Any) -> onnx.ModelProto:
    """x (2, 3) -> Relu -> y, to be spoiled."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, (2, 3)) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"], **keywords)], "g", [x], [y], list(constants))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def test_graphs_of_ours_pass() -> None:
    for model in (tiny_encoder(MANIFEST), tiny_fuser(MANIFEST), one_node()):
        check_graph(model.SerializeToString())


TYPED = [np.float32, np.float64, np.int8, np.uint8, np.int32, np.int64, np.bool_]


@pytest.mark.parametrize(("dtype", "raw"), [*((t, True) for t in (*TYPED, np.float16)), *((t, False) for t in TYPED)])
@pytest.mark.parametrize("shape", [(), (0,), (3, 2), (300,)])
def test_constants_of_every_type_and_form_pass(dtype: Any, shape: tuple[int, ...], raw: bool) -> None:
    values = np.ones(shape, dtype)
    kind = helper.np_dtype_to_tensor_dtype(values.dtype)
    if raw:
        tensor = numpy_helper.from_array(values, "c")
    else:
        tensor = helper.make_tensor("c", kind, shape, values.flatten().tolist())
    check_graph(one_node(constants=(tensor,)).SerializeToString())


def test_half_precision_that_is_not_raw_is_refused_for_its_numbers_would_not_be_looked_at() -> None:
    tensor = helper.make_tensor("c", TensorProto.FLOAT16, (3,), [1.0, 2.0, 3.0])
    with pytest.raises(EngineError, match="keeps its numbers in int32_data"):
        check_graph(one_node(constants=(tensor,)).SerializeToString())


@pytest.mark.parametrize("spoil", [float("nan"), None])
@pytest.mark.parametrize("form", ["raw", "typed", "half", "bfloat16", "Constant", "attribute"])
def test_nan_is_found_wherever_it_hides(form: str, spoil: float | None) -> None:
    value = 1.0 if spoil is None else spoil
    values = np.array([1, value, 2], np.float32)
    model = one_node()
    if form in ("raw", "Constant"):
        tensor = numpy_helper.from_array(values, "c")
    elif form == "half":
        tensor = numpy_helper.from_array(values.astype(np.float16), "c")
    elif form == "bfloat16":
        upper = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
        tensor = helper.make_tensor("c", TensorProto.BFLOAT16, (3,), upper, raw=True)
    else:
        tensor = helper.make_tensor("c", TensorProto.FLOAT, (3,), values.tolist())
    if form == "Constant":
        model.graph.node.insert(0, helper.make_node("Constant", [], ["c"], value=tensor))
    elif form == "attribute":
        model.graph.node.insert(0, helper.make_node("Constant", [], ["c"], value_floats=values.tolist()))
    else:
        model.graph.initializer.append(tensor)
    if spoil is None:
        check_graph(model.SerializeToString())
    else:
        assert refused(model.SerializeToString()).code == "graph-not-a-number"


def spoil_shape(*dims: int) -> Callable[[onnx.ModelProto], object]:
    def change(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.shape.ClearField("dim")
        for dim in dims:
            model.graph.input[0].type.tensor_type.shape.dim.add(dim_value=dim)

    return change


def text_constant(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(helper.make_tensor("c", TensorProto.STRING, (1,), [b"text"]))


def more_numbers(model: onnx.ModelProto) -> None:
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), "c")
    tensor.dims[:] = [3]
    model.graph.initializer.append(tensor)


def two_homes(model: onnx.ModelProto) -> None:
    tensor = numpy_helper.from_array(np.zeros(1, np.float32), "c")
    tensor.float_data.append(0.0)
    model.graph.initializer.append(tensor)


def elsewhere(model: onnx.ModelProto) -> None:
    """Numbers in another file, without saying in which: a runtime would look for one."""
    tensor = numpy_helper.from_array(np.zeros(1, np.float32), "c")
    tensor.data_location = TensorProto.EXTERNAL
    model.graph.initializer.append(tensor)


def many_nodes(model: onnx.ModelProto) -> None:
    for _ in range(MAX_NODES):
        model.graph.node.add(op_type="Relu")


REFUSED: dict[str, tuple[str, Callable[[onnx.ModelProto], object]]] = {
    "a dimension that is only a name": (
        "graph-unknown-part",
        lambda m: m.graph.input[0].type.tensor_type.shape.dim.add(dim_param="batch"),
    ),
    "a negative dimension": ("graph-too-big", spoil_shape(-1)),
    "an input without end": ("graph-too-big", spoil_shape(1 << 20, 1 << 20)),
    "an input of many dimensions": ("graph-too-big", spoil_shape(*[1] * 9)),
    "a text": ("graph-unknown-part", text_constant),
    "more numbers than the shape says": ("graph-malformed", more_numbers),
    "numbers in two places": ("graph-malformed", two_homes),
    "numbers in another file": ("graph-external-data", elsewhere),
    "too many nodes": ("graph-too-big", many_nodes),
    "a sequence": ("graph-unknown-part", lambda m: m.graph.output[0].type.sequence_type.elem_type.tensor_type.Clear()),
    "two sets of operators": ("graph-malformed", lambda m: m.opset_import.add(domain="ai.onnx", version=17)),
    "operators of another house": ("graph-foreign-domain", lambda m: m.opset_import.add(domain="com.x", version=1)),
    "no set of operators": ("graph-malformed", lambda m: m.ClearField("opset_import")),
    "an old file": ("graph-version", lambda m: setattr(m, "ir_version", 3)),
    "a training step": ("graph-nested", lambda m: m.training_info.add()),
    "a name without end": ("graph-too-big", lambda m: m.graph.node[0].input.append("x" * 5000)),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_a_graph_is_refused_for(fault: str) -> None:
    code, change = REFUSED[fault]
    model = one_node()
    change(model)
    assert refused(model.SerializeToString()).code == code


def test_a_part_given_twice_is_refused() -> None:
    """Protocol buffers would merge two graphs into one: what is looked at must be what is run."""
    data = one_node().SerializeToString()
    assert "holds graph more than once" in str(refused(data + b"\x3a\x00"))  # an empty one behind it


def test_every_truncation_is_refused() -> None:
    data = tiny_encoder(MANIFEST).SerializeToString()
    for length in range(0, len(data) - 1, len(data) // 200):
        assert refused(data[:length]).code.startswith("graph-")


def test_a_file_of_small_change_is_refused_within_a_second() -> None:
    data = b"\x3a\x80\x80\x80\x04" + b"\x52\x00" * (1 << 22)  # a graph with millions of empty doc strings
    started = time.process_time()
    assert refused(data).code.startswith("graph-")
    many = b"\x72\x00" * (1 << 22)  # metadata without end
    assert refused(many).code == "graph-too-big"
    assert time.process_time() - started < 2
