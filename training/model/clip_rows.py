"""A whole clip at once: which rows of a group's batch are a stream's frames, its slots, and those one slot earlier."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def earlier(motions: Tensor, rows: Tensor) -> Tensor:
    """(M, ...) motions and of each the row of the one a slot earlier, -1 where there is none -> those, or zeros."""
    return torch.cat([motions, torch.zeros_like(motions[:1])])[rows]


def remembered(mask: Tensor) -> Tensor:
    """(B, S, T) where frames are -> where slots are: a slot tells what changed, so the one before must be there too."""
    return torch.cat([torch.zeros_like(mask[..., :1]), mask[..., 1:] * mask[..., :-1]], dim=-1)


def split_like(batch: Tensor, members: tuple[str, ...], where: dict[str, Tensor]) -> tuple[Tensor, ...]:
    """Cut a group's batch back into its streams; stream s holds as many rows as `where[s]` has true entries."""
    parts: tuple[Tensor, ...] = batch.split([int(where[s].sum()) for s in members])
    return parts


def rows_of(members: tuple[str, ...], where: dict[str, Tensor], moved: dict[str, Tensor]) -> Tensor:
    """(3, M): for each slot of a group, rows of its frame and of the frame a slot earlier in the group's batch of
    frames, and of the slot a slot earlier among these M, -1 where that remembers nothing.

    The batch holds the frames at `where` (B, T) of one member after another; slots are those at `moved` (B, T).
    """
    frames, slots, first_frame, first_slot = [], [], 0, 0
    for stream in members:
        there, kept = where[stream], moved[stream]
        frames.append(first_frame + _order(there)[kept])
        follows = F.pad(kept[:, :-1], (1, 0))[kept]
        slots.append(torch.where(follows, first_slot + _order(kept)[kept] - 1, -1))
        first_frame += int(there.sum())
        first_slot += int(kept.sum())
    now = torch.cat(frames)
    return torch.stack([now, now - 1, torch.cat(slots)])  # a clip's slots lie in order, and the frame before is there


def _order(there: Tensor) -> Tensor:
    """(B, T) of bool -> how many true entries lie before each, clip after clip."""
    return there.flatten().cumsum(dim=0).reshape(there.shape) - 1
