"""Slots are picked by time."""

from __future__ import annotations

import numpy as np
import pytest

from codriver.window import ContextConfig, Memory, pick_slots

CONFIG = ContextConfig()


def feature(value: float) -> np.ndarray:
    return np.full((2, 3), value, dtype=np.float32)


def test_45_frames_at_15_hz_pick_aides_own_sampling() -> None:
    picked = pick_slots(np.arange(45) / 15, 44 / 15, CONFIG)
    assert picked.tolist() == [0, *range(2, 45, 3)]


@pytest.mark.parametrize("rate_hz", [5, 10, 15, 20, 30, 60])
def test_any_camera_rate_fills_the_slots_with_the_same_times(rate_hz: int) -> None:
    times_s = np.arange(4 * rate_hz + 1) / rate_hz
    picked = pick_slots(times_s, 4.0, CONFIG)
    np.testing.assert_allclose(times_s[picked], 4.0 - 0.2 * np.arange(15, -1, -1), atol=1 / rate_hz / 2)


def test_a_slot_without_a_frame_nearby_is_empty() -> None:
    times_s = np.array([0.0, 0.2, 0.6, 0.8])
    assert pick_slots(times_s, 0.8, CONFIG).tolist()[-5:] == [0, 1, -1, 2, 3]


def test_no_frames_fill_no_slot() -> None:
    assert (pick_slots(np.zeros(0), 1.0, CONFIG) == -1).all()


@pytest.mark.parametrize("start_s", [0.0, 1e6, 1.7e9])
def test_large_clock_values_pick_the_same_slots(start_s: float) -> None:
    times_s = start_s + np.arange(45) / 15
    assert pick_slots(times_s, times_s[-1], CONFIG).tolist() == [0, *range(2, 45, 3)]


def test_memory_fills_slots_oldest_first_and_zeros_the_rest() -> None:
    memory = Memory(CONFIG)
    for step in range(3):
        memory.push(feature(step + 1), 0.2 * step)
    out = np.full((16, 2, 3), 9, dtype=np.float32)
    filled = memory.fill(0.4, out)
    assert filled.tolist() == [False] * 13 + [True] * 3
    assert out[:, 0, 0].tolist() == [0] * 13 + [1, 2, 3]
    assert (out == out[:, :1, :1]).all()


def test_memory_forgets_what_no_slot_can_reach() -> None:
    memory = Memory(CONFIG)
    for step in range(1000):
        memory.push(feature(step), step / 30)
    assert len(memory) <= 30 * CONFIG.span_s + 2


def test_memory_is_bounded_however_fast_frames_come_and_keeps_the_newest() -> None:
    memory = Memory(CONFIG)
    for step in range(5000):
        memory.push(feature(step), step / 1000)
        assert memory.newest_s == step / 1000
    assert len(memory) <= CONFIG.max_rate_hz * CONFIG.span_s + 2


def test_a_gap_longer_than_the_context_empties_it() -> None:
    memory = Memory(CONFIG)
    memory.push(feature(1), 0.0)
    memory.push(feature(2), 10.0)
    assert memory.fill(10.0, np.zeros((16, 2, 3), np.float32)).sum() == 1
    assert len(memory) == 1


def test_clear_forgets_everything() -> None:
    memory = Memory(CONFIG)
    memory.push(feature(1), 0.0)
    memory.clear()
    assert len(memory) == 0 and memory.newest_s is None
