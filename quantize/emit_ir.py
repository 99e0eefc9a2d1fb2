"""Torch modules to OpenVINO's IR. From torch and never from ONNX: OpenVINO misreads signed Q/DQ there (int8.md 3.3)."""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from codriver.engines import GraphFiles


def ir_from_module(
    module: nn.Module, example: tuple[Tensor, ...], inputs: Sequence[str], outputs: Sequence[str]
) -> GraphFiles:
    """XML and weights, with fixed shapes, always the same bytes for the same model.

    NNCF's fake quantizers become OpenVINO's, and weights that have one int8.
    """
    import openvino
    from openvino._offline_transformations import compress_quantize_weights_transformation

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracer's, about shapes that are fixed here anyway
        model = openvino.convert_model(module.eval(), example_input=example)
    for port, name in (*zip(model.inputs, inputs, strict=True), *zip(model.outputs, outputs, strict=True)):
        port.get_tensor().set_names({name})
    model.reshape({name: list(tensor.shape) for name, tensor in zip(inputs, example, strict=True)})
    compress_quantize_weights_transformation(model)  # a private name, as NNCF uses it: int8 weights, a quarter of bytes
    _name_alike(model)
    with tempfile.TemporaryDirectory() as folder:
        xml, weights = Path(folder, "graph.xml"), Path(folder, "graph.bin")
        openvino.serialize(model, str(xml), str(weights))
        return GraphFiles(xml.read_bytes(), weights.read_bytes())


def _name_alike(model: Any) -> None:
    """OpenVINO names its objects by a count from the start of the process: count from the start of the model."""
    model.set_friendly_name("codriver")
    for number, node in enumerate(model.get_ordered_ops()):
        if re.fullmatch(rf"{node.get_type_name()}_\d+", node.get_friendly_name()):
            node.set_friendly_name(f"{node.get_type_name()}_{number}")
