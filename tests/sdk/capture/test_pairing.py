"""Which instant a set is of, and what is said of a run's times."""

import pytest

from codriver.capture.pairing import shared_time_s
from codriver.capture.told import told_of


def test_a_set_is_of_the_newest_instant_that_every_camera_has_seen():
    assert shared_time_s([10.03, 10.01, 10.02], 10.05, None, 1 / 15) == 10.01


def test_a_camera_that_lags_behind_does_not_hold_back_the_others():
    assert shared_time_s([10.03, 9.5, 10.02], 10.05, None, 1 / 15) == 10.02


def test_without_new_frames_time_goes_on_as_on_the_clock():
    assert shared_time_s([], 10.15, (10.0, 10.05), 1 / 15) == pytest.approx(10.1)
    assert shared_time_s([9.9], 10.15, (10.0, 10.05), 1 / 15) == pytest.approx(10.1)
    assert shared_time_s([], 10.15, None, 1 / 15) == 10.15


def test_a_run_says_whose_times_are_which_and_what_was_lost():
    counts = {"front": {"frames": 90, "lost": 3, "opened": 1}, "left": {"frames": 9, "lost": 0, "opened": 1}}
    assert list(told_of({"front": "capture", "left": "arrival", "right": "capture"}, counts)) == [
        "times: capture for front, right; arrival for left",
        "front: 90 frames came, 3 were lost on the way, opened 1 times",
    ]
    assert list(told_of({}, {})) == []
