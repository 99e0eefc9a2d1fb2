"""An encoder cut into a graph for each group of streams, of one stream each: then a device's threads take cameras.

Groups share nothing, so a cut computes what the whole did, to the bit.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.utils import Extractor

from codriver.bundle.manifest import PART
from codriver.tasks import GROUPS


def by_stream(path: str, encoder: bytes) -> dict[str, bytes]:
    """The graph of the whole encoder, at `path` -> path of each part -> its graph, in the order of GROUPS."""
    model = onnx.load_from_string(encoder)
    folder = path.rpartition("/")[0]
    groups = [group for group in GROUPS if group in {value.name for value in model.graph.input}]
    return {f"{folder}/{PART}{group}.onnx": _part(model, group) for group in groups}


def _part(model: onnx.ModelProto, group: str) -> bytes:
    rows = next(v for v in model.graph.input if v.name == group).type.tensor_type.shape.dim[0].dim_value
    inputs, outputs = (
        [value.name for value in side if f"{value.name}_".startswith(f"{group}_")]
        for side in (model.graph.input, model.graph.output)
    )
    part = Extractor(model).extract_model(inputs, outputs)
    del part.graph.value_info[:]  # shapes of all its streams
    for value in (*part.graph.input, *part.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    shapes = {node.input[1] for node in part.graph.node if node.op_type == "Reshape"}
    for tensor in part.graph.initializer:
        if tensor.name in shapes and numpy_helper.to_array(tensor)[0] == rows:
            tensor.CopyFrom(numpy_helper.from_array(np.array([1, *numpy_helper.to_array(tensor)[1:]]), tensor.name))
    onnx.checker.check_model(part, full_check=True)  # a size that is written into a node would not fit
    return bytes(part.SerializeToString(deterministic=True))
