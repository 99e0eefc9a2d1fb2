"""Torch modules to OpenVINO's IR: never from ONNX, whose signed Q/DQ OpenVINO misreads (reference/int8.md 3.3)."""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from codriver.engines.base import GraphFiles


def ir_from_module(
    module: nn.Module, example: tuple[Tensor, ...], inputs: Sequence[str], outputs: Sequence[str]
) -> GraphFiles:
    """XML and weights, with fixed shapes, always the same bytes for the same model.

    NNCF's fake quantizers become OpenVINO's, and weights that have one int8.
    """
    import openvino
    from openvino._offline_transformations import compress_quantize_weights_transformation
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracer's, about shapes that are fixed here anyway
        # Not traced a second time to compare: what comes out is held against the module by quantize.checks.
        once = {"check_trace": False}
        decoder = TorchScriptPythonDecoder(module.eval(), example_input=example, trace_kwargs=once)
        model = openvino.convert_model(decoder, example_input=example)
    for port, name in (*zip(model.inputs, inputs, strict=True), *zip(model.outputs, outputs, strict=True)):
        port.get_tensor().set_names({name})
    model.reshape({name: list(tensor.shape) for name, tensor in zip(inputs, example, strict=True)})
    compress_quantize_weights_transformation(model)  # a private name, as NNCF uses it: int8 weights, a quarter of bytes
    model.set_friendly_name("codriver")
    with tempfile.TemporaryDirectory() as folder:
        xml, weights = Path(folder, "graph.xml"), Path(folder, "graph.bin")
        openvino.serialize(model, str(xml), str(weights))
        return GraphFiles(_named_alike(xml.read_text(encoding="utf-8")).encode(), weights.read_bytes())


def _named_alike(xml: str) -> str:
    """The same graph whenever it is made: OpenVINO names what it makes itself by a count from the start of the process.

    Such names (Concat_9435) are counted from the start of the file; the list of what was fused into a layer goes.
    """
    xml = re.sub(r'\s*<attribute name="fused_names"[^>]*/>', "", xml)
    counted: dict[str, str] = {}

    def renamed(match: re.Match[str]) -> str:
        kind, number = match.group(1), len(counted)
        return counted.setdefault(match.group(0), f"{kind}_{number}")

    return re.sub(r"\b([A-Z][A-Za-z]*)_\d+\b", renamed, xml)
