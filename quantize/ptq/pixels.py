"""The quantizer behind a picture: its range is what pixels have, whatever calibration saw of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

WHITE = 255


@torch.no_grad()
def give_pixels_their_range(quantized: nn.Module, quantizers: Mapping[str, nn.Module], step: Sequence[Tensor]) -> None:
    """Set the range of each quantizer that takes a picture's pixels over 255 to [0, 1], for good.

    Where it has 256 codes for them, a pixel is then its own code, and the exported graph need not compute one
    (quantize/export/pixel_codes.py). Pictures that calibrate seldom hold both 0 and 255.
    step: the graph's inputs, pictures in uint8.
    """
    black, white = (_levels(quantized, quantizers, step, level) for level in (0, WHITE))
    over_255 = float(torch.tensor(float(WHITE)) * (1.0 / WHITE))  # as ImageEncoder computes it
    found = [name for name in quantizers if black.get(name) == {0.0} and white.get(name) == {over_255}]
    for name in found:
        values = quantizers[name].state_dict()  # the quantizer's own tensors
        for key, value in {"input_low": 0.0, "input_range": 1.0, "scale": 1.0}.items():
            if key in values:
                values[key].fill_(value)
        quantizers[name].is_fixed = True  # no range that QAT learns,
        quantizers[name].requires_grad_(False)  # and no weight either


def _levels(
    quantized: nn.Module, quantizers: Mapping[str, nn.Module], step: Sequence[Tensor], level: int
) -> dict[str, set[float]]:
    """By quantizer, least and greatest of what it takes where all pictures have one level."""
    seen: dict[str, set[float]] = {}
    hooks = [
        quantizer.register_forward_pre_hook(lambda _, given, name=name: seen.update({name: _ends(given[0])}))
        for name, quantizer in quantizers.items()
    ]
    try:
        quantized(*(torch.full_like(x, level) if x.dtype == torch.uint8 else x for x in step))
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def _ends(values: Tensor) -> set[float]:
    return {float(values.min()), float(values.max())}
