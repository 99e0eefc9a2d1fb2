"""Plan B for the day the legacy exporter goes: quantizers become torch's own, and the dynamo exporter writes the graph.

Nothing ships from here; a test holds it against quantize.emit (reference/int8.md 1.6, last row).
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from quantize.ptq.quantizers import quantizers

OPSET = 18  # the lowest that the dynamo exporter writes itself


class NativeFakeQuantize(nn.Module):
    """torch.fake_quantize_per_{tensor,channel}_affine with the numbers of one of NNCF's quantizers."""

    def __init__(self, quantizer: nn.Module) -> None:
        super().__init__()
        low, high, scale, zero_point = quantizer.get_parameters_for_torch_fq()
        self.low, self.high = low, high
        self.axis = max(range(len(quantizer.scale_shape)), key=lambda i: quantizer.scale_shape[i])
        self.per_channel = quantizer.per_channel
        self.register_buffer("scale", scale.detach().clone())
        self.register_buffer("zero_point", zero_point.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        if self.per_channel:
            return torch.fake_quantize_per_channel_affine(
                x, self.scale, self.zero_point, self.axis, self.low, self.high
            )
        return torch.fake_quantize_per_tensor_affine(x, self.scale, self.zero_point, self.low, self.high)


def with_native_quantizers(encoder: nn.Module, make: Callable[[Any], nn.Module] = NativeFakeQuantize) -> nn.Module:
    """A copy with `make` of every quantizer of NNCF in its place. One that sits in several places stays one."""
    from nncf.torch.function_hook.wrapper import get_hook_storage

    encoder = copy.deepcopy(encoder)
    storage = get_hook_storage(encoder)
    native: dict[nn.Module, nn.Module] = {}
    for name, quantizer in quantizers(encoder).items():
        storage.set_submodule(name, native.setdefault(quantizer, make(quantizer)))
    return encoder


def onnx_by_dynamo(
    module: nn.Module, example: tuple[Tensor, ...], inputs: Sequence[str], outputs: Sequence[str]
) -> onnx.ModelProto:
    """The graph with Q/DQ pairs, weights still float in front of theirs."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            with_native_quantizers(module).eval(),
            example,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            verbose=False,
        )
    assert program is not None
    return program.model_proto
