"""The temporal aggregation from its description, one clip at a time. T slots · D width · N cells."""

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


def pool(slots: Floats, present: Floats, weights: Mapping[str, Floats]) -> Floats:
    """Slots (T, D, N) and which are there (T,) -> mean and maximum over those, (2D, N).

    Each slot takes in its two neighbours in time; one that is absent is zero for them, and counts nowhere. The maximum
    never falls below zero where a slot is absent, because what is absent is zero.
    """
    there = present[:, None, None]
    x = slots * there
    before, after = np.roll(x, 1, axis=0), np.roll(x, -1, axis=0)
    before[0] = after[-1] = 0
    kernel = weights["along_time.weight"][:, :, :, 0]  # (D, D, 3)
    mixed = sum(np.einsum("oc,tcn->ton", kernel[:, :, k], part) for k, part in enumerate((before, x, after)))
    normal = np.moveaxis(normalise(np.moveaxis(np.asarray(mixed), 1, 0), weights, "time_norm"), 0, 1)
    x = (x + np.maximum(normal, 0)) * there
    return np.concatenate([x.sum(axis=0) / max(present.sum(), 1), x.max(axis=0)])


def aggregate(pooled: Floats, present: Floats, weights: Mapping[str, Floats]) -> Floats:
    """Pooled (2D, N) -> (D, N): each cell's own mix plus one projection that sees all cells; a token where all is
    absent."""
    if not present.any():
        return np.repeat(weights["absent"].reshape(-1, 1), pooled.shape[1], axis=1)
    mixed = normalise(weights["mix.weight"][:, :, 0, 0] @ pooled, weights, "norm")
    placed = normalise((weights["place.weight"] @ pooled.ravel())[:, None], weights, "place_norm")
    return np.maximum(mixed + placed, 0)
