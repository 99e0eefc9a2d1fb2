"""Time: what belongs together, what is refused, where a new context begins, and that no frame goes uncounted."""

from __future__ import annotations

import json

import numpy as np
import pytest

from codriver.config import Policy, TimingConfig
from codriver.errors import EngineError, FrameError
from codriver.frames.sync import set_time
from codriver.perceiver import Perceiver
from codriver.percept import Frame, Percept, ViewCounts
from codriver.tasks import VIEWS
from tests.faults import Cameras, perceiver_with
from tests.spies import Spy
from tests.tiny import answers, run, tiny_steps

IMAGES = np.random.default_rng(0).integers(0, 256, (32, 24, 24, 3), np.uint8)
TIMING = TimingConfig()


@pytest.fixture
def idle() -> Perceiver:
    return perceiver_with()


def shot(number: int, t: float | None = None) -> Frame:
    return Frame(IMAGES[number % len(IMAGES)], t)


def counts(perceiver: Perceiver, view: str) -> ViewCounts:
    return perceiver.stats().views[view]


# Pairing


def test_frames_with_times_of_their_own_answer_as_plain_arrays_do(perceiver: Perceiver) -> None:
    steps = tiny_steps(16)
    plain = answers(run(perceiver, steps))
    timed = [({view: Frame(image, t) for view, image in frames.items()}, None, driver) for frames, t, driver in steps]
    assert answers(run(perceiver, timed)) == plain


def test_each_camera_is_remembered_at_its_own_time(idle: Perceiver) -> None:
    percept = idle.step({"incar": shot(0, 1.0), "left": shot(1, 0.985), "front": shot(2, 1.01)}, 1.0)
    assert percept.views["incar"].age_s == 0 and percept.views["left"].age_s == pytest.approx(0.015)
    assert percept.views["front"].age_s == pytest.approx(-0.01)  # newer than its set, and that can be told exactly


@pytest.mark.parametrize(
    ("behind_s", "status", "said"),
    [
        (0.010, "ok", ()),
        (0.011, "ok", ("left: 11 ms from its set, over 10 ms",)),
        (0.025, "ok", ("left: 25 ms from its set, over 10 ms",)),
        (0.026, "refused", ("left: refused, 26 ms behind its set, at most 25 ms pair",)),
        (-0.026, "refused", ("left: refused, 26 ms ahead of its set, at most 25 ms pair",)),
    ],
)
def test_over_10_ms_of_skew_is_reported_and_over_25_ms_refused(
    idle: Perceiver, behind_s: float, status: str, said: tuple[str, ...]
) -> None:
    percept = idle.step({"incar": shot(0), "left": shot(1, 5.0 - behind_s)}, 5.0)
    assert percept.views["left"].status == status
    assert tuple(reason for reason in percept.reasons if reason.startswith("left")) == said
    refused = counts(idle, "left").late + counts(idle, "left").early
    assert refused == (status == "refused") and counts(idle, "left").processed == 1 - refused


def test_tolerances_are_a_policy() -> None:
    usb = perceiver_with(policy=Policy(timing=TimingConfig(pair_s=0.033)))
    assert usb.step({"incar": shot(0), "left": shot(1, 4.97)}, 5.0).views["left"].status == "ok"


@pytest.mark.parametrize(
    ("times_s", "last_t", "expected"),
    [
        ([2.0, 2.01, 2.02], None, 2.02),  # all agree: the newest
        ([2.0, 2.01, 99.0], 1.95, 2.01),  # one clock is wrong
        ([2.0, 2.01, 0.0], 1.95, 2.01),
        ([2.0, 99.0], 1.95, 2.0),  # no majority: the one that goes on
        ([2.0, 1.9], 1.95, 2.0),
        ([5.0], 1.95, 5.0),
    ],
)
def test_a_set_has_the_time_that_most_of_its_frames_have(
    times_s: list[float], last_t: float | None, expected: float
) -> None:
    assert set_time(times_s, last_t, TIMING) == expected


