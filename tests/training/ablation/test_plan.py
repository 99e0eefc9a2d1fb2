"""A plan: read strictly, honest about what its seeds can show, resumed row by row, judged by pairs."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from codriver.errors import ConfigError
from codriver.tasks import AIDE
from tests import ROOT
from training.ablate import main
from training.ablation.footage import wrong_labels
from training.ablation.plan import AblationPlan, PowerConfig, read_plan, seeds_needed, smallest_shown
from training.ablation.planned import KERNELS, RUNS, TABLE, machine, missing
from training.ablation.report import report
from training.ablation.verdict import MEASURES, accuracy, compare
from training.losses.afd import LossConfig
from training.model.dbscme import DBSCMEConfig

pytestmark = pytest.mark.torch
PLAN = ROOT / "docs" / "ablation" / "afd" / "plan.toml"


@pytest.fixture
def plan() -> AblationPlan:
    return read_plan(PLAN)


def row(arm: str, seed: int, value: float, place: str = "here") -> dict[str, Any]:
    return {"variant": arm, "seed": seed, "machine": place, "accuracy": dict.fromkeys(AIDE.names, value)}


@pytest.mark.parametrize("path", sorted(PLAN.parents[1].glob("*/plan.toml")), ids=lambda path: path.parent.name)
def test_every_arm_of_a_committed_plan_differs_from_the_others_and_can_be_made(path: Path) -> None:
    plan = read_plan(path)
    made = [
        (repr(LossConfig(**arm.loss)), DBSCMEConfig(**arm.dbscme), replace(plan.train, **arm.train), repr(arm.model))
        for arm in plan.arms
    ]
    assert len(set(made)) == len(plan.arms)


def test_the_committed_plan_can_be_read_and_its_rows_are_of_its_arms(plan: AblationPlan) -> None:
    names = [arm.name for arm in plan.arms]
    assert plan.model.view_px == 32 and plan.model.slots == 16 and "equal" in names
    rows = PLAN.with_name(RUNS)
    for line in rows.read_text().splitlines() if rows.is_file() else []:
        assert json.loads(line)["variant"] in names


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ('against = "equal"', 'against = "nobody"', "nobody"),
        ('name = "dynamics"', 'name = "equal"', "equal"),
        ("train = 1600", "trains = 1600", "trains"),
        ("test = 400", "test = 0", "a clip or more"),
        ("drawn = {", 'made_by = "synth"\ndrawn = {', "not both"),
    ],
)
def test_a_plan_with_a_mistake_is_refused_by_name(was: str, becomes: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(PLAN.read_text().replace(was, becomes))
    with pytest.raises(ConfigError, match=said):
        read_plan(tmp_path / "plan.toml")


def test_seeds_needed_are_those_of_the_textbook() -> None:
    """A paired t-test, level .05, power .8, difference of one deviation: 10 pairs (Cohen's d = 1)."""
    power = PowerConfig(spread_points=(1.0,))
    assert seeds_needed(power, 1.0, comparisons=1) == 10
    assert seeds_needed(power, 1.0, comparisons=6) > seeds_needed(power, 1.0, comparisons=2) > 10
    assert smallest_shown(power, 1.0, 1, 10) == pytest.approx(1.0, abs=0.01)
    assert smallest_shown(power, 2.0, 1, 10) == pytest.approx(2.0, abs=0.02)


def test_one_pair_has_no_spread_and_shows_nothing() -> None:
    assert smallest_shown(PowerConfig(spread_points=(1.0,)), 1.0, 1, 1) == float("inf")


def test_only_runs_of_one_machine_are_paired(plan: AblationPlan) -> None:
    rows = [row("AFD today", seed, 0.6 + 0.01 * seed) for seed in range(3)] + [
        row("equal", seed, 0.5) for seed in range(2)
    ]
    rows.append(row("equal", 2, 0.1, "elsewhere"))
    found = compare(plan, rows, accuracy)
    assert found[0] is not None and found[0].pairs == 2
    assert found[0].mean == pytest.approx(10.5) and found[0].half == pytest.approx(12.706 * 0.5, rel=1e-3)
    assert found[1:] == [None] * 7


def test_a_joint_model_is_compared_with_a_single_one_in_its_task_alone(plan: AblationPlan) -> None:
    joint = [
        row("AFD today", seed, 0.5) | {"watched": [0.5], "test_losses": dict.fromkeys(AIDE.names, 0.9)}
        for seed in (0, 1)
    ]
    single = [{**some, "variant": "equal", "accuracy": {AIDE.names[1]: 0.4}} for some in joint]
    for k, some in enumerate(joint):
        some["accuracy"] = {**some["accuracy"], AIDE.names[1]: 0.7 + 0.1 * k}
        some["test_losses"] = {**some["test_losses"], AIDE.names[1]: 0.6}
    found = compare(plan, [*joint, *single], accuracy)[0]
    assert found is not None and found.mean == pytest.approx(35.0)
    lost = compare(plan, [*joint, *single], MEASURES["test loss, % of guessing (lower is better)"])[0]
    assert lost is not None and lost.mean == pytest.approx(-30.0)
    assert compare(plan, [*joint, *single], MEASURES["area under the curve"])[0] is None
    assert "| equal | 2 | | 40.0" in report(plan, [{**some, "busy_s": 1.0} for some in [*joint, *single]]).replace(
        "  ", " "
    )


def test_p_values_are_corrected_over_all_comparisons(plan: AblationPlan) -> None:
    rng = np.random.default_rng(0)
    rows = [
        row(arm.name, seed, float(rng.normal(0.5 + 0.01 * k, 0.01)))
        for k, arm in enumerate(plan.arms)
        for seed in range(6)
    ]
    found = [some for some in compare(plan, rows, accuracy) if some]
    assert len(found) == 8
    least = min(found, key=lambda some: some.p)
    assert least.p_holm == pytest.approx(min(1.0, 8 * least.p)) and all(some.p_holm >= some.p for some in found)


def test_what_is_missing_goes_seed_by_seed_and_other_machines_do_not_count(plan: AblationPlan) -> None:
    rows = [row("equal", 0, 0.5), row("equal", 1, 0.5, "elsewhere")]
    todo = [(arm.name, seed) for arm, seed in missing(plan.arms, [0, 1], rows, "here")]
    assert len(todo) == 15 and todo[0] == ("AFD today", 0) and todo[7] == ("equal", 1)


def test_a_seed_that_is_whole_on_another_machine_is_done(plan: AblationPlan) -> None:
    rows = [row(arm.name, 0, 0.5, "elsewhere") for arm in plan.arms]
    assert not missing(plan.arms, [0], rows, "here")
    split = [*rows[:-1], {**rows[-1], "machine": "a third"}]
    assert len(missing(plan.arms, [0], split, "here")) == len(plan.arms)


def test_runs_with_other_kernels_do_not_pair_with_those_of_the_processors_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KERNELS:
        monkeypatch.delenv(name, raising=False)
    own = machine()
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx2")
    assert machine() == f"{own}, ATEN_CPU_CAPABILITY=avx2"


def test_noise_changes_its_share_of_labels_to_other_classes_evenly() -> None:
    labels = np.zeros((4000, 4), dtype=np.int64)
    labels[:, 3] = -1
    said = wrong_labels(labels, 0.2, np.random.default_rng(0))
    assert (said[:, 3] == -1).all()
    for k, task in list(enumerate(AIDE.tasks))[:3]:
        shares = np.bincount(said[:, k], minlength=task.classes) / len(said)
        assert shares[0] == pytest.approx(0.8, abs=0.02)
        assert shares[1:] == pytest.approx([0.2 / (task.classes - 1)] * (task.classes - 1), abs=0.02)


def test_a_plan_runs_stops_goes_on_and_reports(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        PLAN.read_text()
        .replace("epochs = 16", "epochs = 1")
        .replace("batch = 32", "batch = 2")
        .replace("sparse = 1.0", "sparse = 0.0")
    )
    for name, few in (("train = 1600", "train = 2"), ("test = 400", "test = 1"), ("watch = 100", "watch = 1")):
        text = text.replace(name, few)
    text = text.replace("validate_every = 4", "validate_every = 1")
    text = text.replace("drawn = { clips = 3000, seed = 2 }", 'made_by = "synth"')
    path = tmp_path / "plan.toml"
    head, *arms = text.split("[[arms]]")
    pair = '[[comparisons]]\narm = "AFD today"\nagainst = "equal"\n'
    path.write_text("[[arms]]".join([head, *arms[:2], pair]).replace("[[arms]][[comp", "[[comp"))
    common = [str(path), "--data", str(dataset), "--seeds", "5"]
    assert main([*common, "--dry-run"]) == 0 and not (tmp_path / RUNS).exists()
    assert "2 runs to go" in capsys.readouterr().err
    assert main([*common, "--dry-run", "--arm", "equal"]) == 0 and "1 runs to go" in capsys.readouterr().err
    assert (
        main([*common, "--arm", "equa"]) == 2 and "no arm equa; expected one of equal, AFD" in capsys.readouterr().err
    )
    assert main([*common, "--minutes", "0"]) == 0 and not (tmp_path / RUNS).exists()
    assert main(common) == 0
    rows = [json.loads(line) for line in (tmp_path / RUNS).read_text().splitlines()]
    assert len(rows) == 2 and {r["machine"] for r in rows} == {machine()}
    assert all(len(r["watched"]) == 1 and math.isfinite(sum(r["test_losses"].values())) for r in rows)
    assert "| equal | 1 |" in (tmp_path / TABLE).read_text() and "too few" in (tmp_path / TABLE).read_text()
    capsys.readouterr()
    (tmp_path / TABLE).unlink()
    assert main(common) == 0 and "0 runs to go" in capsys.readouterr().err and (tmp_path / TABLE).exists()
    assert {r["settings"] for r in rows} == {read_plan(path).digests[name] for name in ("equal", "AFD today")}
    was = path.read_text()
    path.write_text(was.replace('weighting = "dwa"', 'weighting = "dwa", beta = 0.1'))
    assert main(common) == 2 and "otherwise now of AFD today" in capsys.readouterr().err
    path.write_text(was)
    assert main(common[:1]) == 2 and "give --data" in capsys.readouterr().err
    other = [{**r, "clips": "others"} for r in rows]
    (tmp_path / RUNS).write_text("".join(json.dumps(r) + "\n" for r in other))
    assert main(common) == 2 and "other clips" in capsys.readouterr().err
