"""Ablation: every variant on every seed, resumable, and verdicts that noise does not make."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from codriver.errors import ConfigError
from codriver.tasks import AIDE
from training import ablate as module
from training.ablate import RUNS, TABLE, VARIANTS, ablate, difference, main, missing, tables, verdict
from training.trainer.config import TrainConfig

pytestmark = pytest.mark.torch
QUICK = TrainConfig(size="tiny", epochs=1, sparse=1.0, batch=4)


def row(variant: str, seed: int, accuracy: float, tasks: tuple[str, ...] = AIDE.names) -> dict[str, Any]:
    return {"variant": variant, "seed": seed, "accuracy": dict.fromkeys(tasks, accuracy)}


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two variants that differ in structure, so that a test is quick."""
    monkeypatch.setattr(module, "VARIANTS", tuple(v for v in VARIANTS if v.family == "DB-SCME")[::3])


def test_every_variant_is_run_on_every_seed_and_once(few: None, dataset: Path, tmp_path: Path) -> None:
    said: list[str] = []
    text = ablate(dataset, tmp_path, QUICK, [0, 1], ["DB-SCME"], said.append)
    head, *rows = [json.loads(line) for line in (tmp_path / RUNS).read_text().splitlines()]
    assert {(r["variant"], r["seed"]) for r in rows} == {(name, s) for name in ("AFD", "off") for s in (0, 1)}
    assert head["settings"]["size"] == "tiny" and (tmp_path / TABLE).read_text() == text
    assert "| off | 2 |" in text and len(said) == 4
    (tmp_path / RUNS).write_text("\n".join(map(json.dumps, [head, *rows[:3]])) + "\n")  # as if stopped there
    ablate(dataset, tmp_path, QUICK, [0, 1], ["DB-SCME"], said.append)
    assert len(said) == 5 and len((tmp_path / RUNS).read_text().splitlines()) == 5


def test_runs_on_other_settings_are_not_mixed_in(few: None, dataset: Path, tmp_path: Path) -> None:
    (tmp_path / RUNS).write_text(json.dumps({"settings": {"size": "edge", "epochs": 1}}) + "\n")
    with pytest.raises(ConfigError, match="another size"):
        ablate(dataset, tmp_path, QUICK, [0], ["DB-SCME"], print)


def test_a_variant_of_two_families_is_trained_once() -> None:
    names = [some.name for some, _ in missing(VARIANTS, [0], [])]
    assert len(names) == len(set(names)) and "AFD" in names


def test_single_task_models_make_one_row_once_all_tasks_are_there() -> None:
    rows = [row("AFD", 0, 0.8), *(row(f"single {t}", 0, 0.7, (t,)) for t in AIDE.names)]
    assert "| single | 1 | 70.0 | 70.0 | 70.0 | 70.0 | 70.0 |" in tables(rows)
    assert "single" not in tables(rows[:-1])


def test_a_difference_that_seeds_do_not_agree_on_is_no_verdict() -> None:
    steady = difference({0: 0.80, 1: 0.82, 2: 0.81}, {0: 0.70, 1: 0.72, 2: 0.71})
    shaky = difference({0: 0.80, 1: 0.70, 2: 0.81}, {0: 0.70, 1: 0.75, 2: 0.79})
    assert verdict(steady) == "better" and verdict(shaky) == "no difference shown"
    assert verdict(difference({0: 0.9}, {0: 0.1})) == "one seed only"


def test_the_interval_is_students_t_over_paired_seeds() -> None:
    mean, half = difference({0: 0.1, 1: 0.2, 2: 0.3}, {0: 0.0, 1: 0.0, 2: 0.0}) or (0, 0)
    assert mean == pytest.approx(0.2) and half == pytest.approx(4.302653 * 0.1 / 3**0.5, rel=1e-5)


def test_without_data_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 2
    assert "none" in capsys.readouterr().err
