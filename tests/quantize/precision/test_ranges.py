"""The range estimator that suits a dialect is measured, and every task has its say."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("nncf")

from quantize.calibrated import encoder_of
from quantize.export.onnx_export import onnx_bytes
from quantize.graphs.dialects import dialect
from quantize.graphs.fold import folded
from quantize.graphs.graphs import ENCODER_INPUTS, ENCODER_OUTPUTS, example_step
from quantize.precision.ranges import least, worst_task
from quantize.ptq.calibration import CALIBRATION_SLOTS, calibration_clips, encoder_steps
from quantize.run import main as quantize
from training.trainer.checkpoint import load_run
from workshop.aide_splits import read_split
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
    best = ["--ranges", "best", "--clips", "4", "--golden", "0", "--check", "0", "--dialect", "tensorrt"]
    assert quantize([str(untrained_run), "--data", str(dataset), "--out", str(tmp_path / "best"), *best]) == 0
    measured = QuantizedReport.read(tmp_path / "best").calibration.measured_ranges["tensorrt"]
    assert set(measured.losses) == {"minmax", "mean-quantile"}
    assert len({worst_task(losses) for losses in measured.losses.values()}) == 2
    assert measured.chosen == least(measured.losses)
    page = (tmp_path / "best" / "report.html").read_text()
    assert page.count(">taken<") == 1 and "mean-quantile" in page

    model = folded(load_run(untrained_run).model)
    clips = calibration_clips(read_split(dataset, "train"), model, 4, seed=0).clips
    steps = list(encoder_steps(model, clips, CALIBRATION_SLOTS))
    named = encoder_of(model, steps, dialect("tensorrt"), measured.chosen)
    written = onnx_bytes(named, example_step(model.config), ENCODER_INPUTS, ENCODER_OUTPUTS)
    assert (tmp_path / "best" / "tensorrt/encoder.onnx").read_bytes() == written
