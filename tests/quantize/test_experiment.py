"""The experiment's arithmetic and words; what it measures is run by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from codriver.errors import ConfigError
from codriver.tasks import AIDE
from quantize.experiment import Judge, Setting, main
from quantize.report.experiment_page import accuracy_table
from training.data.clips import Clip
from training.evaluate import Predictions

pytestmark = pytest.mark.torch


def test_a_setting_is_a_dialect_or_one_with_fewer_bits() -> None:
    assert Setting.from_text("ort-x86") == Setting(dialect="ort-x86")
    assert Setting.from_text("ort-x86:4").name == "ort-x86, 4-bit weights"
    for wrong in ("fp32", "ort-x86:9", "ort-x86:44"):
        with pytest.raises(ConfigError, match="expected an INT8 dialect"):
            Setting.from_text(wrong)


def test_what_moved_and_what_flipped_is_counted_against_full_precision() -> None:
    labels = np.zeros((4, 4), np.int64)
    judge = Judge(tuple("abcd"), [Clip({}, np.zeros(0), row) for row in labels], {"split": "test", "clips_sha256": ""})
    full = {task.name: np.tile(np.eye(task.classes)[0], (4, 1)) for task in AIDE.tasks}
    moved = {name: some.copy() for name, some in full.items()}
    moved["traffic_context"][0] = np.eye(3)[1]  # one clip of four: certain of class 0, now of class 1
    judge.found = {"FP32": Predictions(judge.ids, labels, full), "PTQ": Predictions(judge.ids, labels, moved)}
    row: dict[str, Any] = {"PTQ": judge.against("FP32", "PTQ")}
    traffic = row["PTQ"]["moved"]["traffic_context"]
    assert traffic["mean"] == pytest.approx(1 / 4 * 2 / 3) and traffic["same_answer"] == 0.75
    assert row["PTQ"]["tasks"]["traffic_context"]["difference"] == -0.25
    assert row["PTQ"]["moved"]["driver_emotion"]["mean"] == 0.0
    assert any("75.0 | -25.0" in line for line in accuracy_table(row, AIDE))


def test_without_a_number_of_epochs_it_says_what_is_missing(tmp_path: Any, capsys: Any) -> None:
    wanted = [str(tmp_path), "--data", str(tmp_path), "--out", str(tmp_path / "o"), "--setting", "ort-x86"]
    assert main(wanted) == 2
    assert "--qat is missing" in capsys.readouterr().err and not (tmp_path / "o").exists()
