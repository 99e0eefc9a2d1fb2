"""Batch normalisation folded into the layer before it, exactly. A separate one fuses nowhere in INT8."""

from __future__ import annotations

import copy

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from training.model import UVM3TL

FUSED_BY = {nn.Conv2d: fuse_conv_bn_eval, nn.Linear: fuse_linear_bn_eval}


def folded(model: UVM3TL) -> UVM3TL:
    """A copy in evaluation mode without batch normalisation."""
    model = copy.deepcopy(model).eval()
    for parent in list(model.modules()):
        _fold_children(parent)
    left = [name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert not left, f"batch normalisation left in {left}"
    return model


def _fold_children(parent: nn.Module) -> None:
    """Every normalisation is declared right behind the layer whose output it takes."""
    before: tuple[str, nn.Module] = ("", parent)
    for name, child in list(parent.named_children()):
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
            assert type(before[1]) in FUSED_BY, f"{name} follows {before[0]!r}, no convolution or linear layer"
            setattr(parent, before[0], FUSED_BY[type(before[1])](before[1], child))
            setattr(parent, name, nn.Identity())
        before = (name, child)
