"""Weights by how far each task still is: the formula, its bounds, what lessons of another kind do; and fixed ones."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from codriver.errors import ConfigError  # noqa: E402
from training.losses.dynamics import LEAST, MOST, Fixed, LearningDynamics, held  # noqa: E402

pytestmark = pytest.mark.torch
ALL = torch.ones(4, dtype=torch.bool)


def feed(weighting: LearningDynamics, losses: list[float], times: int) -> list[float]:
    for _ in range(times):
        _, weights = weighting(torch.tensor(losses), ALL, None)
    return weights.tolist()


@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.5])
def test_weights_are_the_power_of_the_level_with_a_mean_of_one(alpha: float) -> None:
    levels = [0.8, 1.0, 1.1, 1.3]
    powers = [level**alpha for level in levels]
    expected = [4 * power / sum(powers) for power in powers]
    assert feed(LearningDynamics(ALL, alpha, 50), levels, 60) == pytest.approx(expected, rel=1e-4)


def test_the_level_is_a_mean_at_first_and_then_forgets_at_the_window() -> None:
    weighting = LearningDynamics(ALL, 1.0, 4)
    level = 0.0
    for step, loss in enumerate([1.0, 0.5, 0.9, 0.3, 0.2, 0.6], start=1):
        feed(weighting, [loss, 1.0, 1.0, 1.0], 1)
        level += (loss - level) / min(step, 4)
        assert float(weighting.level[0]) == pytest.approx(level, rel=1e-5)


def test_no_weight_leaves_its_bounds_and_the_mean_stays_one() -> None:
    for losses in ([0.001, 1.0, 1.0, 1.0], [0.01, 0.01, 0.01, 1.0], [0.0, 0.0, 0.0, 0.0]):
        weights = feed(LearningDynamics(ALL, 1.5, 5), losses, 30)
        assert (
            min(weights) >= LEAST - 1e-5
            and max(weights) <= MOST + 1e-5
            and sum(weights) == pytest.approx(4.0, rel=1e-3)
        )
    some = torch.tensor([True, False, True, False])
    assert held(torch.tensor([1.0, 5.0, 3.0, 5.0]), some).tolist() == pytest.approx([0.5, 0.0, 1.5, 0.0])


def test_after_lessons_of_another_kind_weights_wait_and_then_follow_these_alone() -> None:
    weighting = LearningDynamics(ALL, 1.0, 50)
    before = feed(weighting, [0.5, 1.0, 1.0, 1.0], 80)
    weighting.forget()
    assert feed(weighting, [1.0, 1.0, 1.0, 0.5], 9) == before
    assert feed(weighting, [1.0, 1.0, 1.0, 0.5], 1) == pytest.approx(before[::-1], rel=1e-4)


def test_a_task_without_labels_or_with_a_broken_loss_keeps_its_level() -> None:
    weighting = LearningDynamics(ALL, 1.0, 5)
    feed(weighting, [0.5, 0.5, 1.0, 1.0], 10)
    weighting(torch.tensor([9.0, float("inf"), 1.0, 1.0]), torch.tensor([False, True, True, True]), None)
    assert weighting.level.tolist() == pytest.approx([0.5, 0.5, 1.0, 1.0])


def test_processes_agree_at_the_end_of_an_epoch() -> None:
    weighting = LearningDynamics(ALL, 1.0, 5)
    feed(weighting, [0.5, 1.0, 1.0, 1.0], 9)
    weighting.synchronise(lambda own: own + torch.full_like(own, 1.0))  # the other process: levels of 1
    assert weighting.level.tolist() == pytest.approx([0.75, 1.0, 1.0, 1.0])


def test_fixed_weights_are_scaled_to_a_mean_of_one_over_the_trained_tasks() -> None:
    losses = torch.ones(4)
    assert Fixed(ALL, [1, 2, 3, 2])(losses, ALL, None)[1].tolist() == [0.5, 1.0, 1.5, 1.0]
    assert Fixed(torch.tensor([True, True, False, False]), [1, 3, 5, 5])(losses, ALL, None)[1].tolist() == [
        0.5,
        1.5,
        0,
        0,
    ]


def test_what_makes_no_sense_is_refused() -> None:
    for wrong in ([], [1.0, 1.0], [0.0] * 4, [-1.0, 1.0, 1.0, 1.0]):
        with pytest.raises(ConfigError, match="one a task"):
            Fixed(ALL, wrong)
    with pytest.raises(ConfigError, match="alpha"):
        LearningDynamics(ALL, -1.0, 50)
