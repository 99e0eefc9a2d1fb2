"""Torch modules to OpenVINO's IR: never from ONNX, whose signed Q/DQ OpenVINO misreads (reference/int8.md 3.3)."""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
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
    _pool_maxima(model)
    compress_quantize_weights_transformation(model)  # a private name, as NNCF uses it: int8 weights, a quarter of bytes
    model.set_friendly_name("codriver")
    with tempfile.TemporaryDirectory() as folder:
        xml, weights = Path(folder, "graph.xml"), Path(folder, "graph.bin")
        openvino.serialize(model, str(xml), str(weights))
        return GraphFiles(_named_alike(xml.read_text(encoding="utf-8")).encode(), weights.read_bytes())


def _pool_maxima(model: Any) -> None:
    """Each maximum over slots, (B, T, N) -> (B, 1, N), as a pool, in place.

    OpenVINO moves the quantizer behind a concatenation into the ReduceMax before it, whose kernel then compares what it
    has rounded to eight bits on the way (reference/int8.md 3.3); a pool's does not.
    """
    import openvino.opset13 as ops

    for node in model.get_ordered_ops():
        slots = node.input_value(0) if node.get_type_name() == "ReduceMax" else None
        if slots is None or len(slots.get_shape()) != 3 or list(node.input_value(1).get_node().get_data()) != [1]:
            continue
        single = np.array([1])
        kernel = [slots.get_shape()[1], 1]
        pool = ops.max_pool(ops.unsqueeze(slots, single), [1, 1], [1, 1], [0, 0], [0, 0], kernel)
        found = ops.squeeze(pool.output(0), single)
        for target in list(node.output(0).get_target_inputs()):
            target.replace_source_output(found.output(0))


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
