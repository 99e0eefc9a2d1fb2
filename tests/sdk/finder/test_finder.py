"""Where the driver is at a step, by a finder that sees what a test tells it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from codriver.errors import EngineError
from codriver.finder.told import NO_DRIVER, NO_FINDER, UNUSABLE
from codriver.finder_graph import JOINT_POINTS
from codriver.perceiver import Perceiver
from codriver.percept import Driver, Percept
from codriver.tasks import KEYPOINTS, POSTURE_POINTS, VIEWS
from tests.faults import Finds, Idle
from tests.tiny import loaded, tiny_manifest, without_finder

OF_DRIVER = ("driver_emotion", "driver_behavior")
STEP_S = 0.2
NOBODY, NO_FACE, DARK = (-9.0, -9.0, 9.0), (9.0, -9.0, 9.0), (-9.0, -9.0, -9.0)
WHOLE = Driver(face_px=(10, 10, 40, 40), body_px=(5, 5, 90, 90), keypoints=np.ones((KEYPOINTS, 3), np.float32))


class Drive:
    """A perceiver whose finder is at hand, stepped with frames alone."""

    def __init__(self, *, color: str = "bgr", **changes: float) -> None:
        manifest = tiny_manifest()
        assert manifest.finder is not None
        manifest = replace(manifest, finder=replace(manifest.finder, **changes))
        self.finder, self.t = Finds(), 0.0
        encoder, fuser = Idle(manifest.encoder_signature), Idle(manifest.fuser_signature)
        self.perceiver = Perceiver(loaded(manifest, encoder, fuser, finder=self.finder, color=color))
        self._random = np.random.default_rng(0)

    def steps(self, count: int, driver: Driver | None = None, views: tuple[str, ...] = VIEWS) -> list[Percept]:
        percepts = []
        for _ in range(count):
            frames = {view: self._random.integers(0, 256, (100, 200, 3), np.uint8) for view in views}
            percepts.append(self.perceiver.step(frames, self.t, driver))
            self.t = round(self.t + STEP_S, 6)
        return percepts


@pytest.fixture
def drive() -> Drive:
    return Drive()


def test_frames_alone_give_a_driver_in_pixels_of_the_frame(drive: Drive) -> None:
    last = drive.steps(10)[-1]
    assert last.state == "ok" and last.reasons == () and all(result.valid for result in last.tasks.values())
    assert last.driver.present and set(last.driver.sources.values()) == {"found"}
    assert last.driver.face_px == pytest.approx((60, 30, 80, 40), abs=0.01)
    assert last.driver.body_px == pytest.approx((20, 10, 160, 80), abs=0.01)
    known = last.driver.keypoints[list(JOINT_POINTS)]
    assert known[0, :2] == pytest.approx([60, 30], abs=0.01) and known[:, 2] == pytest.approx(1.0, abs=0.01)
    assert np.count_nonzero(last.driver.keypoints.any(axis=1)) == len(JOINT_POINTS)


def test_hands_that_no_bundle_looks_for_are_masked_by_design_and_no_step_warns_of_it(drive: Drive) -> None:
    drive.finder.sees(gesture=False)
    last = drive.steps(10)[-1]
    assert last.state == "ok" and last.reasons == () and all(result.valid for result in last.tasks.values())
    assert last.driver.sources == {"face": "found", "body": "found", "posture": "found", "gesture": "none"}
    assert last.driver.reasons == {"gesture": "this bundle's finder does not look for it"}
    assert set(last.driver.certainty) == {"face", "body", "posture"}
    assert np.flatnonzero(last.driver.keypoints.any(axis=1)).tolist() == list(POSTURE_POINTS)
    assert last.driver.to_dict()["reasons"] == last.driver.reasons


def test_hands_that_are_given_stand_beside_what_is_found(drive: Drive) -> None:
    drive.finder.sees(gesture=False)
    last = drive.steps(9, Driver(keypoints=WHOLE.keypoints))[-1]
    assert last.driver.sources == {"face": "found", "body": "found", "posture": "given", "gesture": "given"}
    assert last.driver.reasons == {} and last.state == "ok" and last.reasons == ()


def test_what_is_told_is_json(drive: Drive) -> None:
    told = json.loads(json.dumps(drive.steps(1)[0].to_dict(), allow_nan=False))["driver"]
    assert len(told["keypoints"]) == KEYPOINTS and len(told["face_px"]) == 4 and told["sources"]["face"] == "found"


def test_without_a_finder_and_a_driver_what_is_asked_of_the_driver_is_invalid() -> None:
    manifest = without_finder(tiny_manifest())
    bundle = loaded(manifest, Idle(manifest.encoder_signature), Idle(manifest.fuser_signature))
    with Perceiver(bundle) as perceiver:
        pictures = np.random.default_rng(0).integers(0, 256, (12, 100, 200, 3), np.uint8)
        sets = [dict.fromkeys(VIEWS, picture) for picture in pictures]
        percepts = [perceiver.step(frames, n / 5, WHOLE if n == 11 else None) for n, frames in enumerate(sets)]
    before, given = percepts[-2:]
    assert {name: (r.valid, r.reason) for name, r in before.tasks.items() if not r.valid} == {
        name: (False, NO_FINDER) for name in OF_DRIVER
    }
    assert before.state == "degraded" and NO_FINDER in before.reasons and before.driver.present is None
    assert given.tasks["driver_emotion"].valid and set(given.driver.sources.values()) == {"given"}


def test_no_driver_is_an_answer_and_what_is_asked_outside_stays_valid(drive: Drive) -> None:
    drive.finder.sees(presence=NOBODY)
    last = drive.steps(12)[-1]
    assert last.driver.present is False and last.driver.face_px is None and last.driver.keypoints is None
    assert [name for name, result in last.tasks.items() if not result.valid] == list(OF_DRIVER)
    assert {last.tasks[name].reason for name in OF_DRIVER} == {NO_DRIVER} and last.state == "degraded"


def test_a_camera_that_shows_nothing_is_no_missing_driver(drive: Drive) -> None:
    drive.finder.sees(presence=DARK)
    assert drive.steps(12)[-1].tasks["driver_emotion"].reason == UNUSABLE


def test_a_part_that_the_finder_is_not_sure_of_is_left_out_and_said(drive: Drive) -> None:
    drive.finder.sees(spread_bins=40.0)
    last = drive.steps(12)[-1]
    assert set(last.driver.sources.values()) == {"none"} and last.driver.present
    assert all(last.driver.certainty[part] < 0.3 for part in last.driver.sources)
    assert [reason for reason in last.reasons if reason.startswith("gesture is left out: the finder is 0.")]
    assert last.tasks["driver_emotion"].valid  # the whole in-car picture is still there


def test_a_face_that_turns_away_leaves_the_body(drive: Drive) -> None:
    drive.steps(5)
    drive.finder.sees(presence=NO_FACE)
    last = drive.steps(4)[-1]
    assert last.driver.face_px is None and last.driver.body_px is not None
    assert last.driver.reasons == {"face": "it is not to be seen"}


def test_what_is_given_stands_part_by_part_over_what_is_found(drive: Drive) -> None:
    last = drive.steps(9, Driver(face_px=(10, 10, 40, 40)))[-1]
    assert last.driver.sources == {"face": "given", "body": "found", "posture": "found", "gesture": "found"}
    assert last.driver.face_px == (10, 10, 40, 40) and "face" not in last.driver.certainty


def test_who_gives_all_parts_pays_for_no_look(drive: Drive) -> None:
    last = drive.steps(9, WHOLE)[-1]
    assert drive.finder.looks == 0 and set(last.driver.sources.values()) == {"given"} and last.state == "ok"


def test_a_driver_who_is_given_is_there_although_the_finder_sees_nobody(drive: Drive) -> None:
    drive.finder.sees(presence=NOBODY)
    last = drive.steps(12, Driver(body_px=(5, 5, 90, 90)))[-1]
    assert last.driver.present and last.tasks["driver_emotion"].valid and last.driver.face_px is None


def test_one_frame_that_seems_empty_takes_nobody_away_and_half_a_second_does(drive: Drive) -> None:
    before = drive.steps(5)[-1]
    drive.finder.sees(shift=0.4, presence=NOBODY)
    flicker, second, third = drive.steps(3)
    assert flicker.driver.present and flicker.driver.face_px == before.driver.face_px
    assert second.driver.present and third.driver.present is False


def test_a_driver_who_sits_down_is_found_within_a_second(drive: Drive) -> None:
    drive.finder.sees(presence=NOBODY)
    drive.steps(10)
    drive.finder.sees()
    assert [percept.driver.present for percept in drive.steps(4)] == [False, False, True, True]


def test_a_jump_of_half_a_box_must_be_seen_twice(drive: Drive) -> None:
    x = drive.steps(5)[-1].driver.body_px[0]
    drive.finder.sees(shift=0.5)
    first, second = drive.steps(2)
    assert first.driver.body_px[0] == pytest.approx(x) and second.driver.body_px[0] == pytest.approx(x + 100, abs=0.01)


def test_a_jump_that_was_none_moves_nothing(drive: Drive) -> None:
    x = drive.steps(5)[-1].driver.body_px[0]
    drive.finder.sees(shift=0.5)
    drive.steps(1)
    drive.finder.sees()
    assert drive.steps(1)[0].driver.body_px[0] == pytest.approx(x)


def test_the_finder_looks_at_its_own_rate() -> None:
    drive = Drive(every_s=0.6)
    drive.steps(10)
    assert drive.finder.looks == 4  # at 0, 0.6, 1.2 and 1.8 s


def test_between_looks_the_driver_is_told_as_at_the_last_one_in_pixels_of_each_frame() -> None:
    drive = Drive(every_s=0.6)
    looked, next_one = drive.steps(2)
    assert drive.finder.looks == 1 and next_one.driver is looked.driver
    small = {view: np.zeros((50, 100, 3), np.uint8) for view in VIEWS}
    halved = drive.perceiver.step(small, drive.t)
    assert drive.finder.looks == 1
    assert halved.driver.face_px == pytest.approx([side / 2 for side in looked.driver.face_px])
    assert halved.driver.keypoints[:, :2] == pytest.approx(looked.driver.keypoints[:, :2] / 2)


def test_what_is_given_between_two_looks_is_told_and_gone_with_the_next_step() -> None:
    drive = Drive(every_s=10)
    looked = drive.steps(1)[0]
    given, after = drive.steps(1, Driver(face_px=(1, 2, 30, 40)))[0], drive.steps(1)[0]
    assert (given.driver.face_px, given.driver.sources["face"]) == ((1, 2, 30, 40), "given")
    assert after.driver.sources["face"] == "found" and after.driver.to_dict() == looked.driver.to_dict()


def test_keypoints_that_their_owner_moves_in_place_are_read_anew_at_each_step() -> None:
    drive, points = Drive(), np.full((KEYPOINTS, 3), 10, np.float32)
    whole = replace(WHOLE, keypoints=points)
    drive.steps(1, whole)
    points[:, :2] *= 2
    drive.steps(1, whole)
    posture = drive.perceiver._graphs._inputs.arrays["posture"][0]
    assert posture[0] == pytest.approx([20 / 200, 20 / 100, 1.0])


def test_without_an_in_car_frame_nobody_looks_and_nothing_is_cut(drive: Drive) -> None:
    drive.steps(12)
    looks = drive.finder.looks
    last = drive.steps(1, views=("front",))[0]
    assert drive.finder.looks == looks and last.tasks["driver_emotion"].reason.startswith("no frame to trust")


def test_a_reset_forgets_the_driver(drive: Drive) -> None:
    drive.steps(3)
    drive.perceiver.reset()
    assert drive.steps(1, views=("front",))[0].driver.present is None


def test_rgb_frames_reach_the_graph_as_bgr() -> None:
    seen = {}
    for color in ("bgr", "rgb"):
        drive = Drive(color=color)
        keep = drive.finder.infer
        drive.finder.infer = lambda inputs, keep=keep, color=color: (
            seen.update({color: inputs["pixels"].copy()}) or keep(inputs)
        )
        drive.steps(1)
    assert np.array_equal(seen["bgr"], seen["rgb"][..., ::-1])


def test_a_finder_that_gives_nan_is_an_error_and_no_driver(drive: Drive) -> None:
    drive.finder.sees(shift=float("nan"))
    with pytest.raises(EngineError, match="finder gave NaN"):
        drive.steps(1)
    assert all(counts.failed == counts.input == 1 for counts in drive.perceiver.stats().views.values())


def test_a_given_box_outside_the_frame_is_left_out_and_said(drive: Drive) -> None:
    last = drive.steps(9, replace(WHOLE, face_px=(float("nan"), 1, 2, 3), body_px=(300, 300, 50, 50)))[-1]
    assert [reason.split(":")[0] for reason in last.reasons] == ["face", "body"]
