"""What is linear and adjacent becomes one layer, exactly. A separate batch normalisation fuses nowhere in INT8."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from codriver.tasks import JOINTS
from training.model.encoders import JointEncoder
from training.model.uvm3tl import UVM3TL

FUSED_BY = {nn.Conv2d: fuse_conv_bn_eval, nn.Linear: fuse_linear_bn_eval}


def folded(model: UVM3TL) -> UVM3TL:
    """A copy in evaluation mode without batch normalisation, and without the joint encoders' fixed first matrix."""
    model = copy.deepcopy(model).eval()
    for parent in list(model.modules()):
        _fold_children(parent)
    for module in model.modules():
        if isinstance(module, JointEncoder):
            _fold_centre(module)
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


@torch.no_grad()
def _fold_centre(encoder: JointEncoder) -> None:
    """W (C x) = (W C) x: two fifths of the first layer's weights go, and 146 kB of constants."""
    first = encoder.layers[0]
    assert isinstance(first, nn.Linear) and encoder.centre is not None
    first.weight = nn.Parameter((first.weight.double() @ encoder.centre.double()).float())
    first.in_features = encoder.centre.shape[1]
    encoder.centre = None


@torch.no_grad()
def with_joints_in_half(model: UVM3TL) -> UVM3TL:
    """A copy whose joint layers hold values of float16, as INT8 dialects store them; they compute in float32.

    These layers stay in floating point, and would be a third of an INT8 file. What training makes of them afterwards
    is stored in full again, unless `hold_joints_in_half` follows it.
    """
    model = copy.deepcopy(model)
    hold_joints_in_half(model)
    return model


@torch.no_grad()
def hold_joints_in_half(model: UVM3TL) -> None:
    """The same in place."""
    for part in (model.encoders, model.motions):
        for group in JOINTS:
            for module in part[group].modules():
                if isinstance(module, nn.Linear):
                    module.weight.copy_(module.weight.half().float())
