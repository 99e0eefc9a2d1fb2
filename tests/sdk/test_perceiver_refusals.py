"""What a step refuses, and what happens when an engine fails: a clear error, and nothing lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from codriver.config import TimingConfig
from codriver.errors import EngineError, FrameError
from codriver.frames.check import check_step
from codriver.perceiver import Perceiver
from codriver.percept import Driver, Frame
from codriver.tasks import VIEWS
from tests.spies import Spy
from tests.tiny import answers, run, tiny_steps

FRAME = np.zeros((20, 30, 3), np.uint8)
DRIVER = Driver(face_px=(5, 2, 15, 15))

# Refusals

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "float frame": (
        {"frames": {"incar": FRAME.astype(np.float32)}},
        r"'incar': got float32 .*expected uint8",
    ),
    "grey frame": ({"frames": {"incar": FRAME[..., 0]}}, r"got shape \(20, 30\), expected \(H, W, 3\)"),
    "frame with alpha": ({"frames": {"incar": np.zeros((4, 4, 4), np.uint8)}}, "drop an alpha channel"),
    "batch of frames": ({"frames": {"incar": FRAME[None]}}, r"got shape \(1, 20, 30, 3\)"),
    "frame without rows": ({"frames": {"incar": FRAME[:0]}}, r"got shape \(0, 30, 3\)"),
    "list as frame": ({"frames": {"incar": [[[0, 0, 0]]]}}, "got list, expected a numpy array"),
    "None as frame": ({"frames": {"incar": None}}, "'incar': got None; leave a view without a frame out"),
    "one bad of two": (
        {"frames": {"front": FRAME, "left": FRAME[..., :2]}},
        r"'left': got shape \(20, 30, 2\)",
    ),
    "not a Frame's time": ({"frames": {"left": Frame(FRAME, "now")}}, "'left': t: got str, expected seconds"),
    "a Frame without an end": ({"frames": {"left": Frame(FRAME, float("inf"))}}, "'left': t: got inf"),
    "a list in a Frame": ({"frames": {"left": Frame([0])}}, "'left': got list, expected a numpy array"),
    "array for frames": ({"frames": FRAME}, "got ndarray, expected a dict"),
    "None for frames": ({"frames": None}, "got NoneType, expected a dict"),
    "unknown view": ({"frames": {"rear": FRAME}}, "'rear' is not one of incar, front, left, right"),
    "misspelt view": ({"frames": {"Front": FRAME}}, "did you mean 'front'"),
    "misspelt in-car": ({"frames": {"in_car": FRAME}}, "did you mean 'incar'"),
    "view by number": ({"frames": {0: FRAME}}, "view 0 is not one of"),
    "crop as view": ({"frames": {"face": FRAME}}, "'face' is not one of"),
    "same time": ({"t": 1.4}, "got 1.4, expected a time after the last step's 1.4.*call reset"),
    "earlier time": ({"t": 0.5}, "got 0.5, expected a time after the last step's 1.4"),
    "time is not a number": ({"t": float("nan")}, "got nan, expected a finite capture time"),
    "infinite time": ({"t": float("inf")}, "got inf, expected a finite"),
    "huge whole time": ({"t": 10**400}, "expected a finite"),
    "time as text": ({"t": "1.5"}, "got str, expected seconds"),
    "time as truth": ({"t": True}, "got bool, expected seconds"),
    "driver as dict": ({"driver": {"face_px": (0, 0, 9, 9)}}, "got dict, expected codriver.Driver"),
    "box of three": (
        {"driver": Driver(face_px=(0, 0, 9))},
        r"driver.face_px: got shape \(3,\), expected",
    ),
    "box of text": ({"driver": Driver(body_px="abcd")}, "driver.body_px: got 'abcd', expected four numbers"),
    "box as number": ({"driver": Driver(body_px=3)}, r"driver.body_px: got shape \(\)"),
    "ragged box": ({"driver": Driver(body_px=[1, [2], 3, 4])}, "driver.body_px: got"),
    "17 keypoints": (
        {"driver": Driver(keypoints=np.zeros((17, 3)))},
        r"keypoints: got shape \(17, 3\), expected",
    ),
    "flat keypoints": ({"driver": Driver(keypoints=np.zeros((136, 2)))}, r"keypoints: got shape \(136, 2\)"),
    "keypoints of text": ({"driver": Driver(keypoints="hands up")}, "keypoints: got str, expected an array"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_a_refused_step_says_why_and_leaves_no_trace(perceiver: Perceiver, fault: str) -> None:
    change, message = REFUSED[fault]
    steps = tiny_steps(10)
    expected = [answers(perceiver.step(*step)) for step in steps]
    perceiver.reset()
    found = [answers(perceiver.step(*step)) for step in steps[:8]]
    with pytest.raises(FrameError, match=message):
        perceiver.step(**({"frames": {"incar": FRAME}, "t": 1.5, "driver": None} | change))
    found += [answers(perceiver.step(*step)) for step in steps[8:]]
    assert found == expected


def test_whatever_is_thrown_at_the_door_is_a_frame_error() -> None:
    random = np.random.default_rng(0)
    pool: list[Any] = [None, True, 0, -1.5, 1 + 2j, "x", b"x", [], {}, object(), np.datetime64("2020")]
    pool += [
        FRAME,
        FRAME[0],
        np.zeros(0),
        np.array("x"),
        {"incar": FRAME},
        {"incar": np.array(None)},
        {None: FRAME},
        {"left": Frame(FRAME)},
        {"left": Frame(None, object())},
    ]
    pool += [Driver(), Driver(face_px={}), Driver(body_px=object()), Driver(keypoints=[[]])]
    for _ in range(1000):
        frames, t, driver = (pool[index] for index in random.integers(0, len(pool), 3))
        try:
            check_step(VIEWS, 0.0, frames, t, driver, TimingConfig())
        except FrameError as error:
            assert len(str(error)) > 20


def test_numpy_numbers_are_times(perceiver: Perceiver) -> None:
    for number, t in enumerate((np.float32(1), np.float64(2), np.int64(3), 4)):
        assert perceiver.step({"incar": FRAME}, t).t == number + 1
        assert type(perceiver.step({"incar": FRAME}, t + 0.5).t) is float


# Engines that fail


@pytest.mark.parametrize("place", ["encoder", "fuser"])
def test_an_engine_that_gives_nan_is_an_error_and_not_an_answer(spies: tuple[Perceiver, Spy, Spy], place: str) -> None:
    perceiver, encoder, fuser = spies
    run(perceiver, tiny_steps(10))
    spy, output = (encoder, "incar_feature") if place == "encoder" else (fuser, "driver_emotion")
    spy.spoil = output
    with pytest.raises(EngineError, match=f"the {place} gave NaN or infinity"):
        perceiver.step({"incar": FRAME}, 2.0)
    spy.spoil = None
    perceiver.step({"incar": FRAME}, 2.2, DRIVER)
    assert perceiver.step({"incar": FRAME}, 2.4, DRIVER).driver_emotion.valid


def test_a_failing_encoder_leaves_no_trace(spies: tuple[Perceiver, Spy, Spy]) -> None:
    perceiver, encoder, _ = spies
    steps = tiny_steps(10)
    expected = answers(run(perceiver, steps))
    perceiver.reset()
    for step in steps[:9]:
        perceiver.step(*step)
    encoder.fails = True
    with pytest.raises(EngineError, match="device lost"):
        perceiver.step({"incar": FRAME}, 1.7)
    encoder.fails = False
    assert answers(perceiver.step(*steps[9])) == expected
