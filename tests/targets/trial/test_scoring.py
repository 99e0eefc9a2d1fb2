"""Counting how often the answers are right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from codriver.errors import ConfigError
from codriver.perceiver import Perceiver
from codriver.percept import Percept
from codriver.tasks import AIDE
from targets.trial.scoring import NO_ANSWER, evaluate, macro_f1
from tests.tiny import tiny_steps


def last(perceiver: Perceiver, steps: list[Any]) -> dict[str, str | None]:
    perceiver.reset()
    percept = [perceiver.step(*step) for step in steps][-1]
    return {name: result.label for name, result in percept.tasks.items()}


def test_clips_labelled_with_the_models_own_answers_are_all_right(perceiver: Perceiver) -> None:
    clips = [(steps, last(perceiver, steps)) for steps in (tiny_steps(10, seed=seed) for seed in range(4))]
    scores = evaluate(perceiver, clips)  # type: ignore[arg-type]
    assert list(scores) == list(AIDE.names)
    for score in scores.values():
        assert score.accuracy == score.macro_f1 == 1.0
        assert score.n == score.answered == 4
        assert score.probabilities.shape == (4, len(score.classes))
        np.testing.assert_allclose(score.probabilities.sum(axis=1), 1.0)
        np.testing.assert_array_equal(score.probabilities.argmax(axis=1), score.predictions)


def test_labels_are_names_or_indices_and_tasks_may_lack_them(perceiver: Perceiver) -> None:
    steps = tiny_steps(10)
    scores = evaluate(perceiver, [(steps, {"driver_emotion": "Peace"}), (steps, {"driver_emotion": 4})])
    assert scores["driver_emotion"].labels.tolist() == [1, 4]
    assert scores["driver_behavior"].n == 0
    assert scores["driver_behavior"].to_dict() == {"accuracy": None, "macro_f1": None, "n": 0, "answered": 0}


def test_an_answer_that_is_not_given_counts_as_wrong(perceiver: Perceiver) -> None:
    score = evaluate(perceiver, [(tiny_steps(3), {"driver_emotion": 0})])["driver_emotion"]
    assert score.predictions.tolist() == [NO_ANSWER] and not score.probabilities.any()
    assert (score.accuracy, score.answered, score.n) == (0.0, 0, 1)


def test_clips_do_not_see_each_other(perceiver: Perceiver) -> None:
    labels = {"driver_emotion": 0}
    one, two = (tiny_steps(10, seed=seed) for seed in (1, 2))
    both = evaluate(perceiver, [(one, labels), (two, labels)])["driver_emotion"]
    alone = evaluate(perceiver, [(two, labels)])["driver_emotion"]
    np.testing.assert_array_equal(both.probabilities[1], alone.probabilities[0])


def test_clips_are_read_one_step_at_a_time(perceiver: Perceiver) -> None:
    alive = 0

    def steps() -> Iterator[Any]:
        nonlocal alive
        for step in tiny_steps(9):
            alive += 1
            yield step

    evaluate(perceiver, ((steps(), {"driver_emotion": 0}) for _ in range(2)))
    assert alive == 18


def test_every_percept_is_shown_to_whoever_watches(perceiver: Perceiver) -> None:
    seen: list[Percept] = []
    evaluate(perceiver, [(tiny_steps(3), {}), (tiny_steps(2), {})], watch=seen.append)
    assert [percept.t for percept in seen] == [0.0, 0.2, 0.4, 0.0, 0.2]
    assert all(percept.latency_ms["total"] > 0 for percept in seen)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"weather": 0}, "clip 0: label for 'weather', but the bundle answers driver_emotion"),
        ({"driver_emotion": "Bliss"}, "driver_emotion is 'Bliss', expected one of Anxiety"),
        ({"driver_emotion": 5}, "driver_emotion is 5, expected 0 to 4"),
        ({"driver_emotion": -1}, "driver_emotion is -1, expected 0 to 4"),
    ],
)
def test_labels_that_cannot_be_meant_are_refused(
    perceiver: Perceiver, labels: dict[str, str | int], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        evaluate(perceiver, [(tiny_steps(1), labels)])


def test_a_clip_without_steps_is_refused(perceiver: Perceiver) -> None:
    with pytest.raises(ConfigError, match="clip 1: got no step"):
        evaluate(perceiver, [(tiny_steps(1), {}), ([], {})])


def f1(labels: list[int], predictions: list[int]) -> float:
    return macro_f1(np.array(labels, np.int64), np.array(predictions, np.int64))


def test_macro_f1_averages_over_the_classes_that_are_labelled() -> None:
    assert f1([0, 0, 1, 1], [0, 0, 1, 1]) == 1.0
    assert f1([0, 0, 1, 1], [0, 0, 0, 0]) == pytest.approx((2 * 2 / 6 + 0) / 2)
    assert f1([0, 0, 0], [0, 0, 2]) == pytest.approx(2 * 2 / 5)  # class 2 is predicted but never labelled
    assert f1([3], [NO_ANSWER]) == 0.0
    assert np.isnan(f1([], []))
