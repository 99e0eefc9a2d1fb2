"""The line of a benchmark, one command each: footage in its layout, check, training, evaluation."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from codriver.errors import SourceError
from training.data.__main__ import main as data
from training.dense.benchmarks import bdd100k
from training.evaluate import main as evaluate
from training.synth import main as synth
from training.train import main as train
from training.trainer.checkpoint import load_run

pytestmark = pytest.mark.torch
SMALL = ["--width", "160", "--height", "90", "--workers", "1"]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bdd") / "data"
    assert synth([str(out), "--layout", "bdd100k", "--clips", "12", "--seed", "4", *SMALL]) == 0
    return out


@pytest.fixture(scope="module")
def run(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "run"
    command = ["--task-set", "bdd100k", "--data", str(scenes), "--out", str(out), "--epochs", "2", "--batch", "8"]
    assert train([*command, "--validate-every", "1", "--workers", "0"]) == 0
    return out


def test_the_footage_is_read_by_the_benchmarks_loader_unchanged(scenes: Path) -> None:
    refs = {split: bdd100k.index(scenes, split) for split in bdd100k.SPLITS}
    assert len(refs["test"]) == 6 and len(refs["train"]) + len(refs["val"]) == 30
    found = [bdd100k.read(ref) for ref in refs["train"]]
    assert {0, 1, 2} <= set(np.unique(np.stack([scene.truth["drivable_area"] for scene in found])))
    assert any(scene.truth["lane_lines"].any() for scene in found)
    assert any(len(scene.truth["vehicles"].boxes) for scene in found)


def test_the_check_counts_classes_and_finds_nothing(scenes: Path, capsys: Any) -> None:
    assert data(["check", str(scenes), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["pictures"] == {"train": 30, "val": 6} and found["problems"] == []
    assert sum(found["counts"]["drivable_area"].values()) == 36 * 160 * 90


def test_the_check_names_every_bad_file_in_one_pass(scenes: Path, tmp_path: Path, capsys: Any) -> None:
    copy = Path(shutil.copytree(scenes, tmp_path / "copy"))
    lanes = sorted((copy / "labels/lane/masks/train").glob("*.png"))
    lanes[0].unlink()
    assert cv2.imwrite(str(lanes[1]), np.full((90, 160), 64, np.uint8))
    assert data(["check", str(copy)]) == 1
    said = capsys.readouterr().out
    assert f"{lanes[0]} is missing" in said and f"{lanes[1]}: holds 64" in said and "2 problems" in said


def test_a_run_is_scored_beside_an_answer_that_does_not_look(run: Path, scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores"
    assert evaluate([str(run), "--data", str(scenes), "--out", str(out)]) == 0
    report = json.loads((out / "report.json").read_text())
    assert set(report["tasks"]) == set(report["without_looking"]) == {"vehicles", "drivable_area", "lane_lines"}
    assert report["without_looking"]["vehicles"]["scores"]["ap50_coco"] == 0
    assert list(report["curves"]) == ["vehicles"] and len(report["curves"]["vehicles"]["precision"]) == 101
    assert (out / "report.html").read_text().count("<img") == 1 + 8 * (
        1 + 2 + 3 + 3
    )  # a curve; truth, answer, errors of maps


def test_cityscapes_goes_the_same_way(tmp_path: Path) -> None:
    out, run = tmp_path / "city", tmp_path / "run"
    small = ["--width", "128", "--height", "64", "--workers", "1"]
    assert synth([str(out), "--layout", "cityscapes", "--clips", "16", "--seed", "4", *small]) == 0
    assert data(["check", str(out)]) == 0
    command = ["--task-set", "cityscapes", "--data", str(out), "--out", str(run), "--epochs", "1", "--batch", "8"]
    assert train([*command, "--workers", "0"]) == 0
    assert evaluate([str(run), "--data", str(out)]) == 0
    assert "rmse_px" in (run / "evaluation-test" / "report.json").read_text()


def test_rooms_go_the_same_way_and_are_judged_beside_both_baselines(tmp_path: Path) -> None:
    out, run = tmp_path / "rooms", tmp_path / "run"
    small = ["--width", "96", "--height", "72", "--workers", "1"]
    assert synth([str(out), "--layout", "nyudv2", "--clips", "16", "--seed", "4", *small]) == 0
    assert data(["check", str(out)]) == 0
    command = ["--task-set", "nyudv2", "--data", str(out), "--out", str(run), "--epochs", "1", "--batch", "8"]
    assert train([*command, "--workers", "0"]) == 0
    assert evaluate([str(run), "--data", str(out)]) == 0
    report = json.loads((run / "evaluation-test" / "report.json").read_text())
    for task in ("semantics", "depth", "normals", "edges"):
        chosen = report["tasks"][task]["chosen_by"]
        assert all(chosen in report[other][task]["scores"] for other in ("without_looking", "linear_probe"))
        assert report["ahead"]["linear_probe"][task][0] <= report["ahead"]["linear_probe"][task][1]


def test_a_split_without_pictures_is_told_before_anything_is_trained(tmp_path: Path, capsys: Any) -> None:
    small = ["--width", "128", "--height", "64", "--workers", "1"]
    assert synth([str(tmp_path / "city"), "--layout", "cityscapes", "--clips", "3", "--seed", "4", *small]) == 0
    command = ["--task-set", "cityscapes", "--data", str(tmp_path / "city"), "--out", str(tmp_path / "run")]
    assert train(command) == 2
    assert "no picture falls to val (6 of train, 0 of val, 3 of test)" in capsys.readouterr().err


def test_the_four_cameras_commands_say_that_a_dense_run_is_none_of_theirs(run: Path) -> None:
    with pytest.raises(SourceError, match="'dense run' of schema 1, expected a run of schema 1"):
        load_run(run)


def test_one_task_alone_can_be_trained(scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "single"
    command = ["--task-set", "bdd100k", "--tasks", "lane_lines", "--data", str(scenes), "--out", str(out)]
    assert train([*command, "--epochs", "1", "--batch", "8", "--workers", "0"]) == 0
    assert set(json.loads((out / "meta.json").read_text())["test"]) == {"lane_lines"}


def test_a_resumed_run_of_another_size_is_refused(run: Path, scenes: Path, capsys: Any) -> None:
    command = ["--task-set", "bdd100k", "--data", str(scenes), "--out", str(run)]
    assert train([*command, "--size", "demo"]) == 2
    assert "expected one of toy, edge" in capsys.readouterr().err
