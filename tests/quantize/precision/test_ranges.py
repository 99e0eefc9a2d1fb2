"""The range estimator that suits a dialect is measured, and every task has its say."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("nncf")

from quantize.precision.ranges import least
from quantize.run import main as quantize
from workshop.quantized_report import QuantizedReport, TaskLoss

pytestmark = [pytest.mark.torch, pytest.mark.nncf]


def lost(**by_task: float) -> dict[str, TaskLoss]:
    return {task: TaskLoss(mean_abs=value, kl=0.0, accuracy=0.0) for task, value in by_task.items()}


def test_the_worst_off_task_decides_not_the_mean() -> None:
    assert least({"even": lost(a=0.02, b=0.02), "one_suffers": lost(a=0.001, b=0.03)}) == "even"


def test_of_equal_estimators_the_first_is_taken() -> None:
    assert least({"minmax": lost(a=0.02), "histogram": lost(a=0.02)}) == "minmax"


@pytest.mark.slow
def test_best_tries_each_estimator_and_calibrates_with_the_one_that_it_names(
    untrained_run: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quantize.precision.ranges.RANGES", ("minmax", "mean-quantile"))
    base = [str(untrained_run), "--data", str(dataset), "--clips", "4", "--golden", "0", "--dialect", "tensorrt"]
    assert quantize([*base, "--out", str(tmp_path / "best"), "--ranges", "best"]) == 0
    measured = QuantizedReport.read(tmp_path / "best").calibration.measured_ranges["tensorrt"]
    assert set(measured.losses) == {"minmax", "mean-quantile"}
    assert measured.chosen == least(measured.losses)
    page = (tmp_path / "best" / "report.html").read_text()
    assert page.count(">taken<") == 1 and "mean-quantile" in page
    assert quantize([*base, "--out", str(tmp_path / "named"), "--ranges", measured.chosen]) == 0
    path = "tensorrt/encoder.onnx"
    assert (tmp_path / "best" / path).read_bytes() == (tmp_path / "named" / path).read_bytes()
