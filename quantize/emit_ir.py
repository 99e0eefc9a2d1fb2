"""Torch modules to OpenVINO's IR. From torch and never from ONNX: OpenVINO misreads signed Q/DQ there (int8.md 3.3)."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from codriver.engines import GraphFiles


def ir_from_module(
    module: nn.Module, example: tuple[Tensor, ...], inputs: Sequence[str], outputs: Sequence[str]
) -> GraphFiles:
    """XML and weights, with fixed shapes. NNCF's fake quantizers become OpenVINO's, quantized weights int8."""
    import openvino
    from openvino._offline_transformations import compress_quantize_weights_transformation

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracer's, about shapes that are fixed here anyway
        model = openvino.convert_model(module.eval(), example_input=example)
    for port, name in (*zip(model.inputs, inputs, strict=True), *zip(model.outputs, outputs, strict=True)):
        port.get_tensor().set_names({name})
    model.reshape({name: list(tensor.shape) for name, tensor in zip(inputs, example, strict=True)})
    compress_quantize_weights_transformation(model)  # a private name, as NNCF uses it: int8 weights, a quarter of bytes
    with tempfile.TemporaryDirectory() as folder:
        xml, weights = Path(folder, "graph.xml"), Path(folder, "graph.bin")
        openvino.serialize(model, str(xml), str(weights))
        return GraphFiles(xml.read_bytes(), weights.read_bytes())
