"""Evidence as one page for whoever decides about a release; evidence.html has its words: verdicts first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codriver.percept import DRIVER_PARTS
from targets.evidence import pictures
from targets.evidence.drivers import by_certainty, changes
from targets.evidence.facts import board_of, conditions_rows, labels, machine_line
from targets.evidence.schema import Evidence, subjects_of
from targets.evidence.text import ends, full_precision, points, title, turns
from targets.evidence.verdict import (
    FAIL,
    MISSING,
    NOT_RUN,
    OPEN,
    PASS,
    VERDICTS,
    BudgetCheck,
    Paired,
    checks,
    intervals,
    is_full_precision,
    paired,
    ran,
    reference_of,
    verdict,
)
from workshop.figures import COLOURS, Line, data_uri, interval_figure
from workshop.pages import Cell, Row, percent, render, with_interval

TEMPLATE = Path(__file__).with_name("evidence.html")
MARKS = {PASS: "pass", FAIL: "fail", OPEN: "open", MISSING: "open"}
Subject = Mapping[str, Any]
Several = Sequence[tuple[str, Subject]]  # each with what it is called


def evidence_page(evidence: Sequence[Evidence]) -> str:
    """evidence: of one machine or several, all on the same clips."""
    subjects = subjects_of(evidence)
    there, reference = ran(subjects), reference_of(subjects)
    names = labels(subjects)
    found = {id(subject): checks(subject, reference) for subject in there}
    return render(
        TEMPLATE,
        title="Evidence",
        clips=evidence[0]["clips"],
        machines=dict.fromkeys(_machine(subject) for subject in subjects),
        created=dict.fromkeys(some["created"] for some in evidence),
        reference=None if reference is None else names[id(reference)],
        verdicts=[_verdict(s, found.get(id(s), []), names[id(s)], s is reference) for s in subjects],
        measured=_measured([(names[id(s)], s) for s in there], found, reference) if there else None,
    )


def _machine(subject: Subject) -> str:
    board = board_of(subject)
    return f"{board}: {machine_line(subject)}" if board else machine_line(subject)


def _measured(
    several: Several, found: Mapping[int, Sequence[BudgetCheck]], reference: Subject | None
) -> dict[str, Any]:
    """What the page shows of subjects that ran."""
    tasks = list(dict.fromkeys(task for _, subject in several for task in subject["tasks"]))
    compared = {id(s): paired(s, reference) for _, s in several if reference is not None and s is not reference}
    return {
        "names": [name for name, _ in several],
        "titles": [title(task) for task in tasks],
        "in_turns": sorted({s["in_turns"]["against"] for _, s in several if "in_turns" in s}),
        "overview": _overview(several, found, tasks),
        "budgets": _budgets(several, found),
        "picture": data_uri(_accuracy_figure(several, reference, tasks)),
        "accuracy": [(title(task), _accuracy(several, compared, task)) for task in tasks],
        "driver": _driver(several),
        "not_looked_for": _not_looked_for(several),
        "sure": _sure(several),
        "golden": _golden(several),
        "percentiles": list(several[0][1]["stream"]["latency_ms"]["total"]),
        "pictures": _latency_pictures(several),
        "latency": _latency(several),
        "costs": _costs(several),
        "conditions": conditions_rows(several),
    }


def _verdict(subject: Subject, found: Sequence[BudgetCheck], name: str, is_reference: bool) -> dict[str, Any]:
    """For one box: may it ship, and each budget that it misses, by how much."""
    judge = subject.get("judged_by", subject["target"])
    by = f", judged by the budgets of {judge}" if judge != subject["target"] else ""
    head = {"name": name, "bundle": subject["bundle"] + by}
    if subject["status"] != "ran":
        return head | {"mark": "none", "said": NOT_RUN, "lines": [subject["why"]]}
    said = verdict(found)
    if said == PASS:
        lines = ["every budget holds; others are compared with it" if is_reference else "every budget holds"]
    else:
        lines = [check.text for state in (FAIL, MISSING, OPEN) for check in found if check.state == state]
    return head | {"mark": MARKS[said], "said": VERDICTS[said], "lines": lines}


def _overview(several: Several, found: Mapping[int, Sequence[BudgetCheck]], tasks: Sequence[str]) -> list[Row]:
    rows: list[Row] = []
    for name, subject in several:
        said, stream = verdict(found[id(subject)]), subject["stream"]
        total = stream["latency_ms"]["total"]
        shares = [percent(subject["tasks"][task]["accuracy"]) if task in subject["tasks"] else "-" for task in tasks]
        times = [f"{total['p50']:.1f}", f"{total['p99']:.1f}", turns(subject), f"{stream['steps_per_s']:.1f}"]
        costs = [f"{subject['memory_mb']:.0f}", number(stream["energy"]["joules_per_step"], 3)]
        rows.append([name, Cell(VERDICTS[said], mark=MARKS[said]), *shares, *times, *costs])
    return rows


def _budgets(several: Several, found: Mapping[int, Sequence[BudgetCheck]]) -> list[Row]:
    return [
        [name, check.name, check.found, check.budget, Cell(check.state, mark=MARKS[check.state])]
        for name, subject in several
        for check in found[id(subject)]
    ]


def _accuracy_figure(several: Several, reference: Subject | None, tasks: Sequence[str]) -> Any:
    lines = []
    for at, (name, subject) in enumerate(several):
        of = subject["tasks"]
        found = [(of[task]["accuracy"], intervals(of[task])[0]) if task in of else None for task in tasks]
        lines.append(Line(name=name, found=found, colour=COLOURS[at % len(COLOURS)]))
    compared = next((at for at, (_, subject) in enumerate(several) if subject is reference), None)
    return interval_figure([title(task) for task in tasks], lines, compared, "accuracy, %")


def _accuracy(several: Several, compared: Mapping[int, Mapping[str, Paired]], task: str) -> list[Row]:
    """A row for each subject that answers the task. compared: by subject's id(), with the reference."""
    rows: list[Row] = []
    for name, subject in several:
        if task not in subject["tasks"]:
            continue
        row = subject["tasks"][task]
        shares = zip((row["accuracy"], row["macro_f1"]), intervals(row), strict=True)
        scores = [with_interval(share, between) for share, between in shares]
        rows.append([name, *scores, _recorded(subject, task), *_change(compared.get(id(subject), {}).get(task))])
    return rows


