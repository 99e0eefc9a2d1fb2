"""What an experiment's rows show: paired by seed within one machine, corrected for how much was asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.ablation.plan import AblationPlan, seeds_needed, smallest_shown
from workshop.statistics import holm, student_half

Row = Mapping[str, Any]
Measure = Callable[[Row], float]


def accuracy(row: Row) -> float:
    """Mean over tasks, in points; beside a model of fewer tasks, over those that both have."""
    return 100 * float(np.mean(list(row["accuracy"].values())))


def under_the_curve(row: Row) -> float:
    """Mean accuracy on the watched clips over the whole run, in points."""
    return 100 * float(np.mean(row["watched"]))


def test_loss(row: Row) -> float:
    """Mean over tasks, 100 is guessing; lower is better."""
    return 100 * float(np.mean(list(row["test_losses"].values())))


def of_task(task: str) -> Measure:
    """Accuracy of one task, in points; not a number for a model that lacks it."""
    return lambda row: 100 * float(row["accuracy"].get(task, np.nan))


MEASURES: dict[str, Measure] = {
    "accuracy at the end": accuracy,
    "area under the curve": under_the_curve,
    "test loss, % of guessing (lower is better)": test_loss,
}


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """One comparison by one measure."""

    pairs: int
    mean: float
    half: float  # of the 95 % interval of this comparison alone (Student's t)
    p: float
    p_holm: float


def compare(plan: AblationPlan, rows: Sequence[Row], measure: Measure) -> list[PairedDifference | None]:
    """Of each comparison of the plan, None with fewer than two pairs."""
    gaps = [_gaps(rows, pair.arm, pair.against, measure) for pair in plan.comparisons]
    enough = [some for some in gaps if len(some) > 1]
    p_values = [_p(some) for some in enough]
    corrected = iter(zip(p_values, holm(p_values), strict=True))
    found: list[PairedDifference | None] = []
    for some in gaps:
        if len(some) < 2:
            found.append(None)
            continue
        p, p_holm = next(corrected)
        found.append(
            PairedDifference(pairs=len(some), mean=float(np.mean(some)), half=student_half(some), p=p, p_holm=p_holm)
        )
    return found


def _gaps(rows: Sequence[Row], arm: str, against: str, measure: Measure) -> list[float]:
    of = {(row["variant"], row["machine"], row["seed"]): row for row in rows}
    both = [(of[(arm, *key)], of[(against, *key)]) for name, *key in of if name == arm and (against, *key) in of]
    if measure is under_the_curve:  # which knows no tasks
        both = [(a, b) for a, b in both if a["accuracy"].keys() == b["accuracy"].keys()]
    return [measure(_of_tasks(a, b)) - measure(_of_tasks(b, a)) for a, b in both]


def _of_tasks(row: Row, other: Row) -> Row:
    """The row as if it had learnt only the tasks that the other has, too: a joint model beside one of a single task."""
    common = [task for task in row["accuracy"] if task in other["accuracy"]]
    told = {name: {task: row[name][task] for task in common} for name in ("accuracy", "test_losses") if name in row}
    return {**row, **told}


def _p(gaps: Sequence[float]) -> float:
    from scipy.stats import ttest_1samp

    if np.ptp(gaps) == 0:  # scipy would divide by nothing
        return 1.0 if gaps[0] == 0 else 0.0
    return float(ttest_1samp(gaps, 0.0).pvalue)


def power_statement(plan: AblationPlan) -> str:
    """What the planned seeds can show, before any of them has run."""
    asked, n, power = len(plan.comparisons), len(plan.seeds), plan.power
    parts = [
        f"spread {spread:g}: {power.target_points:g} point needs {seeds_needed(power, spread, asked)} seeds, "
        f"{n} seeds show {smallest_shown(power, spread, asked, n):.1f}"
        for spread in power.spread_points
    ]
    return (
        f"Power {power.power:g} at level {power.level:g} over {asked} comparisons (Holm's hardest step), two-sided "
        f"t-test paired by seed; spread: standard deviation of a difference, in points.\n"
        + "\n".join(f"* {part}" for part in parts)
    )
