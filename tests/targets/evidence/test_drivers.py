"""Frames alone against annotations, from numbers alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score

from targets.evidence.drivers import by_certainty, changes
from targets.evidence.text import driver_table

N = 60


def task(predicted: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Of two classes, as targets.validate writes it."""
    shares = np.where(predicted[:, None] == [0, 1], 9000, 1000)
    told = {"classes": ["a", "b"], "labels": labels.tolist(), "predicted": predicted.tolist()}
    f1 = f1_score(labels, predicted, labels=[0, 1], average="macro", zero_division=0)
    return told | {"probabilities_e4": shares.tolist(), "accuracy": float((predicted == labels).mean()), "macro_f1": f1}


@pytest.fixture
def subject() -> dict[str, Any]:
    """The first ten clips are lost with frames alone, ten more without a face; the finder is unsure of the first."""
    labels = np.arange(N) % 2
    alone, faceless = labels.copy(), labels.copy()
    alone[:10] ^= 1
    faceless[:20] ^= 1
    ways = {"frames alone": alone, "without face": faceless}
    told = {way: {"driver_emotion": task(some, labels)} for way, some in ways.items()}
    certainty = np.linspace(0.1, 0.9, N).tolist()
    return {"tasks": {"driver_emotion": task(labels, labels)}, "driver": {"ways": told, "certainty": certainty}}


def test_frames_alone_are_held_against_annotations_and_a_missing_stream_against_frames_alone(subject: Any) -> None:
    alone, faceless = changes(subject)
    assert (alone.way, alone.against) == ("frames alone", "annotations")
    assert (faceless.way, faceless.against) == ("without face", "frames alone")
    assert alone.paired.difference == pytest.approx(-10 / 60) and (alone.paired.gained, alone.paired.lost) == (0, 10)
    assert alone.paired.p == pytest.approx(2 / 2**10) and faceless.paired.difference == pytest.approx(-10 / 60)


def test_macro_f1_changes_by_what_scikit_learn_says_and_lies_within_its_interval(subject: Any) -> None:
    f1 = {way: tasks["driver_emotion"]["macro_f1"] for way, tasks in subject["driver"]["ways"].items()}
    alone, faceless = changes(subject)
    assert alone.f1_difference == pytest.approx(f1["frames alone"] - 1.0)
    assert faceless.f1_difference == pytest.approx(f1["without face"] - f1["frames alone"])
    for some in (alone, faceless):
        assert some.f1_interval[0] < some.f1_difference < some.f1_interval[1] < 0


def test_clips_of_which_the_finder_was_least_sure_are_a_row_of_their_own(subject: Any) -> None:
    least, middle, most = by_certainty(subject)
    assert (least.n, middle.n, most.n) == (20, 20, 20) and least.high < middle.low < middle.high < most.low
    assert [some.accuracy["driver_emotion"] for some in (least, middle, most)] == [0.5, 1.0, 1.0]
    assert least.annotated == {"driver_emotion": 1.0}


def test_a_subject_without_a_finder_has_no_such_rows(subject: Any) -> None:
    del subject["driver"]
    assert changes(subject) == [] and by_certainty(subject) == [] and driver_table(subject) == []


def test_the_terminal_says_what_frames_alone_cost(subject: Any) -> None:
    text = "\n".join(driver_table(subject))
    assert "frames alone, against annotations" in text and "-16.7" in text and "0.002" in text
