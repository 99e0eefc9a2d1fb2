"""Which time a frame has, and how many frames never came."""

import random

import pytest

from codriver.capture.clock import Clock


def test_a_drivers_time_on_our_clock_is_the_frames():
    clock = Clock()
    assert clock.time_s(99.97, 100.0) == (99.97, "capture")
    assert clock.time_s(99.97 + 1 / 30, 100.04) == (99.97 + 1 / 30, "capture")
    assert clock.problem == ""


def test_without_a_drivers_time_a_frame_has_that_of_its_arrival():
    assert Clock().time_s(None, 100.0) == (100.0, "arrival")


@pytest.mark.parametrize(
    ("driver_s", "says"),
    [
        (0.0, "100.0 s behind"),
        (1.7e9, "1699999900.0 s ahead of"),
        (100.18, "180 ms ahead of"),  # vivid at 5 Hz: it stamps the end of a picture when it begins
        (97.0, "3.0 s behind"),
    ],
)
def test_a_time_of_another_clock_is_not_taken_and_that_is_told(driver_s, says):
    clock = Clock()
    assert clock.time_s(driver_s, 100.0) == (100.0, "arrival")
    assert clock.problem == f"its times are {says} the monotonic clock: the arrival's is taken"


def test_times_that_wrap_around_are_not_taken_and_the_next_good_one_is():
    clock = Clock()
    assert clock.time_s(99.97, 100.0)[1] == "capture"
    assert clock.time_s(2.0**-3, 100.03)[1] == "arrival"
    assert clock.time_s(100.03, 100.06) == (100.03, "capture")


def test_the_same_time_again_is_not_taken():
    clock = Clock()
    clock.time_s(99.97, 100.0)
    assert clock.time_s(99.97, 100.03) == (100.03, "arrival")
    assert "do not go on" in clock.problem


def test_a_frame_that_lay_in_a_queue_keeps_its_age_and_that_is_told():
    clock = Clock()
    assert clock.time_s(99.232, 100.0) == (99.232, "capture")
    assert clock.problem == "its frames are 768 ms old when they are read"


@pytest.mark.parametrize("share", [0.2, 0.5])
@pytest.mark.parametrize("rate_hz", [15, 30, 60])
def test_frames_that_never_came_are_counted_by_the_gaps_between_the_others(rate_hz, share):
    dice, clock, came = random.Random(rate_hz), Clock(), 0
    for number in range(600):
        if number < 20 or dice.random() > share:
            jitter_s = dice.uniform(-0.1, 0.1) / rate_hz
            taken_s = 100 + number / rate_hz + jitter_s
            clock.time_s(taken_s, taken_s + 0.02)
            came, last = came + 1, number
    assert clock.lost == pytest.approx(last + 1 - came, rel=0.03) and clock.lost > 80


def test_frames_that_are_late_and_those_after_them_are_none_that_were_lost():
    dice, clock = random.Random(0), Clock()
    for number in range(600):
        taken_s = 100 + (number + (0.6 if dice.random() < 0.1 else 0.0)) / 5  # by a driver that had to wait
        clock.time_s(taken_s, taken_s + 0.02)
    assert clock.lost <= 1
