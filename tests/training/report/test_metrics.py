"""Metrics against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from codriver.tasks import AIDE
from training.report.metrics import COARSE, Scores, plain_scores, reliability, table, task_scores

pytestmark = pytest.mark.torch

TRUTH = np.array([0, 0, 0, 0, 1, 1])
ANSWER = np.array([0, 0, 0, 1, 1, 2])  # class 2 is answered, never labelled


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


def test_the_table_has_a_line_of_percents_for_each_task() -> None:
    emotion, traffic = AIDE["driver_emotion"], AIDE["traffic_context"]
    some = {emotion.name: Scores(0.5, 0.256, 0.4), traffic.name: Scores(1.0, 0.9, 0.0)}
    head, *rows = [line.split() for line in table(some, AIDE).splitlines()]
    assert head == ["task", "accuracy", "macro-F1", "majority"]
    assert rows == [[*emotion.title.split(), "50.0", "25.6", "40.0"], [*traffic.title.split(), "100.0", "90.0", "0.0"]]
