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


@pytest.mark.parametrize("driver_s", [0.0, 1.7e9, 100.1, 97.0])
def test_a_time_of_another_clock_is_not_taken_and_that_is_told(driver_s):
    clock = Clock()
    assert clock.time_s(driver_s, 100.0) == (100.0, "arrival")
    assert "off the monotonic clock" in clock.problem


def test_times_that_wrap_around_are_not_taken_and_the_next_good_one_is():
    clock = Clock()
    assert clock.time_s(99.97, 100.0)[1] == "capture"
    assert clock.time_s(2.0**-3, 100.03)[1] == "arrival"
    assert clock.time_s(100.03, 100.06) == (100.03, "capture")


def test_the_same_time_again_is_not_taken():
    clock = Clock()
    clock.time_s(99.97, 100.0)
    assert clock.time_s(99.97, 100.03) == (100.03, "arrival")
    assert "does not go on" in clock.problem


def test_a_frame_that_lay_in_a_queue_keeps_its_age_and_that_is_told():
    clock = Clock()
    assert clock.time_s(99.232, 100.0) == (99.232, "capture")
    assert clock.problem == "its frames are 768 ms old when they are read"


@pytest.mark.parametrize("rate_hz", [15, 30, 60])
def test_frames_that_never_came_are_counted_by_the_gaps_between_the_others(rate_hz):
    dice, clock, came = random.Random(rate_hz), Clock(), 0
    for number in range(600):
        if number < 20 or dice.random() > 0.2:
            jitter_s = dice.uniform(-0.1, 0.1) / rate_hz
            taken_s = 100 + number / rate_hz + jitter_s
            clock.time_s(taken_s, taken_s + 0.02)
            came, last = came + 1, number
    assert clock.lost == last + 1 - came > 80
