"""Wrong beliefs over time, by a finder that sees what a test tells it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from codriver.arrays import Arrays
from codriver.perceiver import Perceiver
from targets.presence import main
from targets.trial.presence import in_car, jitter_px, longest, sits_down, wrong
from tests.aide import write_dataset
from tests.faults import Idle
from tests.tiny import finder_logits, loaded, make_tiny_bundle, tiny_manifest

NOBODY, SOMEBODY = (-9.0, -9.0, 9.0), (9.0, 9.0, 9.0)


class ByLight:
    """Sees somebody in bright frames and nobody in dark ones, a little to the right of the light's last digit."""

    def __init__(self, *, gesture: bool = True) -> None:
        self.gesture = gesture

    def infer(self, inputs: Arrays) -> Arrays:
        level = float(inputs["pixels"].mean())
        shift = (level % 1.0) / 100
        return finder_logits(shift=shift, gesture=self.gesture, presence=SOMEBODY if level > 127 else NOBODY)

    def close(self) -> None:
        pass


@pytest.fixture
def perceiver() -> Perceiver:
    return by_light(gesture=True)


def by_light(*, gesture: bool) -> Perceiver:
    manifest = tiny_manifest()
    encoder, fuser = Idle(manifest.encoder_signature), Idle(manifest.fuser_signature)
    return Perceiver(loaded(manifest, encoder, fuser, finder=ByLight(gesture=gesture)))


@pytest.fixture
def clip(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str, levels: list[int], every: int = 1) -> Path:
        frames = tmp_path / name / "incarframes"
        frames.mkdir(parents=True)
        for number, level in enumerate(levels):
            cv2.imwrite(str(frames / f"{number * every}.jpg"), np.full((90, 160, 3), level, np.uint8))
        return tmp_path / name

    return make


def test_a_run_of_wrong_frames_lasts_until_the_frame_that_ends_it() -> None:
    times_s = [0.0, 0.2, 0.4, 0.6, 0.8]
    assert longest([False, True, True, False, False], times_s) == pytest.approx(0.4)
    assert longest([False, True, False, True, True], times_s) == pytest.approx(0.4)
    assert longest([False] * 5, times_s) == 0.0 and longest([True] * 5, times_s) == pytest.approx(1.0)


def test_a_driver_who_is_believed_in_though_nobody_is_there_is_counted_as_long_as_that_lasts(
    perceiver: Perceiver, clip: Any
) -> None:
    """Seen for 1 s of 3: hysteresis believes 0.4 s later, and lets go 0.4 s later."""
    levels = [60] * 5 + [200] * 5 + [60] * 5
    found = wrong(perceiver, clip("empty", levels, every=3), driver=False)
    assert found.longest_s == pytest.approx(1.0) and found.frames == 15
    assert wrong(perceiver, clip("dark", [60] * 15, every=3), driver=False).longest_s == 0.0


def test_a_driver_who_is_lost_for_a_frame_is_not_lost_and_for_longer_is(perceiver: Perceiver, clip: Any) -> None:
    flicker = clip("flicker", [200] * 6 + [60] + [200] * 8, every=3)
    assert wrong(perceiver, flicker, driver=True).longest_s == 0.0
    assert wrong(perceiver, clip("gone", [200] * 5 + [60] * 10, every=3), driver=True).longest_s > 1.0


def test_who_sits_down_is_found_when_hysteresis_says_so_and_who_is_never_seen_is_beyond_the_limit(
    perceiver: Perceiver, clip: Any
) -> None:
    empty = clip("empty", [60] * 10, every=3)
    assert sits_down(perceiver, empty, clip("drive", [200] * 45)).longest_s == pytest.approx(0.4, abs=0.07)
    assert sits_down(perceiver, empty, clip("unseen", [60] * 45)).longest_s > 1.0


def test_noise_of_a_sensor_is_on_the_frames_as_strong_as_it_was_asked_for(clip: Any) -> None:
    grey = clip("grey", [120, 130])
    plain, under = (np.stack([image for _, image in in_car(grey, noise)]).astype(int) for noise in (0.0, 9.0))
    assert np.std(under - plain) == pytest.approx(9.0, rel=0.05) and (under[0] - plain[0] != under[1] - plain[1]).any()


def test_a_still_picture_trembles_by_what_the_finder_makes_of_noise(perceiver: Perceiver, clip: Any) -> None:
    assert 0.0 < jitter_px(perceiver, clip("still", [200])) < 1.0
    assert np.isnan(jitter_px(perceiver, clip("dark", [60])))
    assert 0.0 < jitter_px(by_light(gesture=False), clip("without hands", [200])) < 1.0


def test_the_command_says_each_scene_and_fails_a_bundle_that_always_sees_a_driver(
    tmp_path: Path, clip: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, data = make_tiny_bundle(tmp_path / "a.bundle", golden=False), write_dataset(tmp_path / "data", frames=20)
    for scene in ("empty_seat", "passenger_only", "back_seat", "covered_lens"):
        for number in (1, 2):
            clip(f"scenes/{scene}/{number:04}", [100, 130, 160, 190] * 2, every=3)
    common = [str(bundle), "--scenes", str(tmp_path / "scenes"), "--data", str(data), "--clips", "1"]
    assert main([*common, "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    beyond = {row["name"]: (row["clips"], row["beyond"]) for row in result["rows"]}
    assert beyond["back_seat"] == (1, 1) and beyond["sits down"] == (1, 0) and beyond["drive, test"] == (1, 0)
    assert result["jitter"]["mean_px"] == pytest.approx(0.0, abs=0.01)
    assert main(common) == 1 and "clips beyond" in capsys.readouterr().out
