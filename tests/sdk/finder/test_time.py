"""Smoothing and hysteresis by themselves."""

from __future__ import annotations

import numpy as np
import pytest

from codriver.finder.presence import Presence
from codriver.finder.smooth import BETA, SPEED_HZ, STILL_HZ, Smoother, jumped


def corners(x: float, size: float = 0.2) -> np.ndarray:
    """(2, 2) the two corners of one box."""
    return np.array([[x, 0.4], [x + size, 0.4 + size]], np.float32)


def run(places: list[float], step_s: float = 0.2) -> list[float]:
    smoother = Smoother()
    found = []
    for number, x in enumerate(places):
        points = corners(x)
        found.append(float(smoother.update(points, points.reshape(1, 4), number * step_s)[0, 0]))
    return found


def one_euro(places: list[float], step_s: float) -> list[float]:
    """The paper's algorithm 1, one number at a time."""

    def alpha(cutoff_hz: float) -> float:
        tau = 1 / (2 * np.pi * cutoff_hz)
        return 1 / (1 + tau / step_s)

    x, dx, found = places[0], 0.0, [places[0]]
    for raw in places[1:]:
        dx += alpha(SPEED_HZ) * ((raw - x) / step_s - dx)
        x += alpha(STILL_HZ + BETA * abs(dx)) * (raw - x)
        found.append(x)
    return found


def test_it_is_the_one_euro_filter() -> None:
    places = (0.3 + np.random.default_rng(0).normal(0, 0.01, 40)).tolist()
    assert run(places) == pytest.approx(one_euro(places, 0.2), abs=1e-5)


def test_a_still_point_trembles_less_and_a_moving_one_is_followed() -> None:
    noise = np.random.default_rng(1).normal(0, 0.005, 200)
    still = np.array(run((0.3 + noise).tolist()))
    assert np.abs(np.diff(still)).mean() < 0.65 * np.abs(np.diff(noise)).mean()
    ramp = np.linspace(0.1, 0.6, 20)
    assert abs(run(ramp.tolist())[-1] - 0.6) < 0.02


def test_after_a_pause_it_begins_anew() -> None:
    smoother = Smoother()
    for t, x in ((0.0, 0.3), (0.2, 0.3), (2.0, 0.33)):
        points = corners(x)
        found = smoother.update(points, points.reshape(1, 4), t)
    assert found[0, 0] == np.float32(0.33)


def test_a_jump_is_half_of_the_box_it_was() -> None:
    box = np.array([[0.2, 0.2, 0.4, 0.4]], np.float32)
    near, far = box + np.float32([0.09, 0, 0.09, 0]), box + np.float32([0, 0.11, 0, 0.11])
    assert not jumped(near, box) and jumped(far, box)


def test_presence_changes_after_it_was_seen_otherwise_for_long_enough() -> None:
    presence = Presence(present_s=0.4, absent_s=0.2)
    told = [presence.update(p, 0.1 * n) for n, p in enumerate([0.9, 0.1, 0.9, 0.1, 0.1, 0.1, 0.9, 0.9, 0.9, 0.9, 0.9])]
    assert told == [True, True, True, True, True, False, False, False, False, False, True]


def test_somebody_half_sure_to_be_the_driver_is_none_and_a_driver_half_sure_stays_one() -> None:
    presence = Presence(present_s=0.4, absent_s=0.2, present_from=0.95)
    doubtful = [presence.update(probability, 0.2 * k) for k, probability in enumerate([0.9, 0.6, 0.94, 0.9, 0.94])]
    sure = [presence.update(0.95, 1.0 + 0.2 * k) for k in range(3)]
    after = [presence.update(0.6, 1.6 + 0.2 * k) for k in range(3)]
    assert doubtful == [False] * 5 and sure == [False, False, True] and after == [True] * 3
