"""Probabilities over the steps of a slot: the rhythm of steps that come faster than slots is gone, all else stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from codriver.answers.results import task_results
from codriver.answers.slot_mean import SlotMean
from codriver.bundle.manifest import TaskSpec
from codriver.percept import TaskResult
from tests.tiny import tiny_manifest

SLOT_S = 0.2


def answers(times_s: list[float], values: list[float]) -> list[float]:
    mean = SlotMean(SLOT_S)
    return [mean.of((value, 1 - value), t)[0] for t, value in zip(times_s, values, strict=True)]


def test_a_rhythm_of_three_at_15_hz_is_gone_once_a_slot_has_passed() -> None:
    times_s = [number / 15 for number in range(30)]
    found = answers(times_s, [(0.3, 0.6, 0.9)[number % 3] for number in range(30)])
    assert found[:3] == pytest.approx([0.3, 0.45, 0.6])
    assert found[2:] == pytest.approx([0.6] * 28)


@pytest.mark.parametrize("rate_hz", [10, 15, 20, 30, 60])
def test_all_steps_of_a_slot_count_alike_whatever_the_rate(rate_hz: int) -> None:
    """Against a mean written apart: of the last steps that a slot holds."""
    times_s = [7 + number / rate_hz for number in range(4 * rate_hz)]
    values = np.random.default_rng(rate_hz).random(len(times_s))
    size = round(SLOT_S * rate_hz)
    expected = [values[max(0, k + 1 - size) : k + 1].mean() for k in range(len(values))]
    assert answers(times_s, list(values)) == pytest.approx(expected)


@pytest.mark.parametrize("jitter_s", [0.0, 0.01, -0.01])
def test_steps_a_slot_apart_are_the_answers_themselves(jitter_s: float) -> None:
    times_s = [number * SLOT_S + jitter_s * (number % 2) for number in range(20)]
    values = [number / 20 for number in range(20)]
    assert answers(times_s, values) == values


def test_what_was_before_it_was_cleared_does_not_count() -> None:
    mean = SlotMean(SLOT_S)
    mean.of((1.0, 0.0), 0.0)
    mean.clear()
    assert mean.of((0.0, 1.0), 0.05) == (0.0, 1.0)


def test_they_still_sum_to_one() -> None:
    mean, rng = SlotMean(SLOT_S), np.random.default_rng(0)
    for number in range(50):
        assert sum(mean.of(rng.dirichlet(np.ones(7)).tolist(), number / 30)) == pytest.approx(1.0)


MANIFEST = replace(
    tiny_manifest(), tasks=(TaskSpec(name="traffic", labels=("a", "b", "c"), needs_any=("front",), unknown_below=0.5),)
)


def result(mean: SlotMean, t: float, *probabilities: float, seen: bool = True) -> TaskResult:
    """The answer to a step whose own probabilities are these."""
    logits = {"traffic": np.log(np.array([probabilities], np.float32) + np.float32(1e-30))}
    rows = {"front": [seen] * MANIFEST.context.slots}
    return task_results(MANIFEST, logits, rows, False, {"traffic": mean}, t)["traffic"]


def test_label_and_reason_follow_the_mean() -> None:
    mean = SlotMean(SLOT_S)
    result(mean, 0.0, 0.9, 0.1, 0.0)
    found = result(mean, 1 / 15, 0.0, 0.7, 0.3)
    assert (found.label, found.reason) == ("unknown", "a is likeliest at 0.45, below 0.5")
    assert found.probabilities == pytest.approx({"a": 0.45, "b": 0.4, "c": 0.15})


def test_a_step_without_an_answer_stays_one_and_what_was_before_counts_no_more() -> None:
    mean = SlotMean(SLOT_S)
    result(mean, 0.0, 1.0, 0.0, 0.0)
    assert not result(mean, 0.05, 1.0, 0.0, 0.0, seen=False).valid
    assert result(mean, 0.1, 0.0, 1.0, 0.0).label == "b"
