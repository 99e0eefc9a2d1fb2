"""delta_m: the sign of each score, pairing by seed, and a command that goes on where it stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from codriver.dense_tasks import CITYSCAPES, NYUDV2
from training.delta import RUNS, arms, delta_m, main, missing, table, told
from training.synth import main as synth

pytestmark = pytest.mark.torch


def row(variant: str, seed: int, **scores: float) -> dict[str, Any]:
    named = {task: {told(CITYSCAPES[task]): value} for task, value in scores.items()}
    return {"variant": variant, "seed": seed, "scores": named}


def test_a_lower_error_is_a_gain_and_so_is_a_higher_share() -> None:
    single = {"semantics": 0.4, "disparity": 5.0}
    assert delta_m({"semantics": 0.5, "disparity": 4.0}, single, CITYSCAPES) == pytest.approx((0.25 + 0.2) / 2)
    assert delta_m({"semantics": 0.3, "disparity": 5.0}, single, CITYSCAPES) == pytest.approx(-0.125)


def test_each_kind_is_told_by_what_tables_hold() -> None:
    assert [told(task) for task in NYUDV2.tasks] == ["miou", "rmse_m", "mean_deg", "ods_f"]


def test_every_seed_has_a_model_a_task_and_both_joint_ones_and_what_is_done_is_not_run_again() -> None:
    rows = [row("single semantics", 0, semantics=0.4), row("AFD-Loss", 1, semantics=0.5, disparity=4.0)]
    todo = [(arm.name, seed) for arm, seed in missing(arms(CITYSCAPES), [0, 1], rows)]
    assert todo == [
        *(("single disparity", 0), ("equal weights", 0), ("AFD-Loss", 0)),
        *(("single semantics", 1), ("single disparity", 1), ("equal weights", 1)),
    ]


def test_gains_are_paired_by_seed_and_a_seed_without_all_its_models_is_left_out() -> None:
    rows = []
    for seed, level in enumerate((0.2, 0.4, 0.8)):
        rows += [row("single semantics", seed, semantics=level), row("single disparity", seed, disparity=5.0)]
        rows += [row("equal weights", seed, semantics=1.1 * level, disparity=5.0)]
        rows += [row("AFD-Loss", seed, semantics=1.3 * level, disparity=5.0)]
    found = table([*rows, row("single semantics", 3, semantics=0.1)], CITYSCAPES)
    assert "| equal weights | 3 |" in found and "+5.0 +- 0.0, better" in found and "+15.0 +- 0.0, better" in found
    assert "AFD-Loss against equal weights, delta_m: +10.0 +- 0.0, better" in found


def test_the_command_runs_what_is_missing_alone(tmp_path: Path, capsys: Any) -> None:
    data, out = tmp_path / "city", tmp_path / "delta"
    small = ["--width", "128", "--height", "64", "--workers", "1"]
    assert synth([str(data), "--layout", "cityscapes", "--clips", "16", "--seed", "4", *small]) == 0
    command = ["--task-set", "cityscapes", "--data", str(data), "--out", str(out), "--epochs", "1"]
    assert main([*command, "--seeds", "0"]) == 0
    lines = (out / RUNS).read_text().splitlines()
    assert len(lines) == 5 and json.loads(lines[0])["settings"]["epochs"] == 1
    (out / RUNS).write_text("\n".join(lines[:-1]) + "\n")
    capsys.readouterr()
    assert main([*command, "--seeds", "0"]) == 0
    assert "1/1 AFD-Loss, seed 0" in capsys.readouterr().err
    assert (out / RUNS).read_text().splitlines()[:-1] == lines[:-1]
    assert main([*command[:-1], "2", "--seeds", "0"]) == 2
    assert "another epochs" in capsys.readouterr().err
