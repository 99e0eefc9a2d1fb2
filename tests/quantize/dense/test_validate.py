"""What the evidence of maps and boxes says of a bundle: verdicts in words."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch")

from quantize.dense.validate import misses, unclear

pytestmark = pytest.mark.torch


FULL: Any = SimpleNamespace(key="full/fp32", unanswered={})  # as much of a trial as a verdict looks at


def subject(low: float, high: float, *, unit: str = "points", allowed: float = 0.01, **unanswered: int) -> Any:
    cost = {"cost": (low + high) / 2, "low": low, "high": high, "allowed": allowed, "unit": unit, "pictures": 70}
    tasks = {"road": {"cost": cost | {"judged_by": "miou"}}}
    return {"key": "int8/ort-x86", "tasks": tasks, "unanswered": unanswered}


def test_a_cost_within_its_limit_says_nothing() -> None:
    assert misses(subject(-0.002, 0.009), FULL) == unclear(subject(-0.002, 0.009)) == []


def test_a_cost_that_is_surely_beyond_its_limit_is_a_miss_with_its_measure() -> None:
    (said,) = misses(subject(0.012, 0.03), FULL)
    assert said == "road is worse by 2.10 points of miou (+1.20 to +3.00), at most 1 are allowed"
    assert unclear(subject(0.012, 0.03)) == []


def test_a_cost_whose_interval_reaches_beyond_its_limit_is_open() -> None:
    found = subject(0.0, 0.025, unit="%", allowed=0.02)
    assert misses(found, FULL) == []
    assert (
        "worse by 1.25 % of miou" in unclear(found)[0]
        and "70 pictures cannot show that it is within 2" in unclear(found)[0]
    )


def test_a_picture_without_an_answer_is_a_miss() -> None:
    assert misses(subject(0, 0, black=3), FULL) == ["3 pictures were not answered: black"]