def test_a_camera_whose_clock_is_wrong_does_not_move_the_others(idle: Perceiver) -> None:
    for number in range(40):
        t = number * 0.05
        frames = {view: shot(4 * number + k, t + 1000.0 * (view == "left")) for k, view in enumerate(VIEWS)}
        percept = idle.step(frames)
    assert percept.t == t and idle.stats().resets == 0 and counts(idle, "left").early == 40
    assert {view: status.status for view, status in percept.views.items()} == {
        "incar": "ok",
        "front": "ok",
        "left": "refused",
        "right": "ok",
    }


# Repeated and mixed up


def test_a_frame_that_comes_again_and_one_that_comes_too_late_are_refused_and_counted(idle: Perceiver) -> None:
    idle.step({"incar": shot(0), "left": shot(1, 1.01)}, 1.0)
    again = idle.step({"incar": shot(2), "left": shot(1, 1.01)}, 1.02).views["left"]
    older = idle.step({"incar": shot(3), "left": shot(4, 1.005)}, 1.03).views["left"]
    assert (again.status, again.reason) == ("refused", "the frame of 1.010 s came again")
    assert (older.status, older.reason) == ("refused", "its frame of 1.005 s came after that of 1.010 s")
    left = counts(idle, "left")
    assert (left.input, left.processed, left.duplicate, left.out_of_order, left.refused) == (3, 1, 1, 1, 2)


def test_a_refused_frame_leaves_its_camera_as_if_none_had_come(spies: tuple[Perceiver, Spy, Spy]) -> None:
    perceiver, _, fuser = spies
    inputs = []
    for late in (True, False):
        perceiver.reset()
        for number, (frames, t, driver) in enumerate(tiny_steps(12)):
            if number == 8:
                left = frames.pop("left")
                frames |= {"left": Frame(left, t - 0.1)} if late else {}
            perceiver.step(frames, t, driver)
        inputs.append(fuser.inputs[-1])
    for name in inputs[0]:
        np.testing.assert_array_equal(inputs[0][name], inputs[1][name])


def test_a_whole_set_that_comes_again_is_a_frame_error_and_counted(idle: Perceiver) -> None:
    idle.step({"incar": shot(0), "left": shot(1)}, 1.0)
    for t in (1.0, 0.5):
        with pytest.raises(FrameError, match=r"expected a time after the last step's 1\.0"):
            idle.step({"incar": shot(2), "left": shot(3)}, t)
    assert counts(idle, "left").rejected == 2 and counts(idle, "left").input == 3


# Jumps


@pytest.mark.parametrize(
    ("to_s", "said"), [(3.05, "+1.1 s"), (100.0, "+98.0 s"), (0.9, "-1.1 s"), (-1e6, "-1000001.9")]
)
def test_a_jump_of_over_a_second_begins_a_new_context_and_says_so(idle: Perceiver, to_s: float, said: str) -> None:
    clean = Cameras()
    for number in range(40):
        percept = idle.step({view: frame.image for view, frame in clean.frames(number).items()}, number * 0.05)
    assert percept.state == "ok"
    percept = idle.step({"incar": shot(0)}, to_s)
    assert percept.state == "init" and percept.context == 0 and idle.stats().resets == 1
    assert percept.reasons[0].startswith(f"time jumped by {said}") and "a new context begins" in percept.reasons[0]
    assert percept.views["left"].status == "never"
    assert not any("jumped" in reason for reason in idle.step({"incar": shot(1)}, to_s + 0.05).reasons)


def test_a_step_of_a_second_is_no_jump(idle: Perceiver) -> None:
    idle.step({"incar": shot(0)}, 1.0)
    assert not any("jumped" in reason for reason in idle.step({"incar": shot(1)}, 2.0).reasons)
    assert idle.stats().resets == 0


