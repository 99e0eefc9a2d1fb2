"""Evaluation of a run: the folder it leaves, what its page shows, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from codriver.tasks import AIDE, CROPS, JOINTS, STREAMS, VIEWS  # noqa: E402
from tests.untrained import untrained_record  # noqa: E402
from training.data.clips import Clip  # noqa: E402
from training.evaluate import SUBSETS, Predictions, confident_errors, main, with_views  # noqa: E402
from training.model.uvm3tl import SIZES, UVM3TL  # noqa: E402
from training.trainer.checkpoint import Run, save_run  # noqa: E402
from training.trainer.record import LearnedFrom  # noqa: E402
from workshop.aide_splits import read_split, split_digest  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model: its answers are as good as any for this."""
    folder = tmp_path_factory.mktemp("evaluated") / "run"
    folder.mkdir()
    torch.manual_seed(0)
    counts = {task.name: tuple(range(1, task.classes + 1)) for task in AIDE.tasks}
    nowhere = LearnedFrom(kind="none", clips={}, clips_sha256={})
    save_run(folder, Run(UVM3TL(SIZES["tiny"]), untrained_record("tiny", nowhere, counts)))
    return folder


@pytest.fixture(scope="module")
def evaluation(run: Path, dataset: Path) -> Path:
    """Of the four clips of the training split."""
    assert main([str(run), "--data", str(dataset), "--split", "train", "--subsets"]) == 0
    return run / "evaluation-train"


@pytest.fixture(scope="module")
def report(evaluation: Path) -> dict[str, Any]:
    return json.loads((evaluation / "report.json").read_text())


def test_the_folder_holds_report_page_and_answers(evaluation: Path) -> None:
    assert {path.name for path in evaluation.iterdir()} == {"report.json", "report.html", "predictions.npz"}


def test_the_report_says_which_run_and_which_clips(report: dict[str, Any], dataset: Path) -> None:
    assert report["kind"] == "evaluation" and report["n"] == 4 and report["split"] == "train"
    assert report["clips_sha256"] == split_digest(read_split(dataset, "train"))
    assert len(report["run"]["weights_sha256"]) == 64 and report["run"]["folder"] == "run"
    assert report["data"]["same_as_in_training"] is None  # this run does not say


def test_every_number_in_the_report_is_one(report: dict[str, Any]) -> None:
    json.dumps(report, allow_nan=False)
    for task in AIDE.names:
        for name, (low, high) in report["intervals"][task].items():
            assert 0 <= low <= high <= 1 and low <= report["tasks"][task][name] <= high


def test_answers_are_kept_with_the_ids_of_their_clips(evaluation: Path, report: dict[str, Any], dataset: Path) -> None:
    with np.load(evaluation / "predictions.npz") as kept:
        assert kept["clips"].tolist() == [ref.id for ref in read_split(dataset, "train")]
        for k, task in enumerate(AIDE.tasks):
            assert kept[task.name].shape == (4, task.classes)
            right = kept[task.name].argmax(axis=1) == kept["labels"][:, k]
            assert right.mean() == report["tasks"][task.name]["accuracy"]


def test_confusion_and_counts_hold_every_clip(report: dict[str, Any]) -> None:
    for task in AIDE.tasks:
        assert np.array(report["confusion"][task.name]).shape == (task.classes, task.classes)
        assert np.sum(report["confusion"][task.name]) == sum(report["class_counts"][task.name]) == 4
    assert {task: sum(some["class_counts"]) for task, some in report["coarse"].items()} == {
        "driver_emotion": 4,
        "driver_behavior": 4,
    }


def test_the_page_shows_every_task_and_fetches_nothing(evaluation: Path) -> None:
    page = (evaluation / "report.html").read_text()
    assert all(task.title in page for task in AIDE.tasks)
    assert page.count("data:image/svg+xml;base64,") == 2 * len(AIDE.tasks)
    assert not re.search(r"https?:|//[a-z]|<script|<link|@import|url\(", re.sub(r"base64,[^\"]+", "", page))


def test_all_fifteen_sets_of_cameras_are_scored_and_all_four_give_the_headline(report: dict[str, Any]) -> None:
    assert len({frozenset(subset["views"]) for subset in report["subsets"]}) == 15 == len(SUBSETS)
    assert report["subsets"][0]["views"] == list(VIEWS)
    assert report["subsets"][0]["tasks"] == report["tasks"]
    assert report["subsets"][0]["mean_accuracy"] == report["mean_accuracy"]["value"]


def test_tasks_count_as_answered_only_with_a_camera_of_theirs(report: dict[str, Any]) -> None:
    answered = {tuple(subset["views"]): subset["answered"] for subset in report["subsets"]}
    assert answered[("incar",)] == ["driver_emotion", "driver_behavior"]
    assert answered[("left",)] == ["traffic_context", "vehicle_behavior"]


def test_without_the_cabin_camera_the_driver_is_absent_too() -> None:
    clip = Clip({}, np.ones((len(STREAMS), 16), np.float32), np.zeros(4, np.int64))
    masked = with_views(clip, ("front", "right"))
    there = [stream for stream, row in zip(STREAMS, masked.mask, strict=True) if row.any()]
    assert there == ["front", "right"] and clip.mask.all()
    incar = with_views(clip, ("incar",)).mask
    assert {STREAMS[i] for i in np.flatnonzero(incar.all(axis=1))} == {"incar", *CROPS, *JOINTS}


def test_what_was_absent_before_stays_absent() -> None:
    clip = Clip({}, np.zeros((len(STREAMS), 16), np.float32), np.zeros(4, np.int64))
    assert not with_views(clip, VIEWS).mask.any()


def test_errors_are_listed_surest_first() -> None:
    probabilities = {task.name: np.eye(task.classes)[[0, 0, 0]] for task in AIDE.tasks}
    probabilities["driver_emotion"] = np.array([[0.6, 0.4, 0, 0, 0], [0.9, 0.1, 0, 0, 0], [0.7, 0.3, 0, 0, 0]])
    labels = np.zeros((3, 4), np.int64)
    labels[:2, 0] = 1
    errors = confident_errors(Predictions(("a", "b", "c"), labels, probabilities), AIDE)
    assert [(error["clip"], error["confidence"]) for error in errors] == [("b", 0.9), ("a", 0.6)]
    assert errors[0]["label"] == "Peace" and errors[0]["answer"] == "Anxiety"


def test_a_folder_of_something_else_is_never_replaced(run: Path, dataset: Path, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "report.json").write_text("somebody's")
    assert main([str(run), "--data", str(dataset), "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("training.evaluate: ")
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_a_missing_run_is_refused_and_not_created(dataset: Path, tmp_path: Path, capsys: Any) -> None:
    assert main([str(tmp_path / "none"), "--data", str(dataset)]) == 2
    assert "is not a run" in capsys.readouterr().err and not (tmp_path / "none").exists()


def test_missing_data_is_refused(run: Path, tmp_path: Path, capsys: Any) -> None:
    assert main([str(run), "--data", str(tmp_path), "--split", "val"]) == 2
    assert "validation.csv is missing" in capsys.readouterr().err and not (run / "evaluation-val").exists()
