"""Refusals: what a user sees who mistypes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from codriver.tasks import AIDE
from targets.build import main as build
from targets.packing.draft import telling_views
from tests.reports import quantized_folder, run_origin
from workshop.quantized_report import HeldOutScores, RunOrigin, SubsetAccuracy

TRAFFIC = AIDE["traffic_context"]


def test_a_folder_that_is_not_quantized_is_refused_and_nothing_is_written(tmp_path: Path, capsys: Any) -> None:
    assert build([str(tmp_path), "--target", "x86-ort", "--out", str(tmp_path / "b.bundle")]) == 2
    assert "holds no report.json" in capsys.readouterr().err and not (tmp_path / "b.bundle").exists()


def test_a_report_of_another_schema_is_refused(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "report.json").write_text(json.dumps({"schema": 99, "kind": "quantized"}))
    assert build([str(tmp_path), "--target", "x86-ort", "--out", str(tmp_path / "b.bundle")]) == 2
    assert "'schema': 99, 'kind': 'quantized'}, expected schema 3 of kind 'quantized'" in capsys.readouterr().err


def test_a_folder_without_golden_vectors_is_refused_for_a_device_could_not_prove_itself(
    tmp_path: Path, capsys: Any
) -> None:
    folder = quantized_folder(tmp_path / "q")
    shutil.rmtree(folder / "golden")
    assert build([str(folder), "--target", "x86-ort", "--out", str(tmp_path / "b.bundle")]) == 1
    assert "run quantize.run with --golden 1 or more" in capsys.readouterr().err


def run_with(**accuracy: float) -> RunOrigin:
    """Traffic's accuracy with each camera alone, on 600 clips of which 56 % are of one class."""
    rows = tuple(
        SubsetAccuracy(
            views=(view,),
            answered=(TRAFFIC.name,),
            accuracy={TRAFFIC.name: value},
            majority={TRAFFIC.name: 0.56},
            clips=600,
        )
        for view, value in accuracy.items()
    )
    return run_origin(
        subsets=rows, test={TRAFFIC.name: HeldOutScores(accuracy=0.9, macro_f1=0.9, majority=0.1)}
    )  # of other clips


def test_a_camera_that_tells_nothing_of_a_task_by_itself_does_not_answer_it() -> None:
    assert telling_views(TRAFFIC, run_with(front=0.73, left=0.865, right=0.548)) == ("front", "left")
    assert telling_views(TRAFFIC, run_with(front=0.73, left=0.59, right=0.548)) == ("front",)  # 59 % may be chance


def test_without_a_measurement_or_if_no_camera_tells_all_count() -> None:
    assert telling_views(TRAFFIC, run_with()) == telling_views(TRAFFIC, run_with(front=0.5, left=0.5, right=0.5))
    assert telling_views(TRAFFIC, run_with()) == ("front", "left", "right")
