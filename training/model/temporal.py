"""Time: what changed since the slot before, what a moment remembers of two slots, and sixteen moments -> one look.

Our instantiation. Motion tells forward from backward and a jam from flowing traffic, and a mean over frames would lose
it (CauPsi reports just that weakness, arXiv 2604.07651). So each frame's feature is seen together with the one a slot
before it, at the encoder's full resolution; what came of it is mixed with what came of it a slot earlier. All of this
is done once, when a frame comes: a step only reads what sixteen moments left (DECISIONS.md).

B batch · N rows of a group · S stream · I image stream · T slot · D width · G grid cells per side
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codriver.tasks import JOINTS, STREAMS
from training.model.encoders import ResidualBlock, conv_bn_relu

IMAGES = tuple(stream for stream in STREAMS if stream not in JOINTS)


class Motion(nn.Module):
    """A feature and the one a slot earlier, each (N, C, G, G) -> what the two tell, (N, D, G', G').

    The two meet while cells are still small, because motion within a cell is hard to see, and the network goes on from
    there. What changed has its own convolution and its own normalisation: beside the unchanging scene it would drown,
    in training as in 8 bits.
    """

    def __init__(self, channels: int, width: int, blocks: int, halvings: int, grid: int) -> None:
        super().__init__()
        self.cells = grid << halvings
        self.scene = nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False)
        self.scene_norm = nn.BatchNorm2d(width)
        self.change = nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False)
        self.change_norm = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))
        self.halve = nn.Sequential(*(conv_bn_relu(width, width, stride=2) for _ in range(halvings)))

    def forward(self, feature: Tensor, before: Tensor) -> Tensor:
        changed = self.change_norm(self.change(feature - before))
        seen = self.blocks(self.relu(self.scene_norm(self.scene(feature)) + changed))
        if self.training and seen.shape[-1] < self.cells:  # a lesson at half size; see TrainConfig.half
            seen = F.interpolate(seen, size=self.cells, mode="nearest")
        return self.halve(seen)


class JointMotion(nn.Module):
    """A joint stream's feature and the one a slot earlier, each (N, C) -> (N, D)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.pair = nn.Linear(2 * channels, width)

    def forward(self, feature: Tensor, before: Tensor) -> Tensor:
        return F.relu(self.pair(torch.cat([feature, before], dim=1)))


class AlongTime(nn.Module):
    """A motion and the one a slot earlier (zeros where there is none), each (N, D, G, G) -> what the slot remembers.

    Never negative, so that a slot of zeros, which is how an absent one is handed on, changes neither a sum nor a
    maximum.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.now = nn.Conv2d(width, width, 1, bias=False)
        self.earlier = nn.Conv2d(width, width, 1, bias=False)
        # One normalisation of the sum: most lessons have few slots with another before them (quantize.graphs.fold).
        self.norm = nn.BatchNorm2d(width)
        self.mixed = nn.ReLU()
        # Motions are never negative. NNCF places no quantizer at an input of a graph that takes any number of them.
        self.entered = nn.ReLU()

    def forward(self, motion: Tensor, before: Tensor) -> Tensor:
        return self.mixed(self.norm(self.now(motion) + self.earlier(self.entered(before))))


class JointAlongTime(nn.Module):
    """The same for a joint stream's motions, each (N, D)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.both = nn.Linear(2 * width, width, bias=False)
        self.norm = nn.BatchNorm1d(width)
        self.mixed = nn.ReLU()

    def forward(self, motion: Tensor, before: Tensor) -> Tensor:
        return self.mixed(self.norm(self.both(torch.cat([motion, before], dim=1))))


class Gather(nn.Module):
    """Sixteen slots of every stream -> a map of each image stream, and a vector of every stream.

    Mean and maximum over the slots that are there, then one convolution for all image streams at once. Where something
    is matters too: the face crop is aligned, and a left turn is not a right one. Attention and averages over cells are
    blind to place, so each image stream's whole map, made narrow, is read into its vector. An absent stream's vector is
    a token of its own.
    """

    def __init__(self, width: int, grid: int, narrow: int) -> None:
        super().__init__()
        images, joints = len(IMAGES), len(JOINTS)
        self.mix = nn.Conv2d(2 * width, width, 1, bias=False)
        self.mix_norm = nn.BatchNorm2d(width)
        self.narrow = nn.Conv2d(2 * width, narrow, 1, bias=False)
        self.narrow_norm = nn.BatchNorm2d(narrow)
        self.place = nn.Conv2d(images * narrow, images * width, grid, groups=images, bias=False)
        self.place_norm = nn.BatchNorm2d(images * width)
        self.joints = nn.Linear(joints * 2 * width, joints * width, bias=False)
        self.joints_norm = nn.BatchNorm1d(joints * width)
        self.absent = nn.Parameter(torch.zeros(len(STREAMS), width))

    def forward(self, slots: Mapping[str, Tensor], mask: Tensor) -> tuple[Tensor, Tensor]:
        """slots: stream -> (B, T, D, G, G), or (B, T, D) of joints, zeros where absent. mask: (B, S, T).

        Returns maps (B, I, D, G, G) and vectors (B, S, D)."""
        filled = mask.sum(dim=2, keepdim=True)  # (B, S, 1)
        shares = (mask * (1.0 / filled.clamp(min=1.0))).chunk(len(STREAMS), dim=1)  # (B, 1, T) each, in sum 1
        share_of = dict(zip(STREAMS, shares, strict=True))
        pooled = _mean_and_most([slots[s] for s in IMAGES], [share_of[s] for s in IMAGES])
        pooled = pooled.reshape(-1, 2 * self.mix.out_channels, *slots[IMAGES[0]].shape[3:])  # (B * I, 2D, G, G)
        clips, cells = len(mask), pooled.shape[2:]
        # Reshaped to whole sizes: unflatten leaves the exporter computing them, and TensorRT's sizes must be known.
        maps = F.relu(self.mix_norm(self.mix(pooled))).reshape(clips, len(IMAGES), self.mix.out_channels, *cells)
        narrow = F.relu(self.narrow_norm(self.narrow(pooled)))
        narrow = narrow.reshape(clips, self.place.in_channels, *cells)
        placed = F.relu(self.place_norm(self.place(narrow))).flatten(1)  # (B, I * D)
        posed = _mean_and_most([slots[s] for s in JOINTS], [share_of[s] for s in JOINTS]).flatten(1)
        posed = F.relu(self.joints_norm(self.joints(posed)))  # (B, J * D)
        vectors = torch.cat([placed, posed], dim=1).reshape(clips, len(STREAMS), self.mix.out_channels)
        return maps, self.absent + filled.clamp(max=1.0) * (vectors - self.absent)


def _mean_and_most(slots: list[Tensor], shares: list[Tensor]) -> Tensor:
    """Of n streams (B, T, D, ...), each with the share of every slot in its mean (B, 1, T) -> (B, 2n, all of D, ...).

    The mean is a product: ONNX Runtime sums along the first axis five times slower (DECISIONS.md). A maximum needs no
    mask, as slots are never negative.
    """
    flat = [some.flatten(2) for some in slots]
    both = zip(shares, flat, strict=True)
    return torch.cat([part for share, some in both for part in (share @ some, some.amax(dim=1, keepdim=True))], dim=1)
