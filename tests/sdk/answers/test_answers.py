"""From logits to an answer."""

from __future__ import annotations

import copy
import pickle  # noqa: TID251 -- to check that a percept survives it, as it does in multiprocessing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codriver.answers.answers import Answers
from codriver.answers.results import softmax, task_results, with_steady
from codriver.answers.slot_mean import SlotMean
from codriver.answers.smoothing import LabelSmoother
from codriver.bundle.manifest import TaskSpec
from codriver.bundle.manifest_json import read_manifest
from codriver.config import SmoothingConfig
from codriver.perceiver import Perceiver
from codriver.percept import Event, Percept, TaskResult, ViewStatus
from tests.tiny import tiny_manifest, tiny_steps


def test_softmax_sums_to_one_and_keeps_the_order() -> None:
    probabilities = softmax([1.0, 3.0, 2.0])
    assert sum(probabilities) == pytest.approx(1.0, abs=1e-15)
    assert np.argsort(probabilities).tolist() == [0, 2, 1]


@pytest.mark.parametrize("shift", [-3e38, -1e4, 0, 1e4, 3e38])
def test_softmax_of_extreme_logits_neither_overflows_nor_loses_them(shift: float) -> None:
    assert softmax([shift] * 4) == [0.25] * 4
    assert sum(softmax([shift, -shift])) == pytest.approx(1.0)


TASK = TaskSpec(name="traffic", labels=("a", "b", "c"), needs_any=("front",))
FULL = {"front": np.ones(16, bool)}


def answer(
    logits: list[float], rows: dict[str, np.ndarray] = FULL, starting: bool = False, **task: float
) -> TaskResult:
    manifest = replace(tiny_manifest(), tasks=(replace(TASK, **task),))
    means = {"traffic": SlotMean(manifest.context.slot_s)}
    return task_results(manifest, {"traffic": np.array([logits], np.float32)}, rows, starting, means, 0.0)["traffic"]


def test_a_temperature_flattens_probabilities_and_leaves_the_label() -> None:
    sharp, flat = answer([2.0, 0.0, 0.0]), answer([2.0, 0.0, 0.0], temperature=2.0)
    assert sharp.label == flat.label == "a"
    assert list(flat.probabilities.values()) == pytest.approx(softmax([1.0, 0.0, 0.0]))


def test_an_answer_below_the_threshold_is_unknown_and_keeps_its_probabilities() -> None:
    result = answer([2.0, 1.0, 0.0], unknown_below=0.7)
    assert (result.label, result.index, result.valid) == ("unknown", None, True)
    assert result.probability == result.probabilities["a"] == pytest.approx(0.6652, abs=1e-4)
    assert result.reason == "a is likeliest at 0.67, below 0.7"
    assert answer([2.0, 1.0, 0.0], unknown_below=0.66).label == "a"


def test_an_answer_at_the_threshold_is_given() -> None:
    assert answer([0.0, 0.0, -1000.0], unknown_below=0.5).label == "a"


@pytest.mark.parametrize(
    ("hold_s", "age", "valid"), [(0.0, 0, True), (0.0, 1, False), (0.39, 1, True), (0.39, 2, False), (0.4, 2, True)]
)
def test_a_view_may_be_held_for_as_long_as_the_task_says(hold_s: float, age: int, valid: bool) -> None:
    """age: slots of 0.2 s since the newest that is filled."""
    row = np.ones(16, bool)
    row[16 - age :] = False
    result = answer([1.0, 0.0, 0.0], {"front": row}, hold_s=hold_s)
    assert result.valid == valid and ("no frame to trust from front" in result.reason) != valid


def test_an_answer_needs_half_a_context_of_its_own_views() -> None:
    row = np.zeros(16, bool)
    row[-7:] = True
    assert (
        answer([1.0, 0.0, 0.0], {"front": row, "incar": np.ones(16, bool)}).reason == "gathering context: 1.4 of 1.6 s"
    )
    row[-8] = True
    assert answer([1.0, 0.0, 0.0], {"front": row, "incar": np.zeros(16, bool)}).valid


# A step's percept

SEEN = ViewStatus(status="ok", age_s=0.0, reason="")


def step(answers: Answers, filled: int, views: dict[str, ViewStatus], t: float = 0.0, winner: int = 0) -> Percept:
    """A step whose context holds the newest `filled` slots of every view, and whose logits prefer one class of each."""
    manifest = tiny_manifest()
    row = np.arange(16) >= 16 - filled
    logits = {task.name: np.eye(1, len(task.labels), winner, np.float32) for task in manifest.tasks}
    return answers.percept(t, ({view: row for view in manifest.views}, logits), views, ())


def test_a_percept_says_which_share_of_the_context_is_filled() -> None:
    answers = Answers(tiny_manifest(), SmoothingConfig())
    views = dict.fromkeys(tiny_manifest().views, SEEN)
    assert [step(answers, filled, views).context for filled in (0, 4, 16)] == [0.0, 0.25, 1.0]


