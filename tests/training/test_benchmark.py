"""The line of a benchmark by one command: its verdict can fail, and steps that ended are not run again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from training import benchmark
from training.benchmark import RECIPES, STEPS, Recipe, main, table, verdict
from training.dense.synth import LAYOUTS

pytestmark = pytest.mark.torch


def scores(value: float) -> dict[str, Any]:
    return {"scores": {"miou": value}, "chosen_by": "miou", "interval": [value - 0.01, value + 0.01]}


def report(ahead_of_probe: tuple[float, float]) -> dict[str, Any]:
    return {
        "tasks": {"semantics": scores(0.5)},
        "without_looking": {"semantics": scores(0.2)},
        "linear_probe": {"semantics": scores(0.4)},
        "ahead": {"without_looking": {"semantics": [0.2, 0.4]}, "linear_probe": {"semantics": list(ahead_of_probe)}},
    }


@pytest.mark.parametrize(("ahead", "beats"), [((0.01, 0.2), True), ((-0.01, 0.2), False), ((0.0, 0.2), False)])
def test_a_model_beats_both_only_where_both_intervals_are_above_0(ahead: tuple[float, float], beats: bool) -> None:
    found = verdict(report(ahead))
    assert found["semantics"]["beats"] is beats
    assert table(found).endswith("| yes |" if beats else "| NO |") and "50.0 [49.0 to 51.0]" in table(found)


def test_every_benchmark_with_footage_has_a_recipe() -> None:
    assert set(RECIPES) == set(LAYOUTS)


def test_a_model_that_hardly_learned_fails_and_nothing_is_run_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setitem(benchmark.RECIPES, "cityscapes", Recipe(clips=16, width=128, height=64, epochs=1))
    command = ["cityscapes", "--work", str(tmp_path / "city"), "--out", str(tmp_path / "out")]
    assert main(command) == 1
    assert "not ahead of both" in capsys.readouterr().out
    first = (tmp_path / "city" / STEPS).read_text()
    assert [json.loads(line)["step"] for line in first.splitlines()] == ["synth", "check", "train", "evaluate"]
    assert main([*command, "--json"]) == 1
    whole = json.loads(capsys.readouterr().out)
    assert whole["recipe"]["clips"] == 16 and set(whole["tasks"]) == {"semantics", "disparity"}
    assert (tmp_path / "city" / STEPS).read_text() == first
    assert "| semantics | miou |" in (tmp_path / "out" / "cityscapes.md").read_text()


def test_a_step_that_fails_ends_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "city" / "data" / "kept").mkdir(parents=True)  # synth wants an empty folder
    with pytest.raises(SystemExit) as ended:
        main(["cityscapes", "--work", str(tmp_path / "city"), "--out", str(tmp_path / "out")])
    assert ended.value.code == 2 and not (tmp_path / "out").exists()
