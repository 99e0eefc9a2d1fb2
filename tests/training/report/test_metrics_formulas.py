"""Metrics against their definitions in NumPy, on random answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from codriver.tasks import AIDE
from tests.formulas import metrics as formulas
from training.data.clips import Clip
from training.report.metrics import reliability, score, task_scores
from workshop.resampling import (
    BootstrapConfig,
    confusions,
    interval,
    intervals,
    mean_accuracy,
    mean_accuracy_interval,
    resample,
)
from workshop.statistics import holm, paired_tests

pytestmark = pytest.mark.torch
SEEDS = pytest.mark.parametrize("seed", range(8))


@dataclass
class Answers:
    truth: np.ndarray  # (n,)
    probabilities: np.ndarray  # (n, K)

    @property
    def answer(self) -> np.ndarray:
        return self.probabilities.argmax(axis=1)


def answers(seed: int, n: int = 60, classes: int = 5) -> Answers:
    """A model that is right more often than not; the last class has no label."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes - 1, n)
    logits = random.normal(size=(n, classes)) + 1.5 * np.eye(classes)[truth] * random.random((n, 1))
    return Answers(truth, np.exp(3 * logits) / np.exp(3 * logits).sum(axis=1, keepdims=True))


@SEEDS
def test_scores_are_their_definitions(seed: int) -> None:
    some = answers(seed)
    found = task_scores(some.truth, some.probabilities, majority=2)
    assert found.accuracy == pytest.approx(formulas.accuracy(some.truth, some.answer))
    assert found.macro_f1 == pytest.approx(formulas.macro_f1(some.truth, some.answer))
    assert found.balanced_accuracy == pytest.approx(formulas.balanced_accuracy(some.truth, some.answer))
    assert found.majority == pytest.approx((some.truth == 2).mean())
    assert found.ece == pytest.approx(formulas.ece(some.truth, some.probabilities, 15))


@SEEDS
@pytest.mark.parametrize("bins", [1, 4, 15])
def test_reliability_is_its_definition_in_any_number_of_bins(seed: int, bins: int) -> None:
    some = answers(seed)
    found = reliability(some.truth, some.probabilities, bins)
    assert found.ece == pytest.approx(formulas.ece(some.truth, some.probabilities, bins))
    assert found.counts.sum() == len(some.truth) and len(found.counts) == bins


@SEEDS
def test_every_resample_has_the_metrics_of_the_clips_drawn(seed: int) -> None:
    some, config = answers(seed), BootstrapConfig(resamples=40, seed=seed, confidence=0.8)
    weights = resample(len(some.truth), config)
    found = intervals(confusions(some.truth, some.answer, 5, weights), config)
    metrics: dict[str, Any] = {
        "accuracy": formulas.accuracy,
        "macro_f1": formulas.macro_f1,
        "balanced_accuracy": formulas.balanced_accuracy,
    }
    for name, metric in metrics.items():
        drawn = [np.repeat(np.arange(len(some.truth)), row.astype(int)) for row in weights]
        values = [metric(some.truth[rows], some.answer[rows]) for rows in drawn]
        assert found[name] == pytest.approx(formulas.percentile_interval(values, 0.8)), name


@SEEDS
def test_the_mean_over_tasks_is_the_mean_of_means(seed: int) -> None:
    right, config = np.random.default_rng(seed).random((50, 4)) < 0.7, BootstrapConfig(resamples=30)
    assert mean_accuracy(right) == pytest.approx(np.mean([right[:, k].mean() for k in range(4)]))
    weights = resample(50, config)
    values = [np.mean([row @ right[:, k] / 50 for k in range(4)]) for row in weights]
    assert mean_accuracy_interval(right, weights, config) == pytest.approx(formulas.percentile_interval(values, 0.95))


def test_resamples_without_a_number_do_not_count_in_an_interval() -> None:
    values = np.array([0.1, np.nan, 0.2, 0.3, np.nan, 0.4])
    wanted = formulas.percentile_interval([0.1, 0.2, 0.3, 0.4], 0.95)
    assert interval(values, BootstrapConfig()) == pytest.approx(wanted)


@SEEDS
def test_two_runs_are_compared_by_the_exact_test(seed: int) -> None:
    random = np.random.default_rng(seed)
    a, b = random.random(40) < 0.8, random.random(40) < 0.6
    (found,) = paired_tests([(a, b)])
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    assert (found.lost, found.gained) == (only_a, only_b)
    assert found.p == pytest.approx(formulas.mcnemar_p(only_a, only_b))


@SEEDS
def test_several_questions_are_corrected_by_holm(seed: int) -> None:
    p_values = (np.random.default_rng(seed).random(6) ** 3).tolist()
    assert holm(p_values) == pytest.approx(formulas.holm(p_values))


def test_the_class_to_beat_is_the_one_that_training_saw_most() -> None:
    """Not the one that these clips hold most: who answers before seeing the test knows the training alone."""
    clips = [Clip({}, np.zeros(0, np.float32), np.array([0, 0, 0, 0]))] * 3 + [
        Clip({}, np.zeros(0, np.float32), np.array([1, 1, 1, 1]))
    ]
    even = {task.name: np.full((4, task.classes), 1 / task.classes) for task in AIDE.tasks}
    seen = {task.name: [1, 9] + [0] * (task.classes - 2) for task in AIDE.tasks}
    for counts, share in ((seen, 1 / 4), (None, 3 / 4)):
        found = score(even, clips, AIDE, counts)
        assert {some.majority for some in found.values()} == {share}
