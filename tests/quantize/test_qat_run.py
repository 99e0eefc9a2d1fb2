"""quantize.run --qat: what it leaves, that it stops and goes on, and that a bundle of it proves itself."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("nncf")

from quantize.export.fake_quant import load_fake_quant  # noqa: E402
from quantize.qat.losses import QATTrainer  # noqa: E402
from quantize.run import main as quantize  # noqa: E402
from targets.build import main as build  # noqa: E402
from training.train import main as train  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.nncf, pytest.mark.slow]
DIALECT = "ort-x86-7bit"


@pytest.fixture(scope="module")
def run(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("qat") / "run"
    assert train(["--data", str(dataset), "--out", str(out), "--size", "tiny", "--epochs", "2", "--batch", "2"]) == 0
    return out


def arguments(run: Path, dataset: Path, out: Path, *more: str) -> list[str]:
    chosen = ["--dialect", "fp32", "--dialect", DIALECT, "--clips", "4", "--golden", "1"]
    # At this pace and without a teacher, two epochs on four clips change a tiny model beyond any doubt.
    qat = ["--qat", "2", "--qat-rate", "1", "--qat-teacher", "0", "--qat-patience", "9", "--workers", "0"]
    return [str(run), "--data", str(dataset), "--out", str(out), *chosen, *qat, *more]


def test_both_the_fine_tuned_graphs_and_those_before_are_left(
    run: Path, dataset: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    """Interrupted in its second epoch, it goes on where it was; the folder appears when all is done."""
    out, step, left = tmp_path / "q", QATTrainer._step, [3]

    def interrupted(self: QATTrainer, lessons: list[Any]) -> tuple[float, float]:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, lessons)

    monkeypatch.setattr(QATTrainer, "_step", interrupted)
    assert quantize(arguments(run, dataset, out)) == 128 + signal.SIGTERM
    partial = tmp_path / "q.partial" / DIALECT
    assert not out.exists() and (partial / "last.pt").is_file()
    assert quantize(arguments(run, dataset, out, "--resume")) == 0
    assert not partial.exists()

    report = json.loads((out / "report.json").read_text())
    entry, full = report["dialects"][DIALECT], report["dialects"]["fp32"]
    graphs = {entry["encoder"]["path"], entry["fuser"]["path"], *(some["path"] for some in entry["ptq"].values())}
    assert graphs == {f"{DIALECT}/{place}{part}.onnx" for place in ("", "ptq/") for part in ("encoder", "fuser")}
    assert all((out / path).is_file() for path in graphs)
    assert "qat" not in full
    assert len(entry["qat"]["records"]) == 2 and len(entry["qat"]["loss_state"]["history"]) == 4
    assert entry["encoder"]["bytes"] < 1.01 * entry["ptq"]["encoder"]["bytes"]  # what stays in floating point is halved
    changed = entry["encoder"]["sha256"] != entry["ptq"]["encoder"]["sha256"]
    assert changed == (entry["qat"]["kept_epoch"] > 0)
    assert load_fake_quant(out, DIALECT).model.config == load_fake_quant(out / DIALECT, "ptq").model.config

    assert build([str(out), "--target", "x86-no-vnni", "--out", str(tmp_path / "tuned.bundle")]) == 0  # proves itself
