"""Whatever comes in: an answer, or an error with a type; each part of the driver that is left out has its reason."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from codriver.errors import FrameError
from codriver.finder.peaks import in_a_mirror, read_sight
from codriver.perceiver import Perceiver
from codriver.percept import DRIVER_PARTS, Driver, Percept
from codriver.tasks import GESTURE_POINTS, KEYPOINTS, POSTURE_POINTS
from tests.faults import Finds, Idle
from tests.tiny import finder_logits, loaded, tiny_manifest

NAN = float("nan")
WHOLE = Driver(face_px=(10, 10, 40, 40), body_px=(5, 5, 90, 90), keypoints=np.ones((KEYPOINTS, 3), np.float32))


def perceiver(**changes: object) -> Perceiver:
    manifest = tiny_manifest()
    assert manifest.finder is not None
    manifest = replace(manifest, finder=replace(manifest.finder, **changes))
    return Perceiver(loaded(manifest, Idle(manifest.encoder_signature), Idle(manifest.fuser_signature), finder=Finds()))


def picture(height: int = 100, width: int = 200, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def step(driver: Driver | None = None, **frames: np.ndarray) -> Percept:
    return perceiver().step(frames or {"incar": picture()}, 0.0, driver)


def left_out(percept: Percept) -> list[str]:
    return sorted({reason.split(":")[0].split(" ")[0] for reason in percept.reasons if "left out" in reason})


def test_without_the_in_car_frame_nobody_is_looked_for_and_nothing_is_left_out() -> None:
    percept = step(front=picture())
    assert percept.driver.present is None and "no in-car frame yet" in percept.driver.reason and not left_out(percept)


def test_a_missing_in_car_frame_leaves_what_was_known() -> None:
    with perceiver() as some:
        before = some.step({"incar": picture()}, 0.0)
        after = some.step({"front": picture()}, 0.2)
    assert after.driver.face_px == before.driver.face_px and after.driver.present


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (9, 9), (1, 500)])
def test_a_tiny_in_car_frame_has_no_crops_and_says_so(size: tuple[int, int]) -> None:
    percept = step(incar=picture(*size))
    assert left_out(percept) == ["body", "face"] and percept.driver.present


@pytest.mark.parametrize(
    "bad", [np.zeros((90, 160), np.uint8), np.zeros((90, 160, 1), np.uint8), np.zeros((90, 160, 3))]
)
def test_a_grey_or_floating_frame_is_a_frame_error_that_leaves_the_finder_as_it_was(bad: np.ndarray) -> None:
    with perceiver() as some:
        before = some.step({"incar": picture()}, 0.0).driver.face_px
        with pytest.raises(FrameError, match="incar"):
            some.step({"incar": bad}, 0.2)
        assert some.step({"incar": picture(seed=1)}, 0.2).driver.face_px == before


@pytest.mark.parametrize(
    "box",
    [(NAN,) * 4, (10, 10, NAN, 40), (10, 10, -40, 40), (10, 10, 40, 0), (900, 10, 40, 40), (float("inf"), 0, 9, 9)],
)
@pytest.mark.parametrize("part", ["face", "body"])
def test_a_box_that_holds_nothing_of_the_frame_leaves_its_stream_out_and_no_other(
    part: str, box: tuple[float, ...]
) -> None:
    percept = step(replace(WHOLE, **{f"{part}_px": box}))
    assert left_out(percept) == [part] and percept.driver.sources[part] == "given"


@pytest.mark.parametrize("value", [NAN, 0.0])
@pytest.mark.parametrize(("part", "points"), [("posture", POSTURE_POINTS), ("gesture", GESTURE_POINTS)])
def test_points_that_say_nothing_leave_their_stream_out(part: str, points: tuple[int, ...], value: float) -> None:
    keypoints = np.ones((KEYPOINTS, 3), np.float32)
    keypoints[list(points)] = value
    percept = step(replace(WHOLE, keypoints=keypoints))
    assert left_out(percept) == [part]
    assert (
        f"{part}: {'100% of its points are not numbers' if value else 'all of its points are zero'}, so it is left out"
        in percept.reasons
    )


def test_a_part_that_the_finder_leaves_out_has_one_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = finder_logits()
    logits["x"][:, : len(POSTURE_POINTS)] = 0.0  # as likely anywhere
    monkeypatch.setattr(Finds, "infer", lambda self, inputs: logits)
    reasons = [reason for reason in step().reasons if "left out" in reason]
    assert len(reasons) == 1 and reasons[0].startswith("posture is left out: the finder is")


def test_each_part_that_is_not_seen_has_its_reason() -> None:
    nothing = Driver(face_px=(NAN,) * 4, body_px=(NAN,) * 4, keypoints=np.full((KEYPOINTS, 3), NAN, np.float32))
    assert left_out(step(nothing)) == sorted(DRIVER_PARTS)


@pytest.mark.parametrize("bad", [Driver(face_px=(1, 2, 3)), Driver(body_px="here"), Driver(keypoints=np.ones((17, 3)))])
def test_a_driver_of_another_form_is_a_frame_error(bad: Driver) -> None:
    with pytest.raises(FrameError, match=r"driver|keypoints"):
        step(bad)


def test_a_driver_on_the_other_side_is_looked_for_in_a_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is right of the middle in the mirrored frame is left of it in the frame, and a right hand is a left one."""
    seen = []

    def infer(self: Finds, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        seen.append(inputs["pixels"][0].copy())
        return finder_logits(shift=0.1)

    monkeypatch.setattr(Finds, "infer", infer)
    frames = {"incar": picture()}
    plain, mirrored = (perceiver(mirrored=some).step(frames, 0.0).driver for some in (False, True))
    np.testing.assert_array_equal(seen[1], seen[0][:, ::-1])
    (x, y, width, height), other = plain.face_px, mirrored.face_px
    assert other == pytest.approx((200 - x - width, y, width, height), abs=1e-3)
    left, right = 94, 115  # first points of both hands
    assert mirrored.keypoints[left, 0] == pytest.approx(200 - plain.keypoints[right, 0], abs=1e-3)
    assert mirrored.keypoints[right, 1] == pytest.approx(plain.keypoints[left, 1], abs=1e-3)


@pytest.mark.parametrize("gesture", [True, False])
def test_two_mirrors_give_a_sight_back(gesture: bool) -> None:
    rng = np.random.default_rng(0)
    logits = {
        name: rng.normal(0, 3, some.shape).astype(np.float32) for name, some in finder_logits(gesture=gesture).items()
    }
    sight = read_sight(logits)
    twice = in_a_mirror(in_a_mirror(sight))
    np.testing.assert_allclose(twice.points, sight.points, atol=1e-6)
    np.testing.assert_array_equal(twice.certainty, sight.certainty)
