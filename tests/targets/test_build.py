"""Refusals: what a user sees who mistypes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from codriver.tasks import AIDE
from targets.build import main as build
from targets.build import telling_views


def test_a_folder_that_is_not_quantized_is_refused_and_nothing_is_written(tmp_path: Path, capsys: Any) -> None:
    assert build([str(tmp_path), "--target", "x86-ort", "--out", str(tmp_path / "b.bundle")]) == 2
    assert "holds no report.json" in capsys.readouterr().err and not (tmp_path / "b.bundle").exists()


def test_a_report_of_another_schema_is_refused(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "report.json").write_text(json.dumps({"schema": 99, "kind": "quantized"}))
    assert build([str(tmp_path), "--target", "x86-ort", "--out", str(tmp_path / "b.bundle")]) == 2
    assert "schema 99, expected 2" in capsys.readouterr().err


def run_with(**accuracy: float) -> dict[str, Any]:
    """Traffic's accuracy with each camera alone, on 600 clips of which 56 % are of one class."""
    rows = [{"views": [view], "accuracy": {"traffic_context": value}, "clips": 600} for view, value in accuracy.items()]
    return {"subsets": rows, "test": {"traffic_context": {"majority": 0.56}}}


def test_a_camera_that_tells_nothing_of_a_task_by_itself_does_not_answer_it() -> None:
    traffic = AIDE["traffic_context"]
    assert telling_views(traffic, run_with(front=0.73, left=0.865, right=0.548)) == ("front", "left")
    assert telling_views(traffic, run_with(front=0.73, left=0.59, right=0.548)) == ("front",)  # 59 % may be chance


def test_without_a_measurement_or_if_no_camera_tells_all_count() -> None:
    traffic = AIDE["traffic_context"]
    assert telling_views(traffic, {"test": {}}) == telling_views(traffic, run_with(front=0.5, left=0.5, right=0.5))
    assert telling_views(traffic, {"test": {}}) == ("front", "left", "right")
