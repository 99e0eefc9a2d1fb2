"""The clock of a step: stages add up, and a deadline is the deadline."""

from __future__ import annotations

import time

import pytest

from codriver.arrays import Arrays
from codriver.counts import StageClock
from tests.faults import Cameras, Idle, perceiver_with

CLEAN = Cameras()


class Hand:
    """A clock's hand that moves when told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 5.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now_s)


def test_a_step_is_late_from_its_deadline_on_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    hand = Hand(monkeypatch)
    clock = StageClock()
    hand.now_s += 0.125
    assert clock.over(124.0) and not clock.over(125.0) and not clock.over(126.0) and not clock.over(None)


def test_a_stage_that_comes_twice_adds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    hand = Hand(monkeypatch)
    clock = StageClock()
    for stage, took_s in (("encode", 0.25), ("fuse", 0.5), ("encode", 0.125)):
        hand.now_s += took_s
        clock.end(stage)
    hand.now_s += 1.0
    assert clock.latency_ms() == {"encode": 375.0, "fuse": 500.0, "total": 1875.0}


class Slow(Idle):
    """Takes 20 ms in each of its two graphs."""

    def infer(self, inputs: Arrays) -> Arrays:
        time.sleep(0.02)
        return super().infer(inputs)


@pytest.mark.parametrize(("deadline_ms", "missed"), [(39.0, True), (10_000.0, False), (None, False)])
def test_a_percept_says_that_its_step_was_late(deadline_ms: float | None, missed: bool) -> None:
    with perceiver_with(Slow) as perceiver:
        percept = perceiver.step(CLEAN.frames(0), CLEAN.t(0), deadline_ms=deadline_ms)
    assert percept.deadline_missed == missed
