"""The clock of a clip and the small curves that everything moving is made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Curve = NDArray[np.float64]

FRAMES = 45
RATE_HZ = 15.0
MIDDLE = FRAMES // 2
TIME_S: Curve = np.arange(FRAMES) / RATE_HZ


def rng_for(seed: int, *path: int) -> np.random.Generator:
    """One independent stream per (seed, path), so that no order of work can change a clip."""
    return np.random.default_rng([seed, *path])


def wander(rng: np.random.Generator, size: float, slowest_s: float = 4.0, fastest_s: float = 1.0) -> Curve:
    """A smooth aimless curve of about `size` standard deviation: four sines with random phase."""
    periods = rng.uniform(fastest_s, slowest_s, 4)[:, None]
    phases = rng.uniform(0, 2 * np.pi, 4)[:, None]
    curve: Curve = np.sin(2 * np.pi * TIME_S / periods + phases).sum(axis=0)
    return np.asarray(size * curve / np.sqrt(2.0))


def bump(center_s: float, width_s: float) -> Curve:
    """0..1..0, a raised cosine of full width `width_s`."""
    phase = np.clip((TIME_S - center_s) / width_s, -0.5, 0.5)
    curve: Curve = 0.5 + 0.5 * np.cos(2 * np.pi * phase)
    return curve


def ramp(start_s: float, length_s: float) -> Curve:
    """0 before, 1 after, smooth between."""
    phase = np.clip((TIME_S - start_s) / length_s, 0.0, 1.0)
    curve: Curve = phase * phase * (3 - 2 * phase)
    return curve


def pulses(times_s: Curve, width_s: float) -> Curve:
    """The strongest of several bumps at each instant: blinks."""
    if len(times_s) == 0:
        return np.zeros(FRAMES)
    curve: Curve = np.max([bump(float(t), width_s) for t in times_s], axis=0)
    return curve


def poisson_times(rng: np.random.Generator, rate_hz: float) -> Curve:
    """Event times over the clip, with a margin so that an event can be under way at its start."""
    length_s = FRAMES / RATE_HZ + 0.6
    return np.sort(rng.uniform(-0.3, length_s - 0.3, rng.poisson(rate_hz * length_s)))
