"""Shapes that a graph computes by itself are known; what would fill the memory is never computed."""

from __future__ import annotations

import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper  # noqa: E402

from workshop.onnx_files.infer import with_inferred_shapes  # noqa: E402

INT64 = TensorProto.INT64


def shapes_of(nodes: list, **constants: list[int]) -> dict[str, list[int | None]]:
    """Tensor -> its sizes, None where one is open, of a graph that takes x (1, 3)."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [helper.make_tensor(name, INT64, [len(values)], values) for name, values in constants.items()],
    )
    model = with_inferred_shapes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))
    there = (*model.graph.value_info, *model.graph.output)
    dims = {value.name: value.type.tensor_type.shape.dim for value in there}
    return {name: [d.dim_value if d.HasField("dim_value") else None for d in some] for name, some in dims.items()}


def filled_and_expanded() -> list:
    """As PyTorch exports `x.expand(sizes)`: sizes times ones, compared and chosen from."""
    one = helper.make_tensor("value", INT64, [1], [1])
    return [
        helper.make_node("ConstantOfShape", ["rank"], ["ones"], value=one),
        helper.make_node("Mul", ["sizes", "ones"], ["wanted"]),
        helper.make_node("Expand", ["x", "wanted"], ["y"]),
    ]


def test_a_size_that_passes_through_a_filled_tensor_is_known() -> None:
    assert shapes_of(filled_and_expanded(), sizes=[4, 3], rank=[2])["y"] == [4, 3]


@pytest.mark.parametrize("op_type", ["ConstantOfShape", "Expand"])
def test_a_tensor_of_terabytes_is_not_filled_to_know_its_shape(op_type: str) -> None:
    inputs = ["huge"] if op_type == "ConstantOfShape" else ["few", "huge"]
    nodes = [helper.make_node(op_type, inputs, ["filled"]), helper.make_node("Cast", ["filled"], ["y"], to=1)]
    shapes_of(nodes, huge=[10**6, 10**6], few=[1])  # ends, and the process with it


def doubled(times: int, first: list) -> list:
    """A value of which two are put one behind the other, again and again; and a shape that is computed from it."""
    nodes = [*first, *(helper.make_node("Concat", [f"t{i}", f"t{i}"], [f"t{i + 1}"], axis=0) for i in range(times))]
    return [*nodes, helper.make_node("ConstantOfShape", [f"t{times}"], ["y"])]


@pytest.mark.parametrize(
    "first", [helper.make_node("Tile", ["one", "many"], ["t0"]), helper.make_node("Shape", ["x"], ["t0"])]
)
def test_values_that_double_without_end_fill_no_memory(first: onnx.NodeProto) -> None:
    shapes_of(doubled(40, [first]), one=[1], many=[1 << 33])  # ends, and the process with it


def test_a_product_of_many_long_axes_is_not_computed() -> None:
    shaped = [helper.make_node("Reshape", ["long", f"as{i}"], [f"a{i}"]) for i in range(3)]
    nodes = [
        *shaped,
        helper.make_node("Max", ["a0", "a1", "a2"], ["most"]),
        helper.make_node("Cast", ["most"], ["y"], to=1),
    ]
    sizes = {f"as{i}": [4096 if axis == i else 1 for axis in range(3)] for i in range(3)}
    assert shapes_of(nodes, long=list(range(4096)), **sizes)["y"] == [4096] * 3