def test_a_percepts_probabilities_are_the_mean_over_a_slot_and_begin_anew_with_the_answers() -> None:
    answers, views = Answers(tiny_manifest(), SmoothingConfig()), dict.fromkeys(tiny_manifest().views, SEEN)
    task = tiny_manifest().tasks[0]
    first, second = (softmax(np.eye(1, len(task.labels), winner)[0].tolist()) for winner in (0, 1))
    for t, winner, expected in ((0.0, 0, first), (0.1, 1, np.mean([first, second], axis=0)), (0.2, 1, second)):
        result = step(answers, 16, views, t, winner).tasks[task.name]
        assert list(result.probabilities.values()) == pytest.approx(list(expected))
    answers.clear()
    result = step(answers, 16, views, 0.21, 0).tasks[task.name]
    assert list(result.probabilities.values()) == pytest.approx(first)


def test_a_step_that_does_not_end_has_no_answer_no_number_of_its_own_and_the_cameras_as_they_were() -> None:
    answers, event = Answers(tiny_manifest(), SmoothingConfig()), Event("hung", "the engine hangs")
    assert {status.status for status in answers.invalid(0.0, event).views.values()} == {"never"}
    views = dict.fromkeys(tiny_manifest().views, SEEN)
    assert step(answers, 16, views).sequence == 0
    hung = answers.invalid(1.0, event)
    assert (hung.state, hung.context, hung.sequence, hung.deadline_missed) == ("invalid", 0.0, 1, True)
    assert hung.reasons == (event.text,) and hung.views == views
    assert not any(result.valid or result.label for result in hung.tasks.values())
    assert step(answers, 16, views).sequence == 1


@pytest.mark.parametrize(
    ("status", "state"), [("ok", "init"), ("refused", "init"), ("never", "init"), ("black", "invalid")]
)
def test_a_context_that_never_was_full_is_waited_for_while_a_camera_may_fill_it(status: str, state: str) -> None:
    views = dict.fromkeys(tiny_manifest().views, ViewStatus(status=status, age_s=None, reason=""))
    assert step(Answers(tiny_manifest(), SmoothingConfig()), 0, views).state == state


# Smoothing


def smoothed(config: SmoothingConfig, leaders: list[int], period_s: float = 0.1) -> list[int]:
    smoother = LabelSmoother(config)
    rows = np.full((3, 3), 0.1) + np.eye(3) * 0.7
    return [smoother.update(rows[leader], number * period_s) for number, leader in enumerate(leaders)]


def test_a_label_switches_only_after_another_has_led_for_long_enough() -> None:
    config = SmoothingConfig(switch_s=0.3)
    assert smoothed(config, [0, 1, 1, 0, 1, 1, 1, 1, 1]) == [0, 0, 0, 0, 0, 0, 0, 1, 1]


@pytest.mark.parametrize("rate_hz", [5, 10, 30])
def test_a_time_constant_means_the_same_at_any_rate(rate_hz: int) -> None:
    """A step from one class to another crosses half after ln 2 time constants."""
    leaders = [0] + [1] * 3 * rate_hz
    steady = smoothed(SmoothingConfig(time_s=1.0), leaders, 1 / rate_hz)
    assert steady.index(1) / rate_hz == pytest.approx(np.log(2), abs=1 / rate_hz)


def test_smoothing_is_off_by_default_and_leaves_the_raw_answer_beside_it(bundle_path: Path) -> None:
    policy = replace(read_manifest(bundle_path).policy, smoothing=SmoothingConfig(time_s=0.5, switch_s=0.4))
    with Perceiver.open(bundle_path, threads=1) as raw, Perceiver.open(bundle_path, threads=1, policy=policy) as steady:
        for step in tiny_steps(24):
            one, other = raw.step(*step), steady.step(*step)
            for name, result in one.tasks.items():
                smooth = other.tasks[name]
                assert result.steady is None and replace(smooth, steady=None) == result
                assert (smooth.steady in result.probabilities) == result.valid


def test_where_there_is_no_answer_smoothing_begins_anew() -> None:
    smoothers = {"traffic": LabelSmoother(SmoothingConfig(switch_s=10.0))}
    results = [
        answer([5.0, 0.0, 0.0]),
        answer([0.0, 5.0, 0.0]),
        answer([0.0] * 3, starting=True),
        answer([0.0, 5.0, 0.0]),
    ]
    results[2] = replace(results[2], valid=False)
    steady = [with_steady({"traffic": r}, smoothers, t)["traffic"].steady for t, r in enumerate(results)]
    assert steady == ["a", "a", None, "b"]


def percept() -> Percept:
    result = TaskResult(label="Peace", index=1, probability=0.9, probabilities={}, valid=True, reason="")
    return Percept(
        t=0.0,
        sequence=0,
        state="ok",
        reasons=(),
        deadline_missed=False,
        tasks={"driver_emotion": result},
        views={},
        context=1.0,
        latency_ms={},
        model="m",
    )


def test_tasks_are_attributes_and_others_are_refused_with_those_that_are() -> None:
    assert percept().driver_emotion.label == "Peace"
    assert "driver_emotion" in dir(percept())
    with pytest.raises(AttributeError, match="no 'driver_emotions'; its tasks are driver_emotion"):
        _ = percept().driver_emotions
    assert not hasattr(percept(), "__wrapped__")


def test_a_percept_can_be_copied_and_sent_to_another_process() -> None:
    assert copy.copy(percept()) == copy.deepcopy(percept()) == percept()
    assert pickle.loads(pickle.dumps(percept())) == percept()


def test_a_percept_is_frozen() -> None:
    with pytest.raises(AttributeError):
        percept().state = "ok"  # type: ignore[misc]
