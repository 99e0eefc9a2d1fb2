"""A device first proves itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codriver.bundle.folder import Bundle
from codriver.errors import BundleError, EngineError
from codriver.finder.peaks import read_sight
from codriver.perceiver import Perceiver
from codriver.tasks import AIDE
from codriver.verify.golden import FINDER, NOBODY, check_golden, golden_steps, prove, read_golden, told_of
from tests.tiny import (
    GOLDEN_STEPS,
    finder_logits,
    tiny_files,
    tiny_manifest,
    tiny_steps,
    without_finder,
    write_bundle,
)
from workshop.golden_vectors import write_golden

DRAFT = without_finder(tiny_manifest())
FILES = tiny_files(DRAFT)
PEACE = {"driver_emotion": {"Peace": 1.0}}
STEP = {"t": 0, "frames": {}, "face_px": None, "body_px": None, "keypoints": None}
CLIP = {"steps": [STEP], "expected": {"ort-x86": PEACE}, "tolerance": 0.1}


def bundle_with_golden(out: Path, content: dict[str, Any]) -> Path:
    """The tiny bundle with another golden.json and no pictures."""
    files = FILES | {"golden.json": json.dumps(content).encode()}
    write_bundle(out, replace(DRAFT, golden="golden.json"), files)
    return out


def with_golden(folder: Path) -> Path:
    """The tiny bundle, in `folder`, with the golden vectors in `folder`/golden."""
    files = FILES | {f"golden/{path.name}": path for path in (folder / "golden").iterdir()}
    write_bundle(folder / "b", replace(DRAFT, golden="golden/golden.json"), files)
    return folder / "b"


@pytest.mark.parametrize("variant", ["ort-x86", "ort-x86-7bit"])
def test_each_variant_meets_its_own_answers(bundle_path: Path, variant: str) -> None:
    with Perceiver.open(bundle_path, threads=1, variant=variant) as perceiver:
        differences = check_golden(perceiver)
    assert [difference.task for difference in differences] == [*AIDE.names, FINDER]
    assert all(d.ok and d.same_label and d.max_abs < 1e-5 for d in differences)


def test_another_model_does_not_meet_them(bundle_path: Path) -> None:
    with Perceiver.open(bundle_path, engine="fake") as perceiver:
        assert not any(difference.ok for difference in check_golden(perceiver))


def test_a_variant_without_expected_answers_is_refused_with_those_that_have_some(tmp_path: Path) -> None:
    expected = {"ort-arm": PEACE, "ort-x86-7bit": PEACE}
    write_golden(tmp_path / "golden", tiny_steps(1), expected, tolerance=0.01)
    with Perceiver.open(with_golden(tmp_path), threads=1, variant="ort-x86") as perceiver:
        with pytest.raises(BundleError, match="no answers of variant ort-x86, only of ort-arm, ort-x86-7bit; build"):
            check_golden(perceiver)


def test_the_order_of_colours_in_the_users_frames_does_not_matter(bundle_path: Path) -> None:
    with Perceiver.open(bundle_path, threads=1, color="rgb") as perceiver:
        assert all(difference.max_abs < 1e-5 for difference in check_golden(perceiver))


def test_checking_leaves_the_perceiver_as_after_reset(bundle_path: Path) -> None:
    with Perceiver.open(bundle_path, threads=1) as perceiver:
        check_golden(perceiver)
        assert [perceiver.step(*step).context for step in tiny_steps(2)] == [0.0, 1 / 16]


def test_steps_come_back_exactly_as_they_were_written(bundle_path: Path) -> None:
    ((steps, expected, tolerance, _),) = read_golden(Bundle.open(bundle_path))
    assert tolerance == 0.01 and list(expected) == ["ort-x86", "ort-x86-7bit"]
    for (frames, t, driver), (wrote_frames, wrote_t, wrote_driver) in zip(steps, tiny_steps(GOLDEN_STEPS), strict=True):
        assert t == wrote_t and list(frames) == list(wrote_frames)
        for view in frames:
            np.testing.assert_array_equal(frames[view], wrote_frames[view])
        assert driver is not None and wrote_driver is not None
        assert driver.face_px == wrote_driver.face_px and driver.body_px == wrote_driver.body_px
        np.testing.assert_array_equal(driver.keypoints, wrote_driver.keypoints)


def test_a_frame_that_is_shown_twice_is_stored_once(tmp_path: Path) -> None:
    frames, _, driver = tiny_steps(1)[0]
    write_golden(tmp_path, [(frames, 0.0, driver), (frames, 0.2, None)], {"ort-x86": PEACE}, 0.1)
    assert len(list(tmp_path.glob("*.png"))) == 4


@pytest.mark.parametrize("shifts", [(0.02, 0.0), (0.0, 0.02)])
def test_the_worst_clip_counts_wherever_it_stands(
    bundle_path: Path, tmp_path: Path, shifts: tuple[float, float]
) -> None:
    with Perceiver.open(bundle_path, threads=1, variant="ort-x86") as perceiver:
        for seed, shift in enumerate(shifts):
            perceiver.reset()
            steps = tiny_steps(GOLDEN_STEPS, seed=seed)
            percept = [perceiver.step(*step) for step in steps][-1]
            expected = dict(percept.driver_emotion.probabilities)
            expected["Peace"] += shift
            write_golden(tmp_path / "golden", steps, {"ort-x86": {"driver_emotion": expected}}, tolerance=0.01)
    with Perceiver.open(with_golden(tmp_path), threads=1, variant="ort-x86") as perceiver:
        (found,) = check_golden(perceiver)
    assert not found.ok and found.max_abs == pytest.approx(0.02, abs=1e-6)


@pytest.mark.parametrize("shift", [0.0, 0.05, None])
def test_a_finder_that_strays_or_has_no_golden_answer_does_not_prove_itself(
    tmp_path: Path, bundle_path: Path, shift: float | None
) -> None:
    draft, variant, steps = tiny_manifest(), "ort-x86-7bit", tiny_steps(GOLDEN_STEPS)
    with Perceiver.open(bundle_path, threads=1, variant=variant) as perceiver:
        answers = {"driver_emotion": [perceiver.step(*step) for step in steps][-1].driver_emotion.probabilities}
    found = None if shift is None else {variant: told_of(read_sight(finder_logits(shift=shift)))}
    write_golden(tmp_path / "golden", steps, {variant: answers}, tolerance=0.01, found=found)
    files = tiny_files(draft) | {f"golden/{path.name}": path for path in (tmp_path / "golden").iterdir()}
    write_bundle(tmp_path / "b", replace(draft, golden="golden/golden.json"), files)
    with Perceiver.open(tmp_path / "b", threads=1, variant=variant) as perceiver:
        if shift is None:
            with pytest.raises(BundleError, match="no answers of variant ort-x86-7bit"):
                check_golden(perceiver)
            return
        differences = {found.task: found for found in check_golden(perceiver)}
    assert differences["driver_emotion"].ok and differences[FINDER].ok == (shift == 0)
    assert differences[FINDER].max_abs == pytest.approx(shift, abs=1e-4)


def with_nobody(folder: Path, bundle_path: Path, presence: float) -> Path:
    """The tiny bundle, whose finder is sure of a driver in any picture, with a black one that holds `presence`."""
    draft, variant, steps = tiny_manifest(), "ort-x86-7bit", tiny_steps(GOLDEN_STEPS)
    with Perceiver.open(bundle_path, threads=1, variant=variant) as perceiver:
        answers = {"driver_emotion": [perceiver.step(*step) for step in steps][-1].driver_emotion.probabilities}
    sight, black = told_of(read_sight(finder_logits())), ({"incar": np.zeros((144, 256, 3), np.uint8)}, 0.0, None)
    write_golden(folder / "golden", steps, {variant: answers}, 0.01, {variant: sight})
    told = {name: presence for name in ("driver", "face", "camera")}
    write_golden(folder / "golden", [black], {variant: {}}, 0.25, {variant: told})
    files = tiny_files(draft) | {f"golden/{path.name}": path for path in (folder / "golden").iterdir()}
    write_bundle(folder / "b", replace(draft, golden="golden/golden.json"), files)
    return folder / "b"


@pytest.mark.parametrize("presence", [0.0, 0.99])
def test_a_finder_that_sees_a_driver_where_none_is_does_not_prove_itself(
    tmp_path: Path, bundle_path: Path, presence: float
) -> None:
    with Perceiver.open(with_nobody(tmp_path, bundle_path, presence), variant="ort-x86-7bit") as perceiver:
        found = {some.task: some for some in check_golden(perceiver)}
        assert found["driver_emotion"].ok and found[FINDER].ok and found[NOBODY].ok == (presence > 0.5)
        if presence < 0.5:
            with pytest.raises(EngineError, match="presence without a driver is off by"):
                prove(perceiver)


def test_a_picture_without_a_driver_is_no_part_of_what_is_stepped_through(tmp_path: Path, bundle_path: Path) -> None:
    assert len(golden_steps(Bundle.open(with_nobody(tmp_path, bundle_path, 0.99)))) == GOLDEN_STEPS


def test_a_bundle_without_golden_vectors_says_so(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", DRAFT, FILES)
    with pytest.raises(BundleError, match="carries no golden vectors"):
        list(read_golden(Bundle.open(tmp_path / "b")))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"schema": 2, "clips": []}, "schema 2, expected 1"),
        ({"schema": 1, "clips": []}, "clips is a list that is empty"),
        ({"schema": 1, "clips": [CLIP | {"steps": []}]}, r"clips\[0\].steps is a list that is empty"),
        ({"schema": 1, "clips": [CLIP | {"expected": {}}]}, "without expected answers"),
        ({"schema": 1, "clips": [CLIP | {"expected": {"ort-x86": {}}}]}, "without expected answers"),
        ({"schema": 1, "clips": [CLIP | {"expected": PEACE}]}, "Peace is 1.0, expected an object"),
        ({"schema": 1, "clips": [CLIP | {"steps": [{"t": 0}]}]}, "lacks frames"),
        ({"schema": 1}, "lacks clips"),
    ],
)
def test_golden_vectors_that_cannot_be_meant_are_refused(tmp_path: Path, content: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        list(read_golden(Bundle.open(bundle_with_golden(tmp_path / "b", content))))


def test_a_picture_outside_the_bundle_is_never_opened(tmp_path: Path) -> None:
    content = {"schema": 1, "clips": [CLIP | {"steps": [STEP | {"frames": {"incar": "../../etc/x.png"}}]}]}
    with pytest.raises(BundleError, match="not listed"):
        list(read_golden(Bundle.open(bundle_with_golden(tmp_path / "b", content))))


def test_a_clip_too_short_for_an_answer_is_refused(tmp_path: Path) -> None:
    write_golden(tmp_path / "golden", tiny_steps(2), {"ort-x86": PEACE}, tolerance=0.01)
    with Perceiver.open(with_golden(tmp_path), threads=1, variant="ort-x86") as perceiver:
        with pytest.raises(BundleError, match=r"clip 0: no driver_emotion \(gathering context: 0.2 of 1.6 s\)"):
            check_golden(perceiver)
