"""What comes out: frozen, copyable, and its tasks are attributes."""

from __future__ import annotations

import copy
import json
import math
import pickle  # noqa: TID251  (a percept may cross to another process; it is never an artefact)
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace

import pytest

from codriver.perceiver import Perceiver
from codriver.percept import DriverSight, Percept
from codriver.tasks import AIDE
from tests.clips import percept
from tests.tiny import tiny_steps


def through_pickle(original: Percept) -> Percept:
    copied = pickle.loads(pickle.dumps(original))
    assert isinstance(copied, Percept)
    return copied


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, through_pickle, replace])
def test_a_copy_is_equal_and_has_its_tasks_as_attributes(duplicate: Callable[[Percept], Percept]) -> None:
    original = percept(3, invalid=("traffic_context",))
    copied = duplicate(original)
    assert copied is not original and copied == original and copied.to_dict() == original.to_dict()
    assert copied.driver_emotion == original.driver_emotion
    assert not copied.traffic_context.valid


def test_a_deep_copy_shares_nothing_that_can_change() -> None:
    original = percept()
    copied = copy.deepcopy(original)
    assert copied.tasks is not original.tasks and copied.latency_ms is not original.latency_ms


def test_a_percept_of_a_step_goes_through_pickle_and_carries_no_picture(perceiver: Perceiver) -> None:
    original = [perceiver.step(*step) for step in tiny_steps(8)][-1]
    assert through_pickle(original) == original and len(pickle.dumps(original)) < 10_000


def test_an_unknown_task_is_an_attribute_error_that_lists_the_tasks() -> None:
    with pytest.raises(AttributeError, match="percept has no 'weather'; its tasks are driver_emotion, driver_b"):
        _ = percept().weather
    assert not hasattr(percept(), "weather") and getattr(percept(), "weather", None) is None


def test_a_percept_that_is_not_filled_yet_says_so_instead_of_asking_itself_for_ever() -> None:
    with pytest.raises(AttributeError):
        _ = Percept.__new__(Percept).driver_emotion


def test_tasks_are_listed_for_whoever_looks() -> None:
    assert set(AIDE.names) <= set(dir(percept()))


def test_a_percept_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        percept().t = 1.0  # type: ignore[misc]


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_a_box_that_is_not_finite_is_no_box_and_the_rest_is_json(number: float) -> None:
    sight = DriverSight(face_px=(0.0, 0.0, number, 5.0), body_px=(1, 2, 30, 40))
    told = json.loads(json.dumps(sight.to_dict(), allow_nan=False))
    assert told["face_px"] is None and told["body_px"] == [1.0, 2.0, 30.0, 40.0]
