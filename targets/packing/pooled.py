"""A fuser cut behind its pooling: mean and maximum over a stream's slots are found before the graph is asked.

The rest computes what the whole did of them; `codriver.network.fuser_inputs` is the other half.
"""

from __future__ import annotations

import math

import onnx
from onnx import TensorProto, helper
from onnx.utils import Extractor

from codriver.bundle.manifest import POOLED, REST

SLOT = "_slot"  # ends the name of a stream's input
KINDS = {5: "image", 3: "joints"}  # dimensions of that input -> kind of stream


def pooled(path: str, fuser: bytes) -> tuple[str, bytes] | None:
    """The graph of the whole fuser, at `path` -> the rest's path and graph; None: it pools in another way."""
    model = onnx.load_from_string(fuser)
    shapes = {v.name: [dim.dim_value for dim in v.type.tensor_type.shape.dim] for v in model.graph.input}
    found = {}
    for kind, name in POOLED.items():
        streams = [s for s, dims in shapes.items() if s.endswith(SLOT) and KINDS[len(dims)] == kind]
        if streams:
            found[name] = _pooling(model.graph, streams), [1, 2 * len(streams), math.prod(shapes[streams[0]][2:])]
    if any(tensor is None for tensor, _ in found.values()):
        return None
    for name, (tensor, dims) in found.items():
        for node in model.graph.node:
            node.input[:] = [name if given == tensor else given for given in node.input]
        model.graph.value_info.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, dims))
    rest = Extractor(model).extract_model([*found, "mask"], [value.name for value in model.graph.output])
    onnx.checker.check_model(rest, full_check=True)
    return f"{path.rpartition('/')[0]}/{REST}.onnx", bytes(rest.SerializeToString(deterministic=True))


def _pooling(graph: onnx.GraphProto, streams: list[str]) -> str | None:
    """The tensor that holds of each of these streams, in this order, mean and maximum; None if there is none."""
    makers = {output: node for node in graph.node for output in node.output}

    def told(name: str) -> tuple[str, str]:
        """What is computed, and of which input's slots."""
        maker = makers.get(name)
        kind = maker.op_type if maker else ""
        while maker and maker.op_type in ("MatMul", "ReduceMax", "Reshape"):
            name = maker.input[maker.op_type == "MatMul"]
            maker = makers.get(name)
        return kind, name

    wanted = [(kind, stream) for stream in streams for kind in ("MatMul", "ReduceMax")]
    concats = [node for node in graph.node if node.op_type == "Concat"]
    return next((node.output[0] for node in concats if [told(name) for name in node.input] == wanted), None)
