"""An experiment's tables in Markdown: its arms, its comparisons by each measure, machine and task, its instruments."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase

import numpy as np

from codriver.tasks import AIDE
from training.ablation.plan import AblationPlan
from training.ablation.variant import model_of
from training.ablation.verdict import (
    MEASURES,
    Measure,
    PairedDifference,
    Row,
    accuracy,
    compare,
    of_task,
    power_statement,
)


def report(plan: AblationPlan, rows: Sequence[Row]) -> str:
    """All that a plan's rows tell, the verdict first."""
    machines = sorted({row["machine"] for row in rows})
    busy = sum(row["busy_s"] for row in rows) / 3600
    parts = [f"{plan.question}\n\nThe bar: {plan.bar}\n", power_statement(plan), ""]
    parts += [f"{len(rows)} runs, {busy:.1f} hours of one core; {'; '.join(machines)}.", "", *_arms(plan, rows)]
    for name, measure in MEASURES.items():
        parts += [f"### {name}", "", *_verdict(plan, rows, measure), ""]
    if len(machines) > 1:
        parts += ["### accuracy at the end, machine by machine (decides nothing)", "", *_by_machine(plan, rows), ""]
    parts += _by_task(plan, rows)
    return "\n".join([*parts, *_instruments(plan, rows)])


def _verdict(plan: AblationPlan, rows: Sequence[Row], measure: Measure) -> list[str]:
    lines = ["| comparison | seeds | difference | p | p (Holm) |", "|---" * 5 + "|"]
    for pair, found in zip(plan.comparisons, compare(plan, rows, measure), strict=True):
        told = f"{found.pairs} | {_apart(found)} | {found.p:.3f} | {found.p_holm:.3f}" if found else "too few | | |"
        lines.append(f"| {pair.arm} against {pair.against} | {told} |")
    return lines


def _by_machine(plan: AblationPlan, rows: Sequence[Row]) -> list[str]:
    """A difference that two machines do not share is not the arm's: pooled alone it would not be seen."""
    machines = sorted({row["machine"] for row in rows})
    apart = [[row for row in rows if row["machine"] == machine] for machine in machines]
    lines = [f"* {letter}: {machine}" for letter, machine in zip(ascii_uppercase, machines, strict=False)]
    lines += ["", "| comparison | machine | seeds | the arm | the other | difference | p |", "|---" * 7 + "|"]
    compared = [compare(plan, here, accuracy) for here in apart]
    for pair, *each in zip(plan.comparisons, *compared, strict=True):
        for letter, here, found in zip(ascii_uppercase, apart, each, strict=False):
            if found:
                arms = " | ".join(_mean_of(here, arm, pair.arm, pair.against) for arm in (pair.arm, pair.against))
                told = f"{found.pairs} | {arms} | {_apart(found)} | {found.p:.3f}"
                lines.append(f"| {pair.arm} against {pair.against} | {letter} | {told} |")
    return lines


def _mean_of(rows: Sequence[Row], arm: str, *both: str) -> str:
    """Over the seeds that both arms have."""
    seeds = set.intersection(*({row["seed"] for row in rows if row["variant"] == name} for name in both))
    return f"{np.mean([accuracy(row) for row in rows if row['variant'] == arm and row['seed'] in seeds]):.1f}"


def _by_task(plan: AblationPlan, rows: Sequence[Row]) -> list[str]:
    of_tasks = [compare(plan, rows, of_task(task)) for task in AIDE.names]
    titles = " | ".join(AIDE[task].title for task in AIDE.names)
    lines = []
    for pair, *found in zip(plan.comparisons, *of_tasks, strict=True):
        if any(found):
            cells = " | ".join(_apart(some) if some and np.isfinite(some.mean) else "" for some in found)
            lines.append(f"| {pair.arm} against {pair.against} | {cells} |")
    table = [f"| comparison | {titles} |", "|---" * (len(AIDE.names) + 1) + "|", *lines, ""]
    return ["### accuracy at the end, task by task (not corrected, decides nothing)", "", *table] if lines else []


def _instruments(plan: AblationPlan, rows: Sequence[Row]) -> list[str]:
    """Of joint models whose runs measured them; means over seeds."""
    lines = [_told_by(arm.name, mine) for arm in plan.arms if (mine := _measured(rows, arm.name))]
    head = ["arm", "weights", "cosine at encoders", "cosine in DB-SCME", "likeness", "likeness of summands"]
    about = (
        "Weights: least and most of a task's in any epoch. The rest is of the first batch of the last epoch. Cosines: "
        "of two tasks' gradients. Likeness: squared cosines of two tasks' embeddings, and of one task's two summands."
    )
    table = [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *lines, ""]
    return ["### instruments", "", about, "", *table] if lines else []


def _measured(rows: Sequence[Row], arm: str) -> list[Row]:
    return [row for row in rows if row["variant"] == arm and row.get("instruments") and len(row["accuracy"]) > 1]


def _told_by(arm: str, mine: Sequence[Row]) -> str:
    last = [row["instruments"][-1] for row in mine]
    weights = np.mean([row["weights"] for row in mine], axis=0)
    cells = [f"{weights.min():.2f} to {weights.max():.2f}"]
    cells += [f"{np.mean([_off_diagonal(some[at]['cosine']) for some in last]):+.3f}" for at in ("encoders", "dbscme")]
    for name in ("raw", "summands"):
        known = [some["likeness"][name] for some in last if name in some["likeness"]]  # one branch has no two summands
        cells.append(f"{np.mean(known):.3f}" if known else "")
    return f"| {arm} | {' | '.join(cells)} |"


def _off_diagonal(cosines: Sequence[Sequence[float]]) -> float:
    matrix = np.array(cosines)
    return float(matrix[~np.eye(len(matrix), dtype=bool)].mean())


def _apart(found: PairedDifference) -> str:
    return f"{found.mean:+.2f} +- {found.half:.2f}"


def _arms(plan: AblationPlan, rows: Sequence[Row]) -> list[str]:
    titles = " | ".join(AIDE[task].title for task in AIDE.names)
    lines = [f"| arm | seeds | {titles} | mean | parameters | core s a run |", "|---" * (len(AIDE.names) + 5) + "|"]
    for arm in plan.arms:
        mine = [row for row in rows if row["variant"] == arm.name]
        if mine:
            known = mine[0]["accuracy"]
            cells = [_spread([100 * row["accuracy"][k] for row in mine]) if k in known else "" for k in AIDE.names]
            cells.append(_spread([accuracy(row) for row in mine]))
            seconds = np.median([row["busy_s"] for row in mine])
            size = sum(weights.numel() for weights in model_of(arm, plan.model).parameters())
            lines.append(f"| {arm.name} | {len(mine)} | {' | '.join(cells)} | {size:,} | {seconds:.0f} |")
    return [*lines, ""]


def _spread(values: Sequence[float]) -> str:
    deviation = f" +- {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{np.mean(values):.1f}{deviation}"
