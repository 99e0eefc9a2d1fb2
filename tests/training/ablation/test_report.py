"""An experiment's tables: what pooling hides is told, and a committed table is what its rows say."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("torch")

from codriver.tasks import AIDE
from tests import ROOT
from training.ablation.plan import AblationPlan, read_plan
from training.ablation.report import report

pytestmark = pytest.mark.torch
ABLATION = ROOT / "docs" / "ablation"
JUDGED = [path.parent.name for path in sorted(ABLATION.glob("*/plan.toml")) if path.with_name("runs.jsonl").is_file()]
FIRST, SECOND = AIDE.names[0], AIDE.names[1]


@pytest.fixture
def plan() -> AblationPlan:
    return read_plan(ABLATION / "afd_again/plan.toml")


def run(arm: str, seed: int, right: float, machine: str = "one", **more: Any) -> dict[str, Any]:
    """A run that is right in so many percent of each task."""
    return {
        "variant": arm,
        "seed": seed,
        "machine": machine,
        "busy_s": 1.0,
        "accuracy": dict.fromkeys(AIDE.names, right / 100),
        "test_losses": dict.fromkeys(AIDE.names, 1.0),
        "watched": [right / 100],
        **more,
    }


def pairs(machine: str, gaps: list[float]) -> list[dict[str, Any]]:
    arm = [run("AFD today", seed, 70 + gap, machine) for seed, gap in enumerate(gaps)]
    return [*arm, *(run("equal", seed, 70, machine) for seed in range(len(gaps)))]


def test_a_difference_that_reverses_on_another_machine_is_seen(plan: AblationPlan) -> None:
    told = report(plan, [*pairs("one", [-4.0, -2.0, -3.0]), *pairs("two", [3.0, 4.0, 5.0])])
    assert "| AFD today against equal | 6 | +0.50 +-" in told
    assert "* A: one\n* B: two\n" in told
    assert "| AFD today against equal | A | 3 | 67.0 | 70.0 | -3.00 +- 2.48 |" in told
    assert "| AFD today against equal | B | 3 | 74.0 | 70.0 | +4.00 +- 2.48 |" in told


def test_of_one_machine_nothing_is_said_machine_by_machine(plan: AblationPlan) -> None:
    assert "machine by machine" not in report(plan, pairs("one", [1.0, 2.0]))


def test_a_machines_means_are_of_the_seeds_that_both_arms_have(plan: AblationPlan) -> None:
    told = report(plan, [*pairs("one", [1.0, 2.0]), *pairs("two", [1.0, 2.0]), run("equal", 9, 10, "two")])
    assert "| B | 2 | 71.5 | 70.0 |" in told


def test_what_one_task_gains_and_another_loses_is_seen(plan: AblationPlan) -> None:
    rows = pairs("one", [0.0, 0.0])
    for seed, some in enumerate(rows[:2]):
        some["accuracy"] |= {FIRST: 0.75 + seed / 100, SECOND: 0.65}
    told = report(plan, rows)
    cells = "+5.50 +- 6.35 | -5.00 +- 0.00 | +0.00 +- 0.00 | +0.00 +- 0.00"
    assert f"| AFD today against equal | {cells} |" in told


def test_instruments_tell_weights_cosines_and_likeness(plan: AblationPlan) -> None:
    conflict = {"cosine": [[1.0, -0.5], [-0.5, 1.0]]}
    measured = {
        "weights": [[1.0, 1.0], [0.5, 1.5]],
        "instruments": [
            {"encoders": conflict, "dbscme": {"cosine": [[1.0, 0.25], [0.25, 1.0]]}, "likeness": {"raw": 0.125}}
        ],
    }
    told = report(plan, [run("equal", seed, 70, **measured) for seed in (0, 1)])
    assert "| equal | 0.50 to 1.50 | -0.500 | +0.250 | 0.125 |  |" in told  # one branch has no two summands
    assert "instruments" not in report(plan, pairs("one", [1.0, 2.0]))


@pytest.mark.parametrize("name", JUDGED)
def test_a_committed_table_is_what_its_rows_say(name: str) -> None:
    folder = ABLATION / name
    rows = [json.loads(line) for line in folder.joinpath("runs.jsonl").read_text().splitlines()]
    assert report(read_plan(folder / "plan.toml"), rows) + "\n" == folder.joinpath("table.md").read_text()


def trained(path: str) -> dict[tuple[str, str, int], list[Any]]:
    """What training came to, by machine, arm and seed."""
    rows = [json.loads(line) for line in (ABLATION / path / "runs.jsonl").read_text().splitlines()]
    told = ("accuracy", "macro_f1", "test_losses", "watched", "weights", "last_losses")
    return {(row["machine"], row["variant"], row["seed"]): [row[name] for name in told] for row in rows}


def test_a_seed_rounds_alike_in_two_sessions_and_by_the_same_kernels_of_another_processor() -> None:
    """What docs/results.md says of the committed rows: to the last bit."""
    first, again = trained("afd"), trained("afd_again")
    both = [key for key in again if key in first and "avx512" in key[0]]
    assert len(both) == 12 and all(again[key] == first[key] for key in both)
    (forced,) = [key for key in again if "ATEN_CPU_CAPABILITY=avx2" in key[0]]
    (avx2,) = [key for key in again if key[1:] == forced[1:] and key[0].startswith("AMD EPYC, Linux")]
    (avx512,) = [key for key in again if key[1:] == forced[1:] and key[0] not in (forced[0], avx2[0])]
    assert again[forced] == again[avx2] != again[avx512]
