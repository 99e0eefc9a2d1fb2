"""What the finder is punished for: KL to a Gaussian along each axis, GIoU of soft-argmax boxes, BCE of presence."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from codriver.finder_graph import CORNERS, HIGH, LOW

SIGMA_BINS = 1.5  # of the Gaussian that stands for a point
BOX_WEIGHT, PRESENCE_WEIGHT = 1.0, 1.0


def finder_loss(outputs: tuple[Tensor, Tensor, Tensor], points: Tensor, weights: Tensor, presence: Tensor) -> Tensor:
    """points: (N, P, 2) shares of the frame. weights: (N, P), 0: not known. presence: (N, 3), NaN: not known."""
    x, y, present = outputs
    located = kl_along(x, points[..., 0]) + kl_along(y, points[..., 1])  # (N, P)
    known = weights.sum().clamp(min=1e-6)
    return (
        (located * weights).sum() / known
        + BOX_WEIGHT * box_loss(x, y, points, weights)
        + PRESENCE_WEIGHT * presence_loss(present, presence)
    )


def kl_along(logits: Tensor, shares: Tensor) -> Tensor:
    """KL of the Gaussian around each share to the softmax. logits: (N, P, bins). shares: (N, P). -> (N, P)"""
    bins = logits.shape[-1]
    sigma = SIGMA_BINS * (HIGH - LOW) / bins
    wanted = (-0.5 * ((centres(bins, logits) - shares[..., None]) / sigma) ** 2).log_softmax(dim=-1)
    return F.kl_div(logits.log_softmax(dim=-1), wanted, reduction="none", log_target=True).sum(dim=-1)


def centres(bins: int, like: Tensor) -> Tensor:
    return LOW + (torch.arange(bins, device=like.device, dtype=like.dtype) + 0.5) * ((HIGH - LOW) / bins)


def soft_points(x: Tensor, y: Tensor) -> Tensor:
    """Soft-argmax of logits (N, P, bins) along both axes -> (N, P, 2)."""
    return torch.stack([(a.softmax(dim=-1) * centres(a.shape[-1], a)).sum(dim=-1) for a in (x, y)], dim=-1)


def box_loss(x: Tensor, y: Tensor, points: Tensor, weights: Tensor) -> Tensor:
    """1 - GIoU of face and body, of those that are known."""
    rows = slice(-len(CORNERS), None)
    found = soft_points(x[:, rows], y[:, rows]).unflatten(1, (2, 2)).flatten(2)  # (N, 2, 4) low x, y, high x, y
    wanted = points[:, rows].unflatten(1, (2, 2)).flatten(2)
    known = weights[:, rows].unflatten(1, (2, 2)).amin(dim=-1)
    return ((1 - giou(found, wanted)) * known).sum() / known.sum().clamp(min=1e-6)


def giou(a: Tensor, b: Tensor) -> Tensor:
    """Generalized intersection over union (arXiv 1902.09630). a, b: (..., 4) low x, low y, high x, high y."""
    overlap = _area(torch.cat([torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])], dim=-1))
    hull = _area(torch.cat([torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:])], dim=-1))
    union = _area(a) + _area(b) - overlap
    return overlap / union.clamp(min=1e-9) - (hull - union) / hull.clamp(min=1e-9)


def _area(box: Tensor) -> Tensor:
    return (box[..., 2:] - box[..., :2]).clamp(min=0).prod(dim=-1)


def presence_loss(logits: Tensor, presence: Tensor) -> Tensor:
    known = torch.isfinite(presence)
    each = F.binary_cross_entropy_with_logits(logits, torch.nan_to_num(presence), reduction="none")
    return (each * known).sum() / known.sum().clamp(min=1)
