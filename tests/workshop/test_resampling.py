"""Resampled metrics against scikit-learn on every resample, and intervals against the textbook."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from workshop.resampling import (
    BootstrapConfig,
    accuracy_of,
    balanced_accuracy_of,
    confusions,
    interval,
    intervals,
    macro_f1_of,
    mean_accuracy,
    mean_accuracy_interval,
    paired_difference,
    resample,
)

pytestmark = pytest.mark.torch
QUICK = BootstrapConfig(resamples=400)


def test_metrics_of_confusion_matrices_are_those_of_scikit_learn_on_every_resample() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, 50)
    answer = np.where(rng.random(50) < 0.6, truth, rng.integers(0, 3, 50))
    weights = resample(50, BootstrapConfig(resamples=5))
    matrices = confusions(truth, answer, 4, weights)  # class 3 does not occur at all
    for index, weight in enumerate(weights):
        drawn = np.repeat(np.arange(50), weight.astype(int))
        t, a = truth[drawn], answer[drawn]
        f1 = f1_score(t, a, labels=np.unique(t), average="macro", zero_division=0)
        assert accuracy_of(matrices)[index] == pytest.approx(accuracy_score(t, a))
        assert macro_f1_of(matrices)[index] == pytest.approx(f1)
        assert balanced_accuracy_of(matrices)[index] == pytest.approx(balanced_accuracy_score(t, a))


def test_a_resample_has_as_many_clips_as_the_split_and_is_reproducible() -> None:
    weights = resample(30, QUICK)
    assert weights.shape == (400, 30) and (weights.sum(axis=1) == 30).all()
    assert np.array_equal(weights, resample(30, QUICK))


def test_an_interval_holds_the_value_and_shrinks_as_clips_grow() -> None:
    widths = []
    for n in (50, 800):
        truth = np.zeros(n, np.int64)
        answer = (np.arange(n) % 4 == 0).astype(np.int64)  # three of four are right
        low, high = intervals(confusions(truth, answer, 2, resample(n, QUICK)), QUICK)["accuracy"]
        assert low < 0.75 < high
        widths.append(high - low)
    assert widths[1] == pytest.approx(widths[0] / 4, rel=0.3)  # sixteen times the clips


def test_an_interval_of_accuracy_is_the_textbooks_on_many_clips() -> None:
    n = 609
    right = np.arange(n) < 457
    low, high = interval(resample(n, BootstrapConfig()) @ right / n, BootstrapConfig())
    assert (high - low) / 2 == pytest.approx(1.96 * np.sqrt(0.75 * 0.25 / n), rel=0.1)  # 3.4 points


def test_the_mean_over_tasks_draws_a_clip_with_all_its_answers() -> None:
    """Tasks that fail on the same clips vary together: four of them tell no more than one."""
    one = np.arange(200) % 2 == 0
    alike = np.stack([one] * 4, axis=1)
    apart = np.stack([one, ~one, one, ~one], axis=1)  # each clip has two right
    weights = resample(200, QUICK)
    assert mean_accuracy(alike) == mean_accuracy(apart) == 0.5
    assert mean_accuracy_interval(alike, weights, QUICK) == interval(weights @ one / 200, QUICK)
    assert mean_accuracy_interval(apart, weights, QUICK) == pytest.approx((0.5, 0.5))


def test_what_is_hard_for_both_models_cancels_in_their_difference() -> None:
    """Half of the clips are too hard for both: that alone would give each accuracy an interval of ten points."""
    a = (np.arange(400) % 2 == 0).astype(float)
    b = a.copy()
    b[:8:2] = 0.0
    found = paired_difference(a, b, resample(400, QUICK), QUICK)
    assert (found["accuracy_a"], found["accuracy_b"], found["difference"]) == pytest.approx((0.5, 0.49, -0.01))
    low, high = found["interval"]
    assert low < -0.01 < high <= 0 and high - low < 0.025
