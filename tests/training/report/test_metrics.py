"""Metrics against numbers worked out by hand, and the resampled ones against scikit-learn."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

pytest.importorskip("torch")

from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from codriver.tasks import AIDE
from training.report.metrics import (
    COARSE,
    BootstrapConfig,
    accuracy_of,
    balanced_accuracy_of,
    confusions,
    holm,
    interval,
    intervals,
    macro_f1_of,
    mcnemar,
    mean_accuracy,
    mean_accuracy_interval,
    plain_scores,
    reliability,
    resample,
    task_scores,
)

pytestmark = pytest.mark.torch

TRUTH = np.array([0, 0, 0, 0, 1, 1])
ANSWER = np.array([0, 0, 0, 1, 1, 2])  # class 2 is answered, never labelled
QUICK = BootstrapConfig(resamples=400)


def test_scores_are_those_worked_out_by_hand() -> None:
    scores = plain_scores(TRUTH, ANSWER, majority=0)
    assert scores.accuracy == pytest.approx(4 / 6) and scores.majority == pytest.approx(4 / 6)
    assert scores.balanced_accuracy == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert scores.macro_f1 == pytest.approx((6 / 7 + 2 / 4) / 2)  # over classes 0 and 1 only


def test_a_confidence_that_keeps_its_word_has_no_calibration_error() -> None:
    truth = np.array([0] * 8 + [1] * 2)
    probabilities = np.tile([0.8, 0.2], (10, 1))
    assert reliability(truth, probabilities).ece == pytest.approx(0.0)


def test_overconfidence_is_the_calibration_error() -> None:
    truth = np.array([0] * 5 + [1] * 5)
    assert reliability(truth, np.tile([0.9, 0.1], (10, 1))).ece == pytest.approx(0.4)
    assert task_scores(truth, np.tile([1.0, 0.0], (10, 1)), majority=0).ece == pytest.approx(0.5)


def test_bins_hold_every_clip_and_their_own_means() -> None:
    probabilities = np.array([[1.0, 0.0], [0.52, 0.48], [0.54, 0.46], [0.5, 0.5]])
    found = reliability(np.array([0, 0, 1, 0]), probabilities, bins=2)
    assert found.counts.tolist() == [1, 3]
    assert found.confidence.tolist() == pytest.approx([0.5, (1.0 + 0.52 + 0.54) / 3])
    assert found.accuracy.tolist() == pytest.approx([1.0, 2 / 3])


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


def test_mcnemar_is_the_binomial_on_the_clips_that_differ() -> None:
    a = np.array([True] * 20 + [True] * 1 + [False] * 7)
    b = np.array([True] * 20 + [False] * 1 + [True] * 7)
    test = mcnemar(a, b)
    assert (test.only_a, test.only_b) == (1, 7)
    assert test.p == pytest.approx(2 * (comb(8, 0) + comb(8, 1)) / 2**8)


def test_runs_that_agree_everywhere_have_p_one() -> None:
    assert mcnemar(np.array([True, False]), np.array([True, False])).p == 1.0


def test_holms_correction_keeps_order_and_never_exceeds_one() -> None:
    assert holm([0.01, 0.6, 0.02, 0.7]) == pytest.approx([0.04, 1.0, 0.06, 1.0])
    assert holm([0.03, 0.02]) == pytest.approx([0.04, 0.04])  # a larger p is never corrected below a smaller one


@pytest.mark.parametrize("coarse", COARSE, ids=lambda coarse: coarse.task)
def test_every_class_of_a_coarse_task_has_one_place(coarse) -> None:  # type: ignore[no-untyped-def]
    members = [label for some in coarse.members for label in some]
    assert sorted(members) == sorted(AIDE[coarse.task].labels) and len(coarse.members) == len(coarse.labels)


def test_emotions_merge_as_aides_counts_say() -> None:
    """Test split: 84 anxious, 363 at peace, 67 weary, 50 happy, 45 angry -> 196, 363, 50 (reference/model.md 2.5)."""
    fine = np.repeat(np.arange(5), [84, 363, 67, 50, 45])
    assert np.bincount(COARSE[0].merge(fine, AIDE["driver_emotion"])).tolist() == [196, 363, 50]


def test_only_normal_driving_is_normal() -> None:
    merged = COARSE[1].merge(np.arange(7), AIDE["driver_behavior"])
    assert [COARSE[1].labels[index] for index in merged].count("Normal") == 1
    assert COARSE[1].labels[merged[4]] == "Normal"
