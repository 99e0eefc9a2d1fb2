"""Verdicts from numbers alone: what is missed, what holds, and what so few clips or steps cannot show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from targets.evidence.verdict import (
    FAIL,
    MISSING,
    OPEN,
    PASS,
    against,
    checks,
    intervals,
    paired,
    reference_of,
    verdict,
)
from targets.trial.scoring import NO_ANSWER
from workshop import statistics

TASK = "driver_emotion"


@dataclass(frozen=True)
class Made:
    """Evidence of one subject as targets.validate writes it, of one task with two classes."""

    right: np.ndarray  # (n,) bool
    variant: str = "ort-x86"
    step_ms: float = 10.0
    memory_mb: float = 100.0
    load: float | None = 1.9
    off: float = 0.001  # of the golden vectors
    full: float | None = None  # full precision's accuracy, as the bundle records it
    silent: int = 0  # clips, from the first, without a valid answer

    def json(self) -> dict[str, Any]:
        labels = np.zeros(len(self.right), int)
        predicted = np.where(np.arange(len(labels)) < self.silent, NO_ANSWER, np.where(self.right, 0, 1))
        shares = np.where(self.right[:, None], [9000, 1000], [1000, 9000])
        accuracy = float(self.right.mean()) if len(labels) else None
        task = {"classes": ["a", "b"], "labels": labels.tolist(), "predicted": predicted.tolist()}
        task |= {"probabilities_e4": shares.tolist(), "accuracy": accuracy, "macro_f1": accuracy}
        times_ms = [self.step_ms] * 1000
        return {
            "status": "ran",
            "variant": self.variant,
            "full_precision": None if self.full is None else {TASK: {"accuracy": self.full, "macro_f1": self.full}},
            "budget": {"accuracy_points": {TASK: 2.0}, "latency_ms": 50.0, "memory_mb": 500.0},
            "tasks": {TASK: task},
            "golden": [{"task": TASK, "max_abs": self.off, "tolerance": 0.01, "ok": self.off <= 0.01}],
            "machine": {"cores": 2},
            "stream": {
                "total_ms": times_ms,
                "latency_ms": {"total": {"p99": self.step_ms}},
                "conditions": {"after": {"load": self.load}},
            },
            "memory_mb": self.memory_mb,
        }


def rights(n: int, wrong: slice) -> np.ndarray:
    right = np.ones(n, bool)
    right[wrong] = False
    return right


def states(subject: Made, reference: Made | None = None) -> dict[str, str]:
    return {check.name: check.state for check in checks(subject.json(), reference.json() if reference else None)}


FULL = Made(rights(2000, slice(0, 400)), variant="fp32")


def test_a_bundle_as_good_as_full_precision_may_ship() -> None:
    same = Made(FULL.right)
    assert states(same, FULL) == dict.fromkeys(
        ("answers", "accuracy driver_emotion", "golden", "latency p99", "memory"), PASS
    )
    assert verdict(checks(same.json(), FULL.json())) == PASS


@pytest.mark.parametrize(("silent", "state"), [(0, PASS), (30, PASS), (31, OPEN), (600, FAIL)])
def test_models_that_agree_by_saying_nothing_may_not_ship(silent: int, state: str) -> None:
    full = Made(rights(600, slice(0, 0)), variant="fp32", silent=silent).json()
    int8 = Made(rights(600, slice(0, 0)), silent=silent).json()
    for subject in (full, int8):
        found = checks(subject, full)
        assert verdict(found) == state
        said = next(check for check in found if check.name == "answers")
        assert said.found == f"{600 - silent} of 600" and ("nobody answered" in said.text) == (state is not PASS)


def test_a_finder_that_finds_nobody_may_not_ship_though_annotations_are_answered() -> None:
    full = Made(rights(600, slice(0, 0)), variant="fp32").json()
    for silent, state in ((0, PASS), (31, OPEN), (470, FAIL)):
        alone = Made(rights(600, slice(0, 0)), silent=silent).json()["tasks"]
        found = checks(full | {"driver": {"ways": {"frames alone": alone}}}, full)
        assert verdict(found) == state
        assert next(some for some in found if some.name == "answers, frames alone").found == f"{600 - silent} of 600"


def test_a_subject_of_no_labelled_clip_is_not_shown_to_answer() -> None:
    full = Made(rights(0, slice(0, 0)), variant="fp32").json()
    assert verdict(checks(full, full)) == OPEN


def test_a_loss_beyond_doubt_may_not_ship_and_the_sentence_says_by_how_much() -> None:
    worse = Made(rights(2000, slice(0, 600)))  # 10 points
    assert states(worse, FULL)["accuracy driver_emotion"] == FAIL
    (text,) = against(worse.json(), FULL.json())
    assert "loses 10.0 points" in text and "more than the 2 allowed" in text


def test_the_same_loss_on_few_clips_is_neither_shown_nor_refused() -> None:
    few = Made(rights(60, slice(0, 12)), variant="fp32")
    worse = Made(rights(60, slice(0, 15)))  # 5 points, 3 clips
    assert states(worse, few)["accuracy driver_emotion"] == OPEN
    assert verdict(checks(worse.json(), few.json())) == OPEN
    assert not against(worse.json(), few.json())


def test_clips_that_are_won_and_lost_make_up_the_paired_test() -> None:
    here = Made(rights(100, slice(0, 10)))
    there = Made(rights(100, slice(8, 13)), variant="fp32")
    found = paired(here.json(), there.json())[TASK]
    assert (found.gained, found.lost, found.n) == (3, 8, 100)
    assert found.difference == pytest.approx(-0.05) and found.agreement == pytest.approx(0.89)
    assert found.p == pytest.approx(2 * (1 + 11 + 55 + 165) / 2**11)
    assert found.max_moved == pytest.approx(0.8) and found.mean_moved == pytest.approx(0.8 * 0.11)


def test_without_full_precisions_answers_the_recorded_share_decides() -> None:
    right = rights(100, slice(0, 20))
    assert states(Made(right, full=0.81))["accuracy driver_emotion"] == OPEN
    assert states(Made(right, full=0.83))["accuracy driver_emotion"] == FAIL
    assert states(Made(right))["accuracy driver_emotion"] == MISSING


def test_every_other_budget_is_missed_by_its_own_number() -> None:
    right = FULL.right
    assert states(Made(right, step_ms=51.0), FULL)["latency p99"] == FAIL
    assert states(Made(right, memory_mb=501.0), FULL)["memory"] == FAIL
    assert states(Made(right, off=0.011), FULL)["golden"] == FAIL
    assert "1.0 ms over the budget of 50 ms" in against(Made(right, step_ms=51.0).json(), FULL.json())[0]


def test_one_task_that_misses_its_golden_vectors_is_enough() -> None:
    subject = Made(FULL.right).json()
    for order in (1, -1):
        good = {"task": "a", "max_abs": 0.001, "tolerance": 0.01, "ok": True}
        bad = {"task": "b", "max_abs": 0.02, "tolerance": 0.01, "ok": False}
        subject["golden"] = [good, bad][::order]
        found = {check.name: check for check in checks(subject, FULL.json())}["golden"]
        assert found.state == FAIL and "of b, is off by 0.0200" in found.text


def test_every_check_says_what_was_found_and_what_is_allowed() -> None:
    found = {check.name: (check.found, check.budget) for check in checks(Made(FULL.right).json(), FULL.json())}
    assert found == {
        "answers": ("2000 of 2000", "95 %"),
        "accuracy driver_emotion": ("+0.0 points [-0.1, +0.1]", "-2 points"),
        "golden": ("0.0010", "0.01"),
        "latency p99": ("10.0 ms", "50 ms"),
        "memory": ("100 MB", "500 MB"),
    }
    alone = {check.name: (check.found, check.budget) for check in checks(Made(FULL.right, full=0.81).json(), None)}
    assert alone["accuracy driver_emotion"] == ("-1.0 points", "-2 points")


def test_a_task_that_the_reference_does_not_answer_is_compared_with_nothing() -> None:
    subject = Made(FULL.right).json()
    subject["tasks"]["traffic_context"] = subject["tasks"][TASK]
    subject["budget"]["accuracy_points"]["traffic_context"] = 2.0
    assert set(paired(subject, FULL.json())) == {TASK}
    found = {check.name: check.state for check in checks(subject, FULL.json())}
    assert found["accuracy traffic_context"] == MISSING and found[f"accuracy {TASK}"] == PASS


def test_a_load_of_the_cores_and_one_is_still_idle_enough_to_judge() -> None:
    assert states(Made(FULL.right, step_ms=51.0, load=3.0), FULL)["latency p99"] == FAIL


def test_intervals_are_those_of_the_answers() -> None:
    accuracy, f1 = intervals(Made(rights(100, slice(0, 10))).json()["tasks"][TASK])
    assert accuracy == statistics.wilson(90, 100)
    assert f1 == statistics.f1_interval(np.zeros(100, np.int64), np.repeat([1, 0], [10, 90]), 2)
    nothing = {"classes": ["a", "b"], "labels": [], "predicted": []}
    assert intervals(nothing) == ((0.0, 1.0), (0.0, 1.0))


def test_one_slow_step_in_a_hundred_does_not_show_that_p99_misses() -> None:
    subject = Made(FULL.right).json()
    subject["stream"]["total_ms"] = [10.0] * 988 + [90.0] * 12
    assert {check.name: check.state for check in checks(subject, FULL.json())}["latency p99"] == OPEN
    subject["stream"]["total_ms"] = [10.0] * 970 + [90.0] * 30
    assert {check.name: check.state for check in checks(subject, FULL.json())}["latency p99"] == FAIL


def test_a_slow_step_on_a_machine_that_others_keep_busy_shows_nothing() -> None:
    assert states(Made(FULL.right, step_ms=51.0, load=3.1), FULL)["latency p99"] == OPEN
    assert states(Made(FULL.right, step_ms=51.0, load=None), FULL)["latency p99"] == FAIL
    assert states(Made(FULL.right, step_ms=49.0, load=3.1), FULL)["latency p99"] == PASS


def test_the_reference_is_the_first_in_full_precision_else_the_first_that_ran() -> None:
    int8, full = Made(FULL.right).json(), FULL.json()
    absent = {"status": "not run", "variant": "tensorrt-fp32"}
    assert reference_of([absent, int8, full]) is full
    assert reference_of([absent, int8]) is int8
    assert reference_of([absent]) is None
