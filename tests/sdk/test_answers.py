"""From logits to an answer."""

from __future__ import annotations

import copy
import pickle  # noqa: TID251 -- to check that a percept survives it, as it does in multiprocessing

import numpy as np
import pytest

from codriver.answers import softmax
from codriver.percept import Percept, TaskResult


def test_softmax_sums_to_one_and_keeps_the_order() -> None:
    probabilities = softmax(np.array([1.0, 3.0, 2.0], np.float32))
    assert probabilities.dtype == np.float64
    assert probabilities.sum() == pytest.approx(1.0, abs=1e-15)
    assert probabilities.argsort().tolist() == [0, 2, 1]


@pytest.mark.parametrize("shift", [-3e38, -1e4, 0, 1e4, 3e38])
def test_softmax_of_extreme_logits_neither_overflows_nor_loses_them(shift: float) -> None:
    assert softmax(np.full(4, shift, np.float32)).tolist() == [0.25] * 4
    assert softmax(np.array([shift, -shift], np.float32)).sum() == pytest.approx(1.0)


def percept() -> Percept:
    result = TaskResult(label="Peace", index=1, probability=0.9, probabilities={}, valid=True, reason="")
    return Percept(
        t=0.0,
        sequence=0,
        state="ok",
        reasons=(),
        missed=False,
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
