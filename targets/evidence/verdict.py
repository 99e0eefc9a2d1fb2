"""What evidence says: each subject against the reference, clip by clip, and against the budgets of its profile.

A subject is one variant of one bundle on one machine. The reference is the first subject in full precision, else the
first that ran. Everything here follows from the evidence's JSON, so that a page can be made anew from it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workshop import statistics
from workshop.resampling import Interval

PASS, FAIL, OPEN, MISSING = "pass", "fail", "not shown", "nothing to compare with"
VERDICTS = {PASS: "may ship", FAIL: "may not ship", OPEN: "not shown that it may ship"}
NOT_RUN = "not run here"
FRAMES_ALONE = "frames alone"  # the way of a device: what the finder finds, and no annotation
LEAST_ANSWERED = 0.95  # share of the labelled clips; of fewer, accuracy and agreement say little of what drives
Subject = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class BudgetCheck:
    """One budget, and what was found of it."""

    name: str  # "accuracy driver_emotion", "latency", "memory", "golden"
    state: str  # PASS, FAIL, OPEN or MISSING
    found: str
    budget: str
    text: str  # a sentence for whoever decides


@dataclass(frozen=True, kw_only=True)
class Paired:
    """One task's answers against the reference's on the same clips. Shares, not percent."""

    difference: float  # of accuracy, this minus reference
    interval: Interval
    gained: int  # clips that only this got right
    lost: int
    p: float  # McNemar's exact test
    p_holm: float  # corrected over the tasks
    agreement: float  # share of clips with the same class
    mean_moved: float  # mean and largest absolute difference of a probability
    max_moved: float
    n: int


def ran(subjects: Sequence[Subject]) -> list[Subject]:
    return [subject for subject in subjects if subject["status"] == "ran"]


def is_full_precision(subject: Subject) -> bool:
    return bool(subject["variant"].endswith("fp32"))


def reference_of(subjects: Sequence[Subject]) -> Subject | None:
    there = ran(subjects)
    return next((subject for subject in there if is_full_precision(subject)), there[0] if there else None)


def paired(subject: Subject, reference: Subject) -> dict[str, Paired]:
    return pairs_of(subject["tasks"], reference["tasks"])


def pairs_of(here: Mapping[str, Any], there: Mapping[str, Any]) -> dict[str, Paired]:
    """By task that both answer: `here` against `there`, on the same clips."""
    common = [task for task in here if task in there and here[task]["labels"]]
    tests = statistics.paired_tests([(_right(there[task]), _right(here[task])) for task in common])
    return {task: _pair(here[task], there[task], test) for task, test in zip(common, tests, strict=True)}


def _pair(here: Mapping[str, Any], there: Mapping[str, Any], test: statistics.PairedTest) -> Paired:
    n = len(here["labels"])
    moved = np.abs(np.array(here["probabilities_e4"]) - np.array(there["probabilities_e4"])) / 1e4  # (n, K)
    return Paired(
        difference=(test.gained - test.lost) / n,
        interval=statistics.paired_interval(test.gained, test.lost, n),
        **asdict(test),
        agreement=float(np.mean(np.array(here["predicted"]) == np.array(there["predicted"]))),
        mean_moved=float(moved.mean()),
        max_moved=float(moved.max()),
        n=n,
    )


def _right(task: Mapping[str, Any]) -> NDArray[np.bool_]:
    return np.asarray(np.array(task["predicted"]) == np.array(task["labels"]))


def intervals(task: Mapping[str, Any]) -> tuple[Interval, Interval]:
    """Of the accuracy and of the macro-F1."""
    right, labels = _right(task), np.array(task["labels"], dtype=np.int64)
    answers = np.array(task["predicted"], dtype=np.int64)
    accuracy = statistics.wilson(int(right.sum()), len(labels))
    return accuracy, statistics.f1_interval(labels, answers, len(task["classes"])) if len(labels) else (0.0, 1.0)


def checks(subject: Subject, reference: Subject | None) -> list[BudgetCheck]:
    """Whether it answers, every budget of the profile, and the golden vectors, for a subject that ran."""
    found = [*_answered(subject), *_accuracy(subject, reference)]
    return [*found, _golden(subject["golden"]), _latency(subject), _memory(subject)]


def verdict(found: Sequence[BudgetCheck]) -> str:
    """PASS only if every check holds; what is not shown is no pass."""
    states = {check.state for check in found}
    return FAIL if FAIL in states else PASS if states <= {PASS} else OPEN


def against(subject: Subject, reference: Subject | None) -> list[str]:
    """What keeps it from being shipped, one sentence each. What so few clips cannot show is not in it."""
    return [check.text for check in checks(subject, reference) if check.state in (FAIL, MISSING)]


def _answered(subject: Subject) -> Iterator[BudgetCheck]:
    """Two models that say nothing agree on everything, and lose no point; and annotations are what no device has."""
    yield from _answered_of(subject["tasks"], "answers", "")
    if "driver" in subject:
        yield from _answered_of(subject["driver"]["ways"][FRAMES_ALONE], "answers, frames alone", " with frames alone")


def _answered_of(tasks: Mapping[str, Any], name: str, way: str) -> Iterator[BudgetCheck]:
    """Of the task with the fewest answers."""
    counts = {task: (sum(index >= 0 for index in row["predicted"]), len(row["labels"])) for task, row in tasks.items()}
    if not counts:
        return
    task, (answered, n) = min(counts.items(), key=lambda item: item[1][0] / max(1, item[1][1]))
    budget, found = f"{100 * LEAST_ANSWERED:g} %", f"{answered} of {n}"
    text = f"{task}, the least of all, is answered on {found} labelled clips{way}"
    enough = n > 0 and answered >= LEAST_ANSWERED * n
    beyond_doubt = n > 0 and statistics.wilson(answered, n)[1] < LEAST_ANSWERED
    state = PASS if enough else FAIL if beyond_doubt else OPEN
    if not enough:
        text += f", {budget} are wanted: what else is told of it is of clips that nobody answered"
    yield BudgetCheck(name=name, state=state, found=found, budget=budget, text=text)


def _accuracy(subject: Subject, reference: Subject | None) -> list[BudgetCheck]:
    if is_full_precision(subject):
        return []  # it is what others are compared with
    if reference is not None and is_full_precision(reference):
        rows = paired(subject, reference)
        missing = [task for task in subject["tasks"] if task not in rows]
        return [*(_paired_check(subject, task, row) for task, row in rows.items()), *map(_uncompared, missing)]
    return [_share_check(subject, task) for task in subject["tasks"]]


def _paired_check(subject: Subject, task: str, row: Paired) -> BudgetCheck:
    loss, least, most = (0.0 - 100 * share for share in (row.difference, row.interval[1], row.interval[0]))
    allowed = subject["budget"]["accuracy_points"][task]
    text = f"{task} loses {loss:.1f} points of accuracy, {least:.1f} to {most:.1f} with 95 % confidence"
    if least > allowed:
        state, text = FAIL, f"{text}: at least {least - allowed:.1f} more than the {allowed:g} allowed"
    elif most > allowed:
        state, text = OPEN, f"{text}; {row.n} clips cannot show that it is within the {allowed:g} allowed"
    else:
        state, text = PASS, f"{text}; {allowed:g} are allowed"
    found = f"{0.0 - loss:+.1f} points [{-most:+.1f}, {-least:+.1f}]"
    return BudgetCheck(name=f"accuracy {task}", state=state, found=found, budget=f"-{allowed:g} points", text=text)


def _share_check(subject: Subject, task: str) -> BudgetCheck:
    """Without full precision's answers, clip by clip, there is only the bundle's own record of its share."""
    full = subject["full_precision"]
    if full is None or task not in full:
        return _uncompared(task)
    loss, allowed = (
        100 * (full[task]["accuracy"] - subject["tasks"][task]["accuracy"]),
        subject["budget"]["accuracy_points"][task],
    )
    if loss > allowed:
        text = f"{task}: INT8 loses {loss:.1f} points of accuracy, at most {allowed:g} are allowed"
        state, text = FAIL, f"{text}; {loss - allowed:.1f} too many"
    else:
        text = f"{task} changes by {-loss:+.1f} points on these clips, a loss of {allowed:g} is allowed"
        state, text = OPEN, f"{text}; for an interval, validate a bundle in full precision beside it"
    return BudgetCheck(
        name=f"accuracy {task}",
        state=state,
        found=f"{0.0 - loss:+.1f} points",
        budget=f"-{allowed:g} points",
        text=text,
    )


def _uncompared(task: str) -> BudgetCheck:
    text = f"{task}: nothing to compare with, these are not the clips that full precision was scored on"
    return BudgetCheck(name=f"accuracy {task}", state=MISSING, found="-", budget="", text=text)


def _golden(rows: Sequence[Mapping[str, Any]] | None) -> BudgetCheck:
    if not rows:
        text = "the bundle has no golden vectors; build it with some"
        return BudgetCheck(name="golden", state=OPEN, found="none", budget="", text=text)
    worst = max(rows, key=lambda row: row["max_abs"] - row["tolerance"])
    found, budget = f"{worst['max_abs']:.4f}", f"{worst['tolerance']:g}"
    text = f"golden vectors: the worst probability, of {worst['task']}, is off by {found}, {budget} is allowed"
    state = PASS if all(row["ok"] for row in rows) else FAIL
    return BudgetCheck(name="golden", state=state, found=found, budget=budget, text=text)


def _latency(subject: Subject) -> BudgetCheck:
    """By the interval of p99: a step that was late by chance neither ships nor stops a bundle.

    Nor does what was late because others were at work on the machine; what holds nevertheless, holds.
    """
    budget_ms, times_ms = subject["budget"]["latency_ms"], subject["stream"]["total_ms"]
    p99_ms = subject["stream"]["latency_ms"]["total"]["p99"]
    low_ms, high_ms = statistics.quantile_interval(times_ms, 0.99)
    upper = "no bound" if math.isinf(high_ms) else f"{high_ms:.1f}"
    text = f"p99 of a step is {p99_ms:.1f} ms, {low_ms:.1f} to {upper} with 95 % confidence"
    load, cores = subject["stream"]["conditions"]["after"]["load"], subject["machine"]["cores"]
    if high_ms > budget_ms and load is not None and load > cores + 1:
        state, text = OPEN, f"{text}, the budget {budget_ms:g} ms; at a load of {load:g} on {cores} cores: try it idle"
    elif low_ms > budget_ms:
        state, text = FAIL, f"{text}: at least {low_ms - budget_ms:.1f} ms over the budget of {budget_ms:g} ms"
    elif high_ms > budget_ms:
        state, text = OPEN, f"{text}; {len(times_ms)} steps cannot show that it is within the {budget_ms:g} ms allowed"
    else:
        state, text = PASS, f"{text}; the budget is {budget_ms:g} ms"
    return BudgetCheck(name="latency p99", state=state, found=f"{p99_ms:.1f} ms", budget=f"{budget_ms:g} ms", text=text)


def _memory(subject: Subject) -> BudgetCheck:
    peak_mb, budget_mb = subject["memory_mb"], subject["budget"]["memory_mb"]
    over_mb = peak_mb - budget_mb
    text = (
        f"the process takes {peak_mb:.0f} MB at its peak, {abs(over_mb):.0f} MB {'over' if over_mb > 0 else 'below'} "
    )
    return BudgetCheck(
        name="memory",
        state=FAIL if over_mb > 0 else PASS,
        found=f"{peak_mb:.0f} MB",
        budget=f"{budget_mb:g} MB",
        text=f"{text}the budget of {budget_mb:g} MB",
    )
