"""An ONNX file from anywhere, read without trusting it: whatever is wrong with it is one GraphError."""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx.external_data_helper import load_external_data_for_model

from codriver.errors import CodriverError

MAX_BYTES = 2**31 - 1  # of a protobuf message; a larger model keeps its weights in a file beside it


class GraphError(CodriverError):
    """An ONNX file that cannot be read."""


def read_model(path: Path) -> onnx.ModelProto:
    """The model with its external data loaded. What the file declares as sizes is never believed."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist" if not path.exists() else "is no ordinary file"
        raise GraphError(f"{path} {what}; give the path of an ONNX file")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise GraphError(f"{path} has over 2 GiB, which no ONNX file has: keep weights as external data")
        model = model_from_bytes(path.read_bytes(), str(path))
    except OSError as error:
        raise GraphError(f"{path} cannot be read: {error.strerror}") from error
    try:
        load_external_data_for_model(model, str(path.parent))
    except Exception as error:  # onnx raises many kinds here, all of them about the file
        reason = str(error).splitlines()[0]
        raise GraphError(f"{path} keeps weights in a file beside it, which cannot be used: {reason}") from error
    return model


def model_from_bytes(data: bytes, name: str) -> onnx.ModelProto:
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise GraphError(f"{name} is truncated or no ONNX file ({len(data)} bytes); copy or export it again") from error
    if not model.HasField("graph") or not (model.graph.node or model.graph.output):
        raise GraphError(f"{name} holds no graph ({len(data)} bytes): truncated or no ONNX file; export it again")
    _require_text(model, name)
    return model


def _require_text(model: onnx.ModelProto, name: str) -> None:
    """protobuf hands out bytes where a string is no UTF-8: a sign of damage, and no key to look anything up with."""
    names: list[object] = [imported.domain for imported in model.opset_import]
    nodes = [node for function in model.functions for node in function.node]
    graphs = [model.graph]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            names += [named.name for named in (*graph.initializer, *graph.input, *graph.output)]
            nodes += graph.node
        for node in nodes:
            names += [node.name, node.op_type, node.domain, *node.input, *node.output]
            names += [attribute.name for attribute in node.attribute]
            inner = [some for attribute in node.attribute for some in (attribute.g, *attribute.graphs)]
            graphs += [some for some in inner if some.node or some.output]
        nodes = []
    damaged = next((text for text in names if not isinstance(text, str)), None)
    if damaged is not None:
        raise GraphError(f"{name} holds the name {damaged!r}, which is no UTF-8 text: the file is damaged")
