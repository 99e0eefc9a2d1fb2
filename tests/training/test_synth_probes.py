"""No shortcut: colours and single frames of the outside views do not tell what the car or the traffic does.

360 clips, classes balanced, five-fold cross-validated logistic regression. A blind guess has a balanced
accuracy of 1/K with a standard error of sqrt(1/K (1 - 1/K) / 360), that is 0.200 +- 0.021 and 0.333 +- 0.025.
A probe may reach 1/K + 0.08, three standard errors; the same probe must find motion in two frames.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from codriver.tasks import AIDE
from training.data.clips import read_frame
from training.footage.probe import INSTANTS, OUTSIDE, TASKS, Sample, draw_sample, find, main, read_sample
from training.synth import main as synth
from workshop.aide_splits import read_split

pytestmark = [pytest.mark.torch, pytest.mark.slow]

CLIPS, SLACK = 360, 0.08


@pytest.fixture(scope="module")
def sample() -> Sample:
    return draw_sample(CLIPS, seed=20)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("views", [*([view] for view in OUTSIDE), OUTSIDE])
def test_mean_colours_of_a_frame_do_not_tell(sample: Sample, task: str, views: list[str]) -> None:
    assert find(sample, task, ("middle", "means"), views, 1.0).accuracy < 1 / AIDE[task].classes + SLACK


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("instant", ["middle", "random"])
@pytest.mark.parametrize("strength", [1e-3, 1e-2])
def test_pixels_of_a_single_frame_do_not_tell(sample: Sample, task: str, instant: str, strength: float) -> None:
    found = find(sample, task, (instant, "pixels"), OUTSIDE, strength)
    assert found.accuracy < 1 / AIDE[task].classes + SLACK


@pytest.mark.parametrize("task", TASKS)
def test_change_between_two_frames_does_tell(sample: Sample, task: str) -> None:
    found = find(sample, task, ("middle", "change"), OUTSIDE, 1e-3)
    assert found.accuracy > 1 / AIDE[task].classes + 2 * SLACK


def test_the_probe_command_prints_its_table_and_refuses_too_few_clips(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--clips", "50", "--workers", "1", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["task"] for row in rows} == set(TASKS)
    assert all(row["clips"] == 50 and 0 <= row["accuracy"] <= 1 for row in rows)
    assert main(["--clips", "3"]) == 2
    assert "expected 50 to 9999" in capsys.readouterr().err


def test_the_probe_reads_the_split_that_a_model_is_scored_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert synth([str(tmp_path / "data"), "--clips", "12", "--seed", "3", "--videos", "none"]) == 0
    sample = read_sample(tmp_path / "data", "train")
    assert sample.pixels.shape == (len(read_split(tmp_path / "data", "train")), len(INSTANTS), len(OUTSIDE), 9, 16, 3)
    frame = read_frame(read_split(tmp_path / "data", "train")[4].folder / "frontframes" / "44.jpg")
    assert (
        np.abs(sample.at("last", ["front"])[4, 0] - cv2.resize(frame, (16, 9), interpolation=cv2.INTER_AREA)).max() == 0
    )
    capsys.readouterr()
    assert main(["--data", str(tmp_path), "--json"]) == 2
    assert "testing.csv" in capsys.readouterr().err
