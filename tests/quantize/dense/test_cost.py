"""What INT8 costs a task is told of the very score that tables hold, in its unit, and held to its own limit."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from codriver.dense_tasks import DENSE_TASK_SETS
from codriver.tasks import Task
from quantize.dense.proof import change
from training.dense.geometry import IGNORE
from training.dense.model import KINDS
from workshop.dense_report import DenseChange

pytestmark = pytest.mark.torch
DEPTH = DENSE_TASK_SETS["nyudv2"]["depth"]
ROAD = DENSE_TASK_SETS["bdd100k"]["drivable_area"]
SIZE = (20, 30)


def judged(task: Task, answers: list[Any], truths: list[Any]) -> Any:
    metric = KINDS[task.kind].Metric(task)
    for answered, truth in zip(answers, truths, strict=True):
        metric.add(answered, truth)
    return metric


def depths(off_m: float) -> Any:
    truths = [np.full(SIZE, 3.0 + k, np.float32) for k in range(4)]
    return judged(DEPTH, [truth + np.float32(off_m * (k + 1)) for k, truth in enumerate(truths)], truths)


def test_an_error_that_grew_by_3_percent_in_every_picture_costs_3_percent_on_every_draw() -> None:
    found = change(DEPTH, depths(0.103), depths(0.1))
    assert (found.judged_by, found.is_error, found.pictures) == ("rmse_m", True, 4)
    assert (found.cost, found.low, found.high) == pytest.approx((0.03, 0.03, 0.03), abs=1e-4)


def test_a_share_that_fell_by_5_points_costs_5_points() -> None:
    truth = np.zeros(SIZE, np.uint8)
    truth[:, :15] = 1
    worse = truth.copy()
    worse[:, 15:18] = 1  # of 300 pixels each: 60 of the background become road
    found = change(ROAD, judged(ROAD, [worse] * 3, [truth] * 3), judged(ROAD, [truth] * 3, [truth] * 3))
    expected = 1 - (240 / 300 + 300 / 360) / 2
    assert (found.judged_by, found.is_error) == ("miou", False)
    assert (found.cost, found.low, found.high) == pytest.approx((expected,) * 3)


def test_the_interval_is_of_the_pooled_score_and_not_of_a_mean_over_pictures() -> None:
    """One picture with a hundred times the known pixels decides, whenever it is drawn."""
    small, large = np.full(SIZE, IGNORE, np.uint8), np.zeros(SIZE, np.uint8)
    small[0, :6], large[:, :15] = 1, 1
    lost = small.copy()
    lost[0, :6] = 0  # the small picture is wholly wrong in INT8
    full = judged(ROAD, [small, large], [small, large])
    found = change(ROAD, judged(ROAD, [lost, large], [small, large]), full)
    assert 0 < found.cost < 0.02 and found.low == 0.0


def test_a_task_whose_truth_is_unknown_everywhere_costs_nothing_and_shows_nothing() -> None:
    truth = np.zeros(SIZE, np.float32)
    nothing = judged(DEPTH, [truth + 1], [truth])
    found = change(DEPTH, nothing, nothing)
    assert (found.cost, found.low, found.high, found.pictures) == (0.0, -1.0, 1.0, 0)


def test_the_iou_of_a_class_that_is_nowhere_is_left_out_as_json_has_no_number_for_it() -> None:
    empty = np.zeros(SIZE, np.uint8)
    found = change(ROAD, judged(ROAD, [empty], [empty]), judged(ROAD, [empty], [empty]))
    assert set(found.scores) < set(judged(ROAD, [empty], [empty]).scores())
    json.dumps([found.scores, found.fp32], allow_nan=False)


def test_a_cost_is_written_in_the_unit_of_its_score() -> None:
    known = DenseChange(
        judged_by="rmse_m", scores={}, fp32={}, is_error=True, cost=0.01, low=0.0, high=0.02, pictures=9
    )
    assert known.unit == " %" and replace(known, is_error=False).unit == " points"
