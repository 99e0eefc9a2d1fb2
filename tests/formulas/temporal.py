"""What slots remember and what is read from them, from its description, one clip at a time.

T slots · D width · N cells
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
EPS = 1e-5


def normalise(x: Floats, weights: Mapping[str, Floats], name: str) -> Floats:
    """Batch normalisation at rest; channels are x's first axis."""
    shape = (-1, *[1] * (x.ndim - 1))
    mean, variance, gain, shift = (
        weights[f"{name}.{part}"].reshape(shape) for part in ("running_mean", "running_var", "weight", "bias")
    )
    return np.asarray((x - mean) / np.sqrt(variance + EPS) * gain + shift)


def remember(motion: Floats, before: Floats, weights: Mapping[str, Floats]) -> Floats:
    """A motion and the one a slot earlier, (D, N) each -> the slot, (D, N)."""
    mixed = sum(weights[f"{name}.weight"][:, :, 0, 0] @ some for name, some in (("now", motion), ("earlier", before)))
    return np.maximum(normalise(np.asarray(mixed), weights, "norm"), 0)


def pool(slots: Floats, present: Floats) -> Floats:
    """Slots (T, D, N), never negative, and which are there (T,) -> mean and maximum over those, (2D, N)."""
    there = slots[present > 0]
    if not len(there):
        return np.zeros((2 * slots.shape[1], slots.shape[2]))
    return np.concatenate([there.mean(axis=0), there.max(axis=0)])


def read_maps(pooled: list[Floats], weights: Mapping[str, Floats]) -> list[Floats]:
    """Of each image stream, pooled (2D, N) -> its map (D, N): every cell's own mix."""
    return [np.maximum(normalise(weights["mix.weight"][:, :, 0, 0] @ some, weights, "mix_norm"), 0) for some in pooled]


def read_vectors(images: list[Floats], joints: list[Floats], present: Floats, weights: Mapping[str, Floats]) -> Floats:
    """Pooled image streams (2D, N), then joint ones (2D, 1) -> a vector of each (S, D): what all cells of a narrow map
    tell, or all joints; a token where a stream is absent. present: (S,)."""
    placed = []
    for stream, some in enumerate(images):
        narrow = np.maximum(normalise(weights["narrow.weight"][:, :, 0, 0] @ some, weights, "narrow_norm"), 0)
        own = np.split(weights["place.weight"], len(images))[stream]
        placed.append(own.reshape(len(own), -1) @ narrow.ravel())
    placed = np.maximum(normalise(np.concatenate(placed), weights, "place_norm"), 0)
    posed = weights["joints.weight"] @ np.concatenate(joints).ravel()
    posed = np.maximum(normalise(posed, weights, "joints_norm"), 0)
    found = np.concatenate([placed, posed]).reshape(len(present), -1)
    return np.where(present[:, None] > 0, found, weights["absent"])