def _recorded(subject: Subject, task: str) -> str:
    """Full precision's accuracy on these clips, as the bundle records it."""
    if is_full_precision(subject):
        return "-"
    return percent(full_precision(subject, None).get(task, {}).get("accuracy"))


def _change(found: Paired | None) -> list[str]:
    if found is None:
        return ["-"] * 5
    low, high = (100 * end for end in found.interval)
    return [
        f"{100 * found.difference:+.1f} [{low:+.1f}, {high:+.1f}]",
        f"{found.gained} / {found.lost}",
        f"{found.p_holm:.2g}",
        percent(found.agreement),
        f"{found.mean_moved:.4f} / {found.max_moved:.4f}",
    ]


def _driver(several: Several) -> list[Row]:
    return [
        [
            name,
            some.way,
            some.against,
            title(some.task),
            percent(some.accuracy),
            f"{points(some.paired.difference)} {ends(some.paired.interval)}",
            f"{some.paired.gained} / {some.paired.lost}",
            f"{some.paired.p_holm:.2g}",
            percent(some.macro_f1),
            f"{points(some.f1_difference)} {ends(some.f1_interval)}",
        ]
        for name, subject in several
        for some in changes(subject)
    ]


def _not_looked_for(several: Several) -> list[str]:
    """Of each subject, the driver's streams that its finder leaves to the caller; evidence of before does not say."""
    rows = []
    for name, subject in several:
        looked_for = subject.get("driver", {}).get("looks_for", DRIVER_PARTS)
        rows += [f"{name}: {part}" for part in DRIVER_PARTS if part not in looked_for]
    return rows


def _sure(several: Several) -> list[Row]:
    rows: list[Row] = []
    for name, subject in several:
        for third in by_certainty(subject):
            for task, share in third.accuracy.items():
                between = f"{third.low:.2f} to {third.high:.2f}"
                shares = (percent(share), percent(third.annotated[task]))
                rows.append([name, third.name, title(task), between, str(third.n), *shares])
    return rows


def _golden(several: Several) -> list[Row]:
    rows: list[Row] = []
    for name, subject in several:
        for row in subject["golden"] or []:
            state = PASS if row["ok"] else FAIL
            same = "same" if row["same_label"] else "another"
            numbers = (f"{row['max_abs']:.5f}", f"{row['tolerance']:g}")
            rows.append([name, title(row["task"]), *numbers, same, Cell(state, mark=MARKS[state])])
        if not subject["golden"]:
            rows.append([name, "-", "none in the bundle", "", "", Cell(OPEN, mark="open")])
    return rows


def _latency_pictures(several: Several) -> list[str]:
    times = [(name, s["stream"]["total_ms"], s["budget"]["latency_ms"]) for name, s in several]
    medians = [
        (name, {stage: ms["p50"] for stage, ms in s["stream"]["latency_ms"].items() if stage != "total"})
        for name, s in several
    ]
    return [data_uri(pictures.histograms(times)), data_uri(pictures.stages(medians))]


def _latency(several: Several) -> list[Row]:
    rows: list[Row] = []
    for name, subject in several:
        for stage, times in subject["stream"]["latency_ms"].items():
            jitter = number(subject["stream"]["jitter_ms"], 2) if stage == "total" else ""
            rows.append([name, stage, *(number(value, 2) for value in times.values()), jitter])
    return rows


def _costs(several: Several) -> list[Row]:
    rows: list[Row] = []
    for name, subject in several:
        stream, energy = subject["stream"], subject["stream"]["energy"]
        cells = [f"{subject['cold_start_ms']:.0f}", f"{stream['steps_per_s']:.1f}", f"{subject['memory_mb']:.0f}"]
        cells += [number(energy["joules_per_step"], 3), number(energy["watts"], 1), energy["source"]]
        rows.append([name, *cells])
    return rows


def number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
