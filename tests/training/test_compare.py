"""Two evaluations of the same clips: what is said of them, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from codriver.tasks import AIDE
from training.compare import compare, load_evaluation, main, verdict
from training.evaluate import SCHEMA, Predictions

pytestmark = pytest.mark.torch

N = 100


def write_evaluation(folder: Path, wrong: dict[str, range], digest: str = "0" * 64, split: str = "test") -> Path:
    """A hundred clips, all right but those named for a task."""
    folder.mkdir()
    labels = np.zeros((N, len(AIDE.tasks)), np.int64)
    probabilities = {}
    for task in AIDE.tasks:
        answers = np.zeros(N, np.int64)
        answers[list(wrong.get(task.name, ()))] = 1
        probabilities[task.name] = np.eye(task.classes)[answers]
    Predictions(tuple(f"{i:04}" for i in range(N)), labels, probabilities).save(folder / "predictions.npz")
    report = {"schema": SCHEMA, "kind": "evaluation", "run": {"folder": folder.name}, "split": split}
    (folder / "report.json").write_text(json.dumps({**report, "clips_sha256": digest}))
    return folder


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """B mends 20 clips of emotion; each run has two clips of traffic that the other has not."""
    a = write_evaluation(tmp_path / "a", {"driver_emotion": range(20), "traffic_context": range(0, 2)})
    b = write_evaluation(tmp_path / "b", {"traffic_context": range(2, 4)})
    return a, b


def compared(pair: tuple[Path, Path]) -> dict[str, Any]:
    return compare(load_evaluation(pair[0], AIDE), load_evaluation(pair[1], AIDE), AIDE)


def test_differences_and_tests_are_those_worked_out_by_hand(pair: tuple[Path, Path]) -> None:
    rows = compared(pair)["tasks"]
    emotion, traffic = rows["driver_emotion"], rows["traffic_context"]
    assert (emotion["accuracy_a"], emotion["accuracy_b"]) == (0.8, 1.0)
    assert emotion["difference"] == pytest.approx(0.2) and (emotion["only_a"], emotion["only_b"]) == (0, 20)
    assert emotion["p"] == pytest.approx(2 / 2**20) and emotion["p_holm"] == pytest.approx(4 * 2 / 2**20)
    assert (traffic["only_a"], traffic["only_b"], traffic["p"]) == (2, 2, 1.0)


def test_the_interval_holds_the_difference_and_the_mean_is_that_of_the_tasks(pair: tuple[Path, Path]) -> None:
    result = compared(pair)
    low, high = result["tasks"]["driver_emotion"]["interval"]
    assert 0.1 < low < 0.2 < high < 0.3
    assert result["mean_accuracy"]["difference"] == pytest.approx(0.2 / 4)


def test_a_verdict_names_the_better_run_only_where_it_is_shown(pair: tuple[Path, Path]) -> None:
    rows = compared(pair)["tasks"]
    assert "B is better, by 20.0 points" in rows["driver_emotion"]["verdict"]
    assert "no difference shown" in rows["traffic_context"]["verdict"]
    assert "right and wrong on the same clips" in rows["vehicle_behavior"]["verdict"]


def test_a_verdict_for_the_first_run_is_not_given_to_the_second(pair: tuple[Path, Path]) -> None:
    rows = compared((pair[1], pair[0]))["tasks"]
    assert "A is better, by 20.0 points" in rows["driver_emotion"]["verdict"]


def test_the_corrected_p_decides_not_the_plain_one() -> None:
    row = {"difference": 0.06, "interval": (0.01, 0.11), "only_a": 0, "only_b": 6, "p": 0.03, "p_holm": 0.12}
    assert "no difference shown" in verdict("Emotion", row, 0.05)


@pytest.mark.parametrize("change", [{"digest": "1" * 64}, {"split": "val"}])
def test_other_clips_are_refused(tmp_path: Path, change: dict[str, str], capsys: Any) -> None:
    a, b = write_evaluation(tmp_path / "a", {}), write_evaluation(tmp_path / "b", {}, **change)
    assert main([str(a), str(b)]) == 2
    assert "training.compare: " in (said := capsys.readouterr().err) and "expected the same clips" in said


def test_a_folder_that_is_no_evaluation_is_refused(pair: tuple[Path, Path], tmp_path: Path, capsys: Any) -> None:
    assert main([str(pair[0]), str(tmp_path / "none")]) == 2
    assert "is not an evaluation" in capsys.readouterr().err


@pytest.mark.parametrize("file", ["report.json", "predictions.npz"])
def test_a_damaged_evaluation_is_refused(pair: tuple[Path, Path], file: str, capsys: Any) -> None:
    path = pair[1] / file
    path.write_bytes(path.read_bytes()[:-30])
    assert main([str(pair[0]), str(pair[1])]) == 2
    assert str(pair[1]) in capsys.readouterr().err


def test_the_command_prints_a_line_and_a_verdict_for_every_task(pair: tuple[Path, Path], capsys: Any) -> None:
    assert main([str(pair[0]), str(pair[1])]) == 0
    printed = capsys.readouterr().out
    assert all(printed.count(task.title) == 2 for task in AIDE.tasks)


def test_the_command_prints_json_for_machines(pair: tuple[Path, Path], capsys: Any) -> None:
    assert main([str(pair[0]), str(pair[1]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tasks"]["driver_emotion"]["difference"] == pytest.approx(0.2)
