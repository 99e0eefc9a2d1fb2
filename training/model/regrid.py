"""Weights that read every cell of a map, for a map of another grid: to go on at another side."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from training.model.uvm3tl import ModelConfig


def regridded(weights: dict[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """A state, what reads whole maps resampled to the grid of `config`."""
    channels = {"gather.place.weight": config.narrow} | {
        name: config.width for name, some in weights.items() if name.startswith("guessers.") and some.ndim == 2
    }
    return weights | {
        name: on_grid(weights[name], count, config.grid) for name, count in channels.items() if name in weights
    }


def on_grid(weights: Tensor, channels: int, grid: int) -> Tensor:
    """Weights (N, C, G, G) or (N, C * G * G) -> the same for `grid` cells a side; N and a joint's (N, C) stay.

    A cell takes the weights of the area that it covers, so that a map which is the same everywhere is read as before.
    """
    before = math.isqrt(weights[0].numel() // channels)
    if weights[0].numel() != channels * before**2 or before in (1, grid):
        return weights
    covered = _covered(before, grid)
    maps = covered @ weights.float().reshape(-1, channels, before, before) @ covered.T
    return maps.flatten(1) if weights.ndim == 2 else maps


def _covered(before: int, after: int) -> Tensor:
    """(after, before): which part of each old cell lies in each new one, along one side."""
    left, old = torch.arange(after)[:, None] * (before / after), torch.arange(before)
    ends = torch.minimum(left + before / after, old + 1.0)
    return (ends - torch.maximum(left, old.float())).clamp(min=0.0)
