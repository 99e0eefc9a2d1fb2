"""The shape of every tensor of a graph whose inputs have fixed sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

SMALL = 4096  # elements of a constant that a shape may be computed from
# What shapes are computed with, and how many elements a node gives at most. All others, which may grow without end
# (Range, Pad, OneHot) or should stay quantized, are not computed.
OF_THE_FIRST = """Abs Cast Ceil Clip Flatten Floor Identity Neg Not ReduceMax ReduceMin ReduceProd ReduceSum Reshape
Sign Size Slice Split Sqrt Squeeze Transpose Unsqueeze""".split()
OF_ALL = "Add And Div Equal Greater GreaterOrEqual Less LessOrEqual Max Min Mod Mul Or Pow Sub Where".split()


def with_inferred_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """With the shape of every tensor; what shapes are computed from is computed, as ONNX's inference stops there.

    ONNX's own way to compute it, `data_prop`, has no limit: one Tile to 2^33 elements, or two dozen Concat that double
    a shape, and the process is gone. Here no value of more than SMALL elements is ever made.
    """
    while True:
        model = shape_inference.infer_shapes(model)
        values = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        values = {name: value for name, value in values.items() if value.size <= SMALL}
        known = (*model.graph.value_info, *model.graph.input)
        # A tensor whose shape is not known yet may have its type alone there: that is no scalar.
        typed = {value.name: value.type.tensor_type for value in known}
        shapes = {name: some.shape.dim for name, some in typed.items() if some.HasField("shape")}
        found = [node for node in model.graph.node if _evaluate(node, values, shapes)]
        for node in found:
            model.graph.node.remove(node)
            model.graph.initializer.extend(numpy_helper.from_array(values[name], name) for name in node.output)
        if not found:
            return model


def _evaluate(node: NodeProto, values: dict[str, NDArray[Any]], shapes: Mapping[str, Any]) -> bool:
    """Add to `values` what a node gives, if it depends on small constants or on a known shape alone."""
    if node.op_type == "Shape":
        dims = shapes.get(node.input[0])
        if dims is None or not all(dim.dim_value > 0 for dim in dims) or len(node.attribute):
            return False
        values[node.output[0]] = np.array([dim.dim_value for dim in dims], np.int64)
        return True
    inputs = [name for name in node.input if name]
    if node.domain not in ("", "ai.onnx") or not all(name in values for name in inputs):
        return False
    given = {name: values[name] for name in inputs}
    if _elements(node, [values[name] for name in inputs]) > SMALL:
        return False
    try:
        results = ReferenceEvaluator(node).run(None, given)
    except Exception:  # a damaged node: whoever needs its shape says that it is not known
        return False
    values.update(zip(node.output, map(np.asarray, results), strict=True))
    return True


def _elements(node: NodeProto, given: Sequence[NDArray[Any]]) -> float:
    """How many elements a node gives at most, told by its inputs before it is run; infinitely many if nobody knows."""
    sizes = [value.size for value in given]
    kind = node.op_type
    if kind == "Constant":
        tensor = next((attribute.t for attribute in node.attribute if attribute.name == "value"), None)
        return math.inf if tensor is None else math.prod(tensor.dims)
    if kind in OF_THE_FIRST:
        return sizes[0]
    if kind == "Concat":
        return sum(sizes)
    if kind in ("Gather", *OF_ALL):  # the largest sizes that broadcasting can come to
        return math.prod(sizes)
    if kind == "ConstantOfShape":
        return math.prod(map(int, given[0]))
    if kind == "Expand":  # at most, as a size of 1 takes the other's
        return max(1, sizes[0]) * math.prod(max(1, int(size)) for size in given[1])
    return sizes[0] * math.prod(map(int, given[1])) if kind == "Tile" else math.inf
