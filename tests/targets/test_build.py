"""Refusals: what a user sees who mistypes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from targets.build import main as build


def test_a_folder_that_is_not_quantized_is_refused_and_nothing_is_written(tmp_path: Path, capsys: Any) -> None:
    assert build([str(tmp_path), "--target", "x86-ort", "--out", str(tmp_path / "b.bundle")]) == 2
    assert "holds no report.json" in capsys.readouterr().err and not (tmp_path / "b.bundle").exists()


def test_a_report_of_another_schema_is_refused(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "report.json").write_text(json.dumps({"schema": 99, "kind": "quantized"}))
    assert build([str(tmp_path), "--target", "x86-ort", "--out", str(tmp_path / "b.bundle")]) == 2
    assert "schema 99, expected 2" in capsys.readouterr().err
