"""Batch normalisation folded into the convolution before it, exactly. A separate one fuses nowhere in INT8."""

from __future__ import annotations

import copy

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from training.model import UVM3TL


def folded(model: UVM3TL) -> UVM3TL:
    """A copy in evaluation mode without batch normalisation."""
    model = copy.deepcopy(model).eval()
    for parent in list(model.modules()):
        _fold_children(parent)
    left = [name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)]
    assert not left, f"batch normalisation left in {left}"
    return model


def _fold_children(parent: nn.Module) -> None:
    previous: tuple[str, nn.Module] | None = None
    for name, child in list(parent.named_children()):
        if isinstance(child, nn.BatchNorm2d):
            assert previous is not None and isinstance(previous[1], nn.Conv2d), f"{name} follows no convolution"
            setattr(parent, previous[0], fuse_conv_bn_eval(previous[1], child))
            setattr(parent, name, nn.Identity())
        previous = (name, child)
