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
LEFT = ("QuantizeLinear", "DequantizeLinear", "Range")  # not computed: they stay quantized, or may grow without end


def with_inferred_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """With the shape of every tensor; what shapes are computed from is computed, as ONNX's inference stops there."""
    while True:
        model = shape_inference.infer_shapes(model, data_prop=True)
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
    if node.op_type in LEFT or node.op_type.startswith("Random") or node.domain not in ("", "ai.onnx"):
        return False
    if not all(name in values for name in inputs) or any(attribute.HasField("g") for attribute in node.attribute):
        return False
    given = {name: values[name] for name in inputs}
    if _elements(node.op_type, list(given.values())) > SMALL:
        return False
    try:
        results = ReferenceEvaluator(node).run(None, given)
    except Exception:  # a damaged node: whoever needs its shape says that it is not known
        return False
    values.update(zip(node.output, map(np.asarray, results), strict=True))
    return True


def _elements(op_type: str, given: Sequence[NDArray[Any]]) -> int:
    """How many elements a node gives whose values say so, before it is asked for them; 0 for others."""
    if op_type == "ConstantOfShape":
        return math.prod(map(int, given[0]))
    if op_type == "Expand":  # at most, as a size of 1 takes the other's
        return max(1, given[0].size) * math.prod(max(1, int(size)) for size in given[1])
    if op_type == "Tile":
        return given[0].size * math.prod(map(int, given[1]))
    return 0
