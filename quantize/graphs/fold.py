"""What is linear and adjacent becomes one layer, exactly. A separate batch normalisation fuses nowhere in INT8."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from training.model.dbscme import SharedBranch, SpatialAttention
from training.model.encoders import JointEncoder
from training.model.temporal import AlongTime
from training.model.uvm3tl import UVM3TL

Network = TypeVar("Network", bound=nn.Module)
FUSED_BY = {nn.Conv2d: fuse_conv_bn_eval, nn.Linear: fuse_linear_bn_eval}


def folded(model: Network) -> Network:
    """A copy in evaluation mode without batch normalisation and whatever else can be multiplied into weights.

    That is the joint encoders' fixed first matrix, the scale of attention, the 1x1 convolution beside a 3x3 one, and
    the shares of a weighted sum.
    """
    model = copy.deepcopy(model).eval()
    for module in model.modules():
        if isinstance(module, AlongTime):
            _fold_sum(module)
    for parent in list(model.modules()):
        _fold_children(parent)
    for module in model.modules():
        if isinstance(module, JointEncoder):
            _fold_centre(module)
        elif isinstance(module, SpatialAttention):
            _fold_scale(module)
        elif isinstance(module, SharedBranch):
            _fold_point(module)
    _fold_shares(model.dbscme if isinstance(model, UVM3TL) else model)
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
def _fold_sum(along: AlongTime) -> None:
    """norm(A x + B y) = (g A x + b) + g B y, which normalises both sides without another layer."""
    along.now, along.earlier = (fuse_conv_bn_eval(layer, along.norm) for layer in (along.now, along.earlier))
    along.earlier.bias = None
    along.norm = nn.Identity()


@torch.no_grad()
def _fold_scale(attention: SpatialAttention) -> None:
    attention.query.weight.mul_(attention.scale)
    attention.scale = 1.0


@torch.no_grad()
def _fold_point(branch: SharedBranch) -> None:
    """A 1x1 convolution is the middle of a 3x3 one."""
    assert branch.point is not None and branch.point.bias is not None and branch.local.bias is not None
    branch.local.weight[:, :, 1, 1] += branch.point.weight[:, :, 0, 0]
    branch.local.bias += branch.point.bias
    branch.point = None


@torch.no_grad()
def _fold_shares(block: nn.Module) -> None:
    """s FC(x) + (1 - s) FC'(y): each share into its layer."""
    shares: nn.ParameterDict | None = getattr(block, "mix", None)
    if shares is None:
        return
    for task, weight in shares.items():
        share = torch.sigmoid(weight)
        for side, part in (("specific_out", share), ("shared_out", 1.0 - share)):
            layer = block.get_submodule(f"{side}.{task}")
            for parameter in layer.parameters():
                parameter.mul_(part)
    block.mix = None


@torch.no_grad()
def with_vectors_in_half(model: UVM3TL) -> UVM3TL:
    """A copy whose linear layers hold values of float16, as INT8 dialects store them; they compute in float32.

    They see one vector each and stay in floating point: quantizing and restoring a vector takes longer than its product
    (DECISIONS.md), but in full they would be a third of an INT8 file. What training makes of them afterwards is stored
    in full again, unless `hold_vectors_in_half` follows it.
    """
    model = copy.deepcopy(model)
    hold_vectors_in_half(model)
    return model


@torch.no_grad()
def hold_vectors_in_half(model: UVM3TL) -> None:
    """The same in place, in all that a device runs."""
    for part in (model.encoders, model.motions, model.along_times, model.gather, model.dbscme):
        for module in part.modules():
            if isinstance(module, nn.Linear):
                module.weight.copy_(module.weight.half().float())
