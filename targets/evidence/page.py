"""Evidence as one self-contained page for whoever decides about a release: verdicts first, then what they rest on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from targets.evidence import pictures as pictures
from targets.evidence.facts import conditions_table, machine_line
from targets.evidence.schema import Evidence, subjects_of
from targets.evidence.text import full_precision, percent, title, turns
from targets.evidence.verdict import (
    FAIL,
    MISSING,
    NOT_RUN,
    OPEN,
    PASS,
    VERDICTS,
    Check,
    Paired,
    checks,
    intervals,
    is_full_precision,
    paired,
    ran,
    reference_of,
    verdict,
)
from workshop.pages import Cell, page, table

STYLE = """
.verdict{border-left:6px solid;background:#f6f8fa;padding:8px 14px;margin:10px 0}
.verdict ul{margin:4px 0;padding-left:20px}
.verdict.pass{border-color:#1b7f4d}.verdict.fail{border-color:#b00020}.verdict.open{border-color:#d9822b}
.verdict.none{border-color:#888}td.pass{color:#1b7f4d}td.fail{color:#b00020;font-weight:600}td.open{color:#a85c00}
.soft{color:#666;font-size:13px}th{font-weight:600}td,th{vertical-align:top}td{white-space:nowrap}td.wide{white-space:normal}h2{margin-top:2rem}body{max-width:1180px}
"""
CLASSES = {PASS: "pass", FAIL: "fail", OPEN: "open", MISSING: "open"}
HOW = """Accuracy of a clip's last answer, stepped frame by frame. Intervals hold with 95 %: Wilson's for an accuracy, a
bootstrap over clips for macro-F1, Bonett and Price's for the paired difference, order statistics for p99. p: McNemar's
exact test on the clips that only one of the two got right, Holm-corrected over the tasks. A budget is missed if all of
the interval lies beyond it, holds if all lies within, and is otherwise not shown by so few clips or steps."""
Subject = Mapping[str, Any]


def evidence_page(evidence: Sequence[Evidence]) -> str:
    """evidence: of one machine or several, all on the same clips."""
    subjects = subjects_of(evidence)
    there, reference = ran(subjects), reference_of(subjects)
    names = labels(subjects)
    found = {id(subject): checks(subject, reference) for subject in there}
    parts = [
        _about(evidence, reference, names),
        *(_verdict(s, found.get(id(s), []), names[id(s)], s is reference) for s in subjects),
    ]
    if there:
        several = [(names[id(subject)], subject) for subject in there]
        parts += ["<h2>Side by side</h2>", _overview(several, found)]
        parts += ["<h2>Budgets</h2>", _budgets(several, found)]
        parts += ["<h2>Accuracy</h2>", _picture(several), *_accuracy(several, reference), f'<p class="soft">{HOW}</p>']
        parts += ["<h2>Golden vectors</h2>", _golden(several), "<h2>Latency</h2>", *_latency(several)]
        parts += ["<h2>Start, throughput, memory, energy</h2>", _costs(several)]
        parts += ["<h2>Conditions</h2>", conditions_table(several)]
    return page("Evidence", parts, STYLE)


def labels(subjects: Sequence[Subject]) -> dict[int, str]:
    """What a subject, by its id(), is called: as short as it can be while no two are called the same."""
    machines = {subject["machine"]["cpu"] for subject in subjects}
    short = [f"{subject['target']} · {subject['variant']}" for subject in subjects]
    if len(machines) > 1:
        short = [f"{name} · {subject['machine']['cpu']}" for name, subject in zip(short, subjects, strict=True)]
    again = [short[:at].count(name) for at, name in enumerate(short)]
    names = [f"{name} ({count + 1})" if count else name for name, count in zip(short, again, strict=True)]
    return {id(subject): name for subject, name in zip(subjects, names, strict=True)}


def _about(evidence: Sequence[Evidence], reference: Subject | None, names: Mapping[int, str]) -> str:
    clips, made = evidence[0]["clips"], ", ".join(dict.fromkeys(some["created"] for some in evidence))
    machines = "; ".join(dict.fromkeys(machine_line(subject) for subject in subjects_of(evidence)))
    against = f" Compared with <b>{escape(names[id(reference)])}</b>." if reference is not None else ""
    text = (
        f"{clips['n']} labelled test clips (sha256 {clips['sha256'][:12]}) on {escape(machines)}. Made {escape(made)}."
    )
    return f'<p class="soft">{text}{against}</p>'


def _verdict(subject: Subject, found: Sequence[Check], name: str, is_reference: bool) -> str:
    """In one box: may it ship, and each budget that it misses, by how much."""
    judge = subject.get("judged_by", subject["target"])
    by = f", judged by the budgets of {judge}" if judge != subject["target"] else ""
    head = f"<b>{escape(name)}</b> <span class=soft>{escape(subject['bundle'] + by)}</span>"
    if subject["status"] != "ran":
        why = f"<ul><li>{escape(subject['why'])}</li></ul>"
        return f'<div class="verdict none">{head}: <b>{NOT_RUN}</b>{why}</div>'
    said = verdict(found)
    if said == PASS:
        sentences = ["every budget holds"] if not is_reference else ["every budget holds; others are compared with it"]
    else:
        sentences = [check.text for state in (FAIL, MISSING, OPEN) for check in found if check.state == state]
    items = "".join(f"<li>{escape(text)}</li>" for text in sentences)
    return f'<div class="verdict {CLASSES[said]}">{head}: <b>{VERDICTS[said]}</b><ul>{items}</ul></div>'


def _overview(several: Sequence[tuple[str, Subject]], found: Mapping[int, Sequence[Check]]) -> str:
    tasks = list(dict.fromkeys(task for _, subject in several for task in subject["tasks"]))
    head = [
        "",
        "verdict",
        *(f"{_title(task)} %" for task in tasks),
        "p50 ms",
        "p99 ms",
        "in turns",
        "steps/s",
        "MB",
        "J/step",
    ]
    rows: list[list[Cell]] = []
    for name, subject in several:
        said, total = verdict(found[id(subject)]), subject["stream"]["latency_ms"]["total"]
        shares = [percent(subject["tasks"][task]["accuracy"]) if task in subject["tasks"] else "-" for task in tasks]
        joules = subject["stream"]["energy"]["joules_per_step"]
        costs = [
            f"{total['p50']:.1f}",
            f"{total['p99']:.1f}",
            turns(subject),
            f"{subject['stream']['steps_per_s']:.1f}",
        ]
        costs += [f"{subject['memory_mb']:.0f}", number(joules, 3)]
        rows.append([escape(name), (CLASSES[said], VERDICTS[said]), *shares, *costs])
    compared = {subject["in_turns"]["against"] for _, subject in several if "in_turns" in subject}
    note = (
        f"In turns: what a step takes against one of {escape(', '.join(sorted(compared)))}, median of the ratios "
        "turn by turn and its 95 % interval. The milliseconds beside it were taken one bundle after the other."
    )
    return table(head, rows) + (f'<p class="soft">{note}</p>' if compared else "")


def _budgets(several: Sequence[tuple[str, Subject]], found: Mapping[int, Sequence[Check]]) -> str:
    rows: list[list[Cell]] = [
        [escape(name), *map(escape, (check.name, check.found, check.budget)), (CLASSES[check.state], check.state)]
        for name, subject in several
        for check in found[id(subject)]
    ]
    return table(("", "check", "found", "budget", ""), rows)


def _picture(several: Sequence[tuple[str, Subject]]) -> str:
    tasks = list(dict.fromkeys(task for _, subject in several for task in subject["tasks"]))
    rows = []
    for name, subject in several:
        of = subject["tasks"]
        rows.append((name, [(of[task]["accuracy"], intervals(of[task])[0]) if task in of else None for task in tasks]))
    return pictures.accuracy_svg([title(task) for task in tasks], rows)


def _accuracy(several: Sequence[tuple[str, Subject]], reference: Subject | None) -> list[str]:
    """A table for each task, a row for each subject."""
    tasks = list(dict.fromkeys(task for _, subject in several for task in subject["tasks"]))
    pairs = {id(s): paired(s, reference) for _, s in several if reference is not None and s is not reference}
    head = (
        "",
        "accuracy %",
        "macro-F1 %",
        "recorded FP32 %",
        "change, points",
        "won / lost",
        "p",
        "same class %",
        "moved, mean / worst",
    )
    parts = []
    for task in tasks:
        rows = [
            [
                escape(name),
                *_scores(subject["tasks"][task]),
                _recorded(subject, task),
                *_change(pairs.get(id(subject), {}).get(task)),
            ]
            for name, subject in several
            if task in subject["tasks"]
        ]
        parts.append(f"<h3>{_title(task)}</h3>{table(head, rows)}")
    return parts


def _scores(row: Mapping[str, Any]) -> list[str]:
    return [
        f"{percent(value)} [{percent(low)}, {percent(high)}]"
        for value, (low, high) in zip((row["accuracy"], row["macro_f1"]), intervals(row), strict=True)
    ]


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


def _golden(several: Sequence[tuple[str, Subject]]) -> str:
    rows: list[list[Cell]] = []
    for name, subject in several:
        for row in subject["golden"] or []:
            state = (CLASSES[PASS if row["ok"] else FAIL], PASS if row["ok"] else FAIL)
            same = "same" if row["same_label"] else "another"
            rows.append(
                [escape(name), _title(row["task"]), f"{row['max_abs']:.5f}", f"{row['tolerance']:g}", same, state]
            )
        if not subject["golden"]:
            rows.append([escape(name), "-", "none in the bundle", "", "", ("open", OPEN)])
    return table(("", "task", "worst probability difference", "tolerance", "class", ""), rows)


def _latency(several: Sequence[tuple[str, Subject]]) -> list[str]:
    streams = [(name, subject["stream"], subject["budget"]["latency_ms"]) for name, subject in several]
    head = ["ms", "stage", *streams[0][1]["latency_ms"]["total"], "jitter"]
    rows = []
    for name, stream, _ in streams:
        for stage, times in stream["latency_ms"].items():
            jitter = number(stream["jitter_ms"], 2) if stage == "total" else ""
            rows.append([escape(name), escape(stage), *(number(value, 2) for value in times.values()), jitter])
    medians = [
        (name, {stage: times["p50"] for stage, times in stream["latency_ms"].items() if stage != "total"})
        for name, stream, _ in streams
    ]
    note = (
        "Steps back to back, every slot of the context filled, frames decoded before. Jitter: mean difference of one "
        "step's time to the next. p99.9 asks for 1000 steps. Bars: square roots of counts."
    )
    return [
        pictures.histograms_svg([(name, stream["total_ms"], budget_ms) for name, stream, budget_ms in streams]),
        pictures.stages_svg(medians),
        table(head, rows),
        f'<p class="soft">{note}</p>',
    ]


def _costs(several: Sequence[tuple[str, Subject]]) -> str:
    head = ("", "cold start ms", "steps/s", "peak memory MB", "J/step", "W", "energy metered by")
    rows = []
    for name, subject in several:
        stream = subject["stream"]
        energy = stream["energy"]
        cells = [f"{subject['cold_start_ms']:.0f}", f"{stream['steps_per_s']:.1f}", f"{subject['memory_mb']:.0f}"]
        cells += [number(energy["joules_per_step"], 3), number(energy["watts"], 1), escape(energy["source"])]
        rows.append([escape(name), *cells])
    note = (
        "Cold start: from opening the bundle to the first percept. Peak memory: of the process, over start and clips. "
        "Energy: of the whole package or board, by RAPL's counters or Jetson's INA3221, where they can be read."
    )
    return table(head, rows) + f'<p class="soft">{note}</p>'


def _title(task: str) -> str:
    return escape(title(task))


def number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
