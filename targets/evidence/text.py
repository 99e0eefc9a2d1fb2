"""Evidence on the terminal: what `make demo` ends with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from codriver.console import table
from codriver.tasks import TASK_SETS
from targets.evidence.drivers import changes
from targets.evidence.verdict import (
    OPEN,
    VERDICTS,
    BudgetCheck,
    checks,
    is_full_precision,
    paired,
    ran,
    reference_of,
    verdict,
)
from workshop.pages import percent


def summary(evidence: Mapping[str, Any]) -> str:
    """One table for each subject, and a line for what was not run."""
    subjects = evidence["subjects"]
    there, reference = ran(subjects), reference_of(subjects)
    lines = [f"{evidence['clips']['n']} held-out test clips, stepped one by one, through Perceiver"]
    for subject in there:
        found = checks(subject, reference)
        lines += ["", f"{subject['key']}: {VERDICTS[verdict(found)]}{_open(found)}"]
        lines += [
            f"stepped at {subject.get('clips_hz', 15.0):g} Hz",
            *accuracy_table(subject, reference),
            *driver_table(subject),
            "",
            *timing(subject),
        ]
    lines += ["", *(f"{s['key']}: not run here, {s['why']}" for s in subjects if s["status"] != "ran")]
    return "\n".join(lines).rstrip()


def _open(found: Sequence[BudgetCheck]) -> str:
    names = [check.name for check in found if check.state == OPEN]
    return f" (open: {', '.join(names)}; the page says why)" if names else ""


def accuracy_table(subject: Mapping[str, Any], reference: Mapping[str, Any] | None) -> list[str]:
    """Percent, with full precision beside it where its answers or its shares on these clips are known."""
    full = full_precision(subject, reference)
    compared = paired(subject, reference) if reference is not None and reference is not subject else {}
    rows: list[tuple[str, ...]] = [
        ("accuracy and macro-F1 in %", "FP32", "here", "change", "p", "FP32 F1", "here F1", "majority class")
    ]
    for name, row in subject["tasks"].items():
        fp32 = full.get(name, {})
        change = "" if "accuracy" not in fp32 else f"{100 * (row['accuracy'] - fp32['accuracy']):+.1f}"
        p = f"{compared[name].p_holm:.2g}" if name in compared else "-"
        shares = (fp32.get("accuracy"), row["accuracy"], fp32.get("macro_f1"), row["macro_f1"], fp32.get("majority"))
        cells = [percent(share) for share in shares]
        rows.append((title(name), *cells[:2], change, p, *cells[2:]))
    return table(rows, numbers_from=1)


def driver_table(subject: Mapping[str, Any]) -> list[str]:
    """Frames alone against annotations, each stream missing against frames alone, in %; nothing without a finder."""
    rows: list[tuple[str, ...]] = [("", "", "accuracy", "points", "95 %", "p", "F1", "points", "95 %")]
    for some in changes(subject):
        paired, accuracy, f1 = some.paired, percent(some.accuracy), percent(some.macro_f1)
        change = [points(paired.difference), ends(paired.interval), f"{paired.p_holm:.2g}"]
        of_f1 = [points(some.f1_difference), ends(some.f1_interval)]
        rows.append((f"{some.way}, against {some.against}", title(some.task), accuracy, *change, f1, *of_f1))
    return ["", *table(rows, numbers_from=2)] if len(rows) > 1 else []


def points(share: float) -> str:
    return f"{100 * share:+.1f}"


def ends(interval: Sequence[float]) -> str:
    return f"[{', '.join(map(points, interval))}]"


def full_precision(
    subject: Mapping[str, Any], reference: Mapping[str, Any] | None
) -> Mapping[str, Mapping[str, float]]:
    """Task -> accuracy, macro_f1 and, where known, majority; of the reference's run, else as the bundle records."""
    recorded: Mapping[str, Mapping[str, float]] = subject["full_precision"] or {}
    if reference is None or not is_full_precision(reference):
        return recorded
    return {task: {**recorded.get(task, {}), **_scores(row)} for task, row in reference["tasks"].items()}


def _scores(row: Mapping[str, Any]) -> dict[str, float]:
    return {key: row[key] for key in ("accuracy", "macro_f1")}


def timing(subject: Mapping[str, Any]) -> list[str]:
    stream, machine = subject["stream"], subject["machine"]
    times = "   ".join(f"{name} {ms:.1f} ms" for name, ms in stream["latency_ms"]["total"].items() if ms is not None)
    against = subject.get("in_turns", {}).get("against")
    energy = stream["energy"]
    joules = energy["source"] if energy["joules_per_step"] is None else f"{energy['joules_per_step']:.3f} J a step"
    return [
        f"step latency  {times}   ({stream['steps']} steps, {machine['cpu']}, {machine['cores']} cores)",
        *(
            [f"in turns, a step takes {turns(subject)} times one of {against}"]
            if against not in (None, subject["key"])
            else []
        ),
        f"cold start {subject['cold_start_ms']:.0f} ms   peak memory {subject['memory_mb']:.0f} MB   "
        f"{stream['steps_per_s']:.1f} steps/s   energy {joules}",
    ]


def turns(subject: Mapping[str, Any]) -> str:
    """What a step takes against the reference's, timed in turns: ratio and interval; "-" where it was not."""
    found = subject.get("in_turns")
    if not found:
        return "-"
    if found["against"] == subject["key"]:
        return "1"
    low, high = ("?" if bound is None else f"{bound:.2f}" for bound in found["interval"])
    return f"{found['ratio']:.2f} [{low}, {high}]"


def title(task: str) -> str:
    known = {some.name: some.title for task_set in TASK_SETS.values() for some in task_set.tasks}
    return known.get(task, task)
