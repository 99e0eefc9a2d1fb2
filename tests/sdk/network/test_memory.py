"""Slots are picked by time."""

from __future__ import annotations

import numpy as np
import pytest

from codriver.config import ContextConfig
from codriver.network.memory import Memory, pick_slots

CONFIG = ContextConfig()


def feature(value: float) -> np.ndarray:
    return np.full((2, 3), value, dtype=np.float32)


def test_45_frames_at_15_hz_pick_aides_own_sampling() -> None:
    picked = pick_slots([number / 15 for number in range(45)], 44 / 15, CONFIG)
    assert picked == [0, *range(2, 45, 3)]


@pytest.mark.parametrize("rate_hz", [5, 10, 15, 20, 30, 60])
def test_any_camera_rate_fills_the_slots_with_the_same_times(rate_hz: int) -> None:
    times_s = [number / rate_hz for number in range(4 * rate_hz + 1)]
    picked = pick_slots(times_s, 4.0, CONFIG)
    np.testing.assert_allclose(np.array(times_s)[picked], 4.0 - 0.2 * np.arange(15, -1, -1), atol=1 / rate_hz / 2)


def test_a_slot_without_a_frame_nearby_is_empty() -> None:
    assert pick_slots([0.0, 0.2, 0.6, 0.8], 0.8, CONFIG)[-5:] == [0, 1, -1, 2, 3]


def test_no_frames_fill_no_slot() -> None:
    assert pick_slots([], 1.0, CONFIG) == [-1] * 16


@pytest.mark.parametrize("start_s", [0.0, 1e6, 1.7e9])
def test_large_clock_values_pick_the_same_slots(start_s: float) -> None:
    times_s = [start_s + number / 15 for number in range(45)]
    assert pick_slots(times_s, times_s[-1], CONFIG) == [0, *range(2, 45, 3)]


def test_memory_fills_slots_oldest_first_and_zeros_the_rest() -> None:
    memory = Memory(CONFIG, (2, 3))
    for step in range(3):
        memory.push(feature(step + 1), 0.2 * step)
    out = np.full((16, 2, 3), 9, dtype=np.float32)
    filled = memory.fill(0.4, out)
    assert filled == [False] * 13 + [True] * 3
    assert out[:, 0, 0].tolist() == [0] * 13 + [1, 2, 3]
    assert (out == out[:, :1, :1]).all()


def times_s(memory: Memory) -> list[float]:
    """Of what it remembers."""
    return list(memory._times_s)


def test_memory_forgets_what_no_slot_can_reach() -> None:
    memory = Memory(CONFIG, (2, 3))
    for step in range(1000):
        memory.push(feature(step), step / 30)
    assert len(times_s(memory)) <= 30 * CONFIG.span_s + 2


def test_memory_is_bounded_however_fast_frames_come_and_keeps_the_newest() -> None:
    memory = Memory(CONFIG, (2, 3))
    for step in range(5000):
        memory.push(feature(step), step / 1000)
        assert times_s(memory)[-1] == step / 1000
    assert len(times_s(memory)) <= CONFIG.max_rate_hz * CONFIG.span_s + 2


def test_a_gap_longer_than_the_context_empties_it() -> None:
    memory = Memory(CONFIG, (2, 3))
    memory.push(feature(1), 0.0)
    memory.push(feature(2), 10.0)
    assert sum(memory.fill(10.0, np.zeros((16, 2, 3), np.float32))) == 1
    assert len(times_s(memory)) == 1


def test_clear_forgets_everything() -> None:
    memory = Memory(CONFIG, (2, 3))
    memory.push(feature(1), 0.0)
    memory.clear()
    assert times_s(memory) == []


def as_a_list_would(kept: list[tuple[float, float]], now_s: float) -> list[float]:
    """What each slot holds, 0 where none is near: by the definition, without an array."""
    picked = []
    for back in reversed(range(CONFIG.slots)):
        at_s = now_s - CONFIG.slot_s * back
        near = [(abs(at_s - t), t, value) for t, value in kept if abs(at_s - t) <= CONFIG.tolerance_s + 1e-6]
        picked.append(min(near)[2] if near else 0.0)
    return picked


@pytest.mark.parametrize("rate_hz", [7.5, 30.0, 240.0])
def test_a_memory_holds_what_a_list_would_after_any_pushes_gaps_and_forgetting(rate_hz: float) -> None:
    random = np.random.default_rng(int(rate_hz))
    memory, kept, now_s = Memory(CONFIG, (1,)), list[tuple[float, float]](), 0.0
    out = np.zeros((16, 1), np.float32)
    for value in range(1, 3000):
        now_s += 1 / rate_hz if random.random() > 0.01 else random.uniform(0.1, 4.0)
        if random.random() < 0.01:
            since_s = now_s - random.uniform(0.0, 1.0)
            memory.forget_from(since_s)
            kept = [(t, known) for t, known in kept if t < since_s - 1e-6]
        absent = random.random() < 0.1
        if len(kept) >= 2 and kept[-1][0] - kept[-2][0] < 1 / CONFIG.max_rate_hz - 1e-6:
            kept.pop()
        kept = [
            (t, known) for t, known in [*kept, (now_s, 0.0 if absent else value)] if t >= now_s - CONFIG.span_s - 1e-6
        ]
        memory.push(None if absent else np.full(1, value, np.float32), now_s)
        filled = memory.fill(now_s, out)
        assert out[:, 0].tolist() == as_a_list_would(kept, now_s)
        assert filled == [picked > 0 for picked in out[:, 0].tolist()]


@pytest.mark.parametrize("rate_hz", [10, 30])
def test_a_memory_touches_no_more_rows_than_the_camera_fills(rate_hz: int) -> None:
    memory = Memory(CONFIG, (1,))
    for number in range(2000):
        memory.push(np.ones(1, np.float32), number / rate_hz)
    assert np.count_nonzero(memory._store) <= CONFIG.span_s * rate_hz + 1