def test_steps_without_frames_tell_what_is_still_known(idle: Perceiver) -> None:
    clean = Cameras()
    for number in range(40):
        idle.step(clean.frames(number), clean.t(number))
    percepts = [idle.step({}, clean.t(number)) for number in range(40, 80)]
    states = [percept.state for percept in percepts]
    assert states == sorted(states, key=("ok", "degraded", "invalid").index) and states[-1] == "invalid"
    assert percepts[-1].views["front"].status == "lost"


def test_reset_lets_time_begin_again_and_keeps_the_counts(idle: Perceiver) -> None:
    idle.step({"incar": shot(0)}, 10.0)
    idle.reset()
    idle.step({"incar": shot(1)}, 9.5)
    assert counts(idle, "incar").processed == 2 and idle.stats().steps == 2 and idle.stats().resets == 0


# Conservation


def test_every_frame_of_5000_is_processed_dropped_or_refused() -> None:
    """10 % of the frames are lost on the way, and one in eight of the rest is spoilt, seeded."""
    perceiver, clean, random = perceiver_with(), Cameras(), np.random.default_rng(3)
    handed_in, gap_steps = dict.fromkeys(VIEWS, 0), 0
    before = clean.frames(0)
    for number in range(1250):
        frames = clean.frames(number)
        for view in VIEWS:
            dice = random.random()
            if dice < 0.1:
                del frames[view]
            elif dice < 0.2:
                spoilt = [
                    before[view],
                    Frame(before[view].image, clean.t(number)),
                    Frame(frames[view].image, -1.0),
                    None,
                ]
                frames[view] = spoilt[random.integers(4)]  # type: ignore[assignment]
        before = clean.frames(number)
        for view in frames:
            handed_in[view] += 1
        try:
            percept = perceiver.step(frames, clean.t(number))
        except FrameError:
            continue
        gap_steps += check_gaps(percept, frames)
    stats = perceiver.stats()
    assert {view: some.input for view, some in stats.views.items()} == handed_in
    for some in stats.views.values():
        assert some.input == some.processed + some.dropped + some.refused
        assert min(some.processed, some.duplicate, some.out_of_order, some.rejected) > 0
    assert gap_steps > 100 and stats.steps + stats.views["incar"].rejected > 1000


def check_gaps(percept: Percept, frames: dict[str, Frame]) -> bool:
    """An answer to a step without a frame says so: the view's age is not zero. Returns whether there was a gap."""
    gaps = [view for view in VIEWS if view not in frames]
    assert all(percept.views[view].age_s != 0 for view in gaps)
    return bool(gaps)


def test_frames_that_an_engine_fails_on_are_counted_as_dropped(spies: tuple[Perceiver, Spy, Spy]) -> None:
    perceiver, encoder, _ = spies
    was = counts(perceiver, "incar")
    encoder.fails = True
    with pytest.raises(EngineError):
        perceiver.step({"incar": shot(0)}, 1.0)
    encoder.fails = False
    perceiver.step({"incar": shot(0)}, 1.1)
    now = counts(perceiver, "incar")
    assert (now.failed - was.failed, now.processed - was.processed, now.input - was.input) == (1, 1, 2)


def test_stats_are_json_ready(idle: Perceiver) -> None:
    idle.step({"incar": shot(0)}, 1.0)
    content = json.loads(json.dumps(idle.stats().to_dict()))
    assert content["steps"] == 1 and content["views"]["incar"]["processed"] == 1
    assert content["views"]["left"] == {**content["views"]["right"]} and content["views"]["left"]["dropped"] == 0


# Deadlines


def test_a_step_over_its_deadline_says_so_and_is_counted(idle: Perceiver) -> None:
    assert not idle.step({"incar": shot(0)}, 1.0, deadline_ms=10_000).deadline_missed
    assert idle.step({"incar": shot(1)}, 1.1, deadline_ms=1e-6).deadline_missed
    assert not idle.step({"incar": shot(2)}, 1.2).deadline_missed
    assert idle.stats().misses == 1
