"""Clips with frames alone, and without a stream of the driver's, through a real bundle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codriver.bundle.manifest import FinderSpec
from codriver.perceiver import Perceiver
from codriver.percept import DRIVER_PARTS, Driver, DriverSight
from codriver.sources import ClipFolder
from codriver.tasks import KEYPOINTS
from targets.trial.drivers import FRAMES_ALONE, certainty, frames_alone, told, without
from targets.trial.scoring import evaluate
from tests.aide import write_dataset
from tests.tiny import make_tiny_bundle
from workshop.aide_splits import ClipRef, read_split

WHOLE = Driver(face_px=(1, 2, 30, 40), body_px=(0, 0, 60, 60), keypoints=np.ones((KEYPOINTS, 3), np.float32))


@pytest.fixture(scope="module")
def refs(tmp_path_factory: pytest.TempPathFactory) -> list[ClipRef]:
    return read_split(write_dataset(tmp_path_factory.mktemp("data"), clips=4, frames=27), "train")


@pytest.mark.parametrize("part", DRIVER_PARTS)
def test_a_stream_that_is_taken_away_is_left_out_of_the_step_and_no_other(part: str, perceiver: Perceiver) -> None:
    perceiver.reset()
    frames = {"incar": np.random.default_rng(0).integers(0, 256, (80, 120, 3), np.uint8)}
    found = perceiver.step(frames, 0.0).driver.driver
    lost, kept = perceiver.step(frames, 0.2, without(found, [part])), perceiver.step(frames, 0.4, without(found, []))
    assert [reason.split(":")[0] for reason in lost.reasons if "left out" in reason] == [part]
    assert not [reason for reason in kept.reasons if "left out" in reason]


def test_what_was_not_found_stays_away() -> None:
    nothing = without(Driver(), [])
    assert np.isnan(nothing.face_px).all() and np.isnan(nothing.keypoints).all()
    assert without(WHOLE, []).face_px == WHOLE.face_px and np.isfinite(WHOLE.keypoints).all()


def test_frames_alone_give_what_a_car_gets_and_giving_it_back_changes_nothing(
    perceiver: Perceiver, refs: list[ClipRef]
) -> None:
    ways, sure = frames_alone(perceiver, refs, "tiny", parts=True)
    assert list(ways) == [
        FRAMES_ALONE,
        *(f"without {part}" for part in DRIVER_PARTS),
        "without face, body, posture and gesture",
    ]
    assert len(sure) == len(refs) and min(sure) > 0.5
    alone = []
    for ref in refs:
        perceiver.reset()
        with ClipFolder(ref.folder, strict=True) as clip:
            alone.append([perceiver.step(at.frames, at.t) for at in clip][-1].tasks["driver_emotion"].index)
    assert ways[FRAMES_ALONE]["driver_emotion"].predictions.tolist() == alone
    probabilities = {way: tasks["driver_emotion"].probabilities for way, tasks in ways.items()}
    assert all(
        not np.array_equal(some, probabilities[FRAMES_ALONE])
        for way, some in probabilities.items()
        if way != FRAMES_ALONE
    )


def test_hands_that_the_finder_does_not_look_for_are_not_taken_away(tmp_path: Path, refs: list[ClipRef]) -> None:
    with Perceiver.open(make_tiny_bundle(tmp_path / "b", finder=FinderSpec(gesture=False))) as perceiver:
        ways, sure = frames_alone(perceiver, refs[:1], "tiny", parts=True)
    parts = ("face", "body", "posture")
    assert list(ways) == [FRAMES_ALONE, *(f"without {part}" for part in parts), "without face, body and posture"]
    assert sure[0] > 0.5


def test_without_every_stream_the_view_is_all_that_is_left(perceiver: Perceiver, refs: list[ClipRef]) -> None:
    ways, _ = frames_alone(perceiver, refs[:1], "tiny", parts=True)

    def steps():  # type: ignore[no-untyped-def]
        with ClipFolder(refs[0].folder, strict=True) as clip:
            yield from ((at.frames, at.t, without(Driver(), DRIVER_PARTS)) for at in clip)

    by_hand = evaluate(perceiver, [(steps(), {"driver_emotion": 0})])["driver_emotion"]
    np.testing.assert_allclose(
        ways[f"without {told(DRIVER_PARTS)}"]["driver_emotion"].probabilities, by_hand.probabilities
    )


def test_how_sure_a_clip_was_counts_steps_without_a_driver_as_nothing() -> None:
    sure = DriverSight(present=True, certainty=dict.fromkeys(DRIVER_PARTS, 0.8))
    nobody = DriverSight(present=False, certainty=dict.fromkeys(DRIVER_PARTS, 0.8))
    assert certainty([sure, nobody, DriverSight(), sure]) == 0.4


def test_clips_stepped_at_a_third_of_the_rate_answer_by_the_first_and_each_third_frame_to_the_last(
    perceiver: Perceiver, refs: list[ClipRef]
) -> None:
    ways, _ = frames_alone(perceiver, refs, "tiny", parts=False, every=3)
    alone = []
    for ref in refs:
        perceiver.reset()
        with ClipFolder(ref.folder, strict=True) as clip:
            sets = list(clip)
        alone.append([perceiver.step(at.frames, at.t) for at in [sets[0], *sets[2::3]]][-1].tasks["driver_emotion"])
    assert len(sets) == 27
    found = ways[FRAMES_ALONE]["driver_emotion"].probabilities
    np.testing.assert_array_equal(found, [list(some.probabilities.values()) for some in alone])


def test_all_frames_answer_as_the_mean_of_the_three_that_end_a_slot_apart(
    perceiver: Perceiver, refs: list[ClipRef]
) -> None:
    """Slots of 0.2 s hold each third frame, counted from the last, and the first: no other is asked for an answer."""
    with ClipFolder(refs[0].folder, strict=True) as clip:
        frames = [(at.frames, at.t, WHOLE) for at in clip]

    def answer(some):  # type: ignore[no-untyped-def]
        return evaluate(perceiver, [(iter(some), {"driver_emotion": 0})])["driver_emotion"].probabilities

    ends = range(len(frames) - 3, len(frames))
    slots = [[at for i, at in enumerate(frames[: end + 1]) if i == 0 or (end - i) % 3 == 0] for end in ends]
    np.testing.assert_allclose(answer(frames), np.mean([answer(some) for some in slots], axis=0), rtol=1e-12)
    with ClipFolder(refs[0].folder, strict=True, every=3) as clip:
        np.testing.assert_array_equal(answer([(at.frames, at.t, WHOLE) for at in clip]), answer(slots[-1]))
