"""Time: what changed since the slot before, and sixteen slots of one stream -> one map. Our instantiation.

Motion tells forward from backward and a jam from flowing traffic, and a mean over frames would lose it (CauPsi reports
just that weakness, arXiv 2604.07651). So each frame's feature is seen together with the one a slot before it, at the
encoder's full resolution; the result is what the slot remembers. Doing it once per frame instead of 16 times per step
took the fuser from 24 ms to 2 ms (DECISIONS.md).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.model.encoders import ResidualBlock, conv_bn_relu


class Motion(nn.Module):
    """A feature and the one a slot earlier, each (N, C, G, G) -> what the slot remembers, (N, D, G', G').

    The two meet while cells are still small, because motion within a cell is hard to see, and the network goes on from
    there. What changed has its own convolution and its own normalisation: beside the unchanging scene it would drown,
    in training as in 8 bits.
    """

    def __init__(self, channels: int, width: int, blocks: int, halvings: int) -> None:
        super().__init__()
        self.scene = nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False)
        self.scene_norm = nn.BatchNorm2d(width)
        self.change = nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False)
        self.change_norm = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))
        self.halve = nn.Sequential(*(conv_bn_relu(width, width, stride=2) for _ in range(halvings)))

    def forward(self, feature: Tensor, before: Tensor) -> Tensor:
        changed = self.change_norm(self.change(feature - before))
        return self.halve(self.blocks(self.relu(self.scene_norm(self.scene(feature)) + changed)))


class JointMotion(nn.Module):
    """A joint stream's feature and the one a slot earlier, each (N, C) -> (N, D, 1, 1)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.pair = nn.Linear(2 * channels, width)

    def forward(self, feature: Tensor, before: Tensor) -> Tensor:
        return F.relu(self.pair(torch.cat([feature, before], dim=1)))[:, :, None, None]


class TemporalAggregation(nn.Module):
    """Sixteen slots of a stream -> one map, in two steps: `pool`, then the call. Absent streams give a token."""

    def __init__(self, width: int, grid: int) -> None:
        super().__init__()
        self.along_time = nn.Conv2d(width, width, (3, 1), padding=(1, 0), bias=False)
        self.time_norm = nn.BatchNorm2d(width)
        self.mix = nn.Conv2d(2 * width, width, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        # Where something moves matters: the face crop is aligned, and a left turn is not a right one. Attention and
        # averages over cells are blind to place, so one projection sees the whole map.
        self.place = nn.Linear(2 * width * grid * grid, width, bias=False)
        self.place_norm = nn.BatchNorm1d(width)
        self.absent = nn.Parameter(torch.zeros(width, 1, 1))

    def pool(self, slots: Tensor, present: Tensor) -> Tensor:
        """Along time, then mean and maximum over the slots that are there. (B, T, D, G, G), (B, T) -> (B, 2D, G*G)."""
        batch, count, width, cells, _ = slots.shape
        mask = present.to(slots.dtype).reshape(batch, 1, count, 1)
        x = slots.permute(0, 2, 1, 3, 4).reshape(batch, width, count, cells * cells) * mask  # (B, D, T, G*G)
        x = (x + F.relu(self.time_norm(self.along_time(x)))) * mask
        filled = mask.sum(dim=2)  # (B, 1, 1)
        return torch.cat([x.sum(dim=2) / filled.clamp(min=1.0), x.amax(dim=2)], dim=1)

    def forward(self, pooled: Tensor, present: Tensor) -> Tensor:
        """What `pool` gave -> (B, D, G, G)."""
        batch, channels, area = pooled.shape
        cells = math.isqrt(area)
        mixed = self.norm(self.mix(pooled.reshape(batch, channels, cells, cells)))
        placed = self.place_norm(self.place(pooled.flatten(1))).reshape(batch, -1, 1, 1)
        known = present.amax(dim=1).to(pooled.dtype).reshape(batch, 1, 1, 1)
        return F.relu(mixed + placed) * known + self.absent * (1.0 - known)
