"""The quantization report as one page, for someone who decides about a release: pictures inside, nothing fetched.

It is made of what lies in the folder: report.json, and, as far as they are there, proof.json and sensitivity-*.json.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from codriver.tasks import TASK_SETS
from quantize.parity.runners import FP32
from quantize.report import sections
from quantize.report.sections import box
from workshop.pages import REPORT_STYLE, html_table

PAGE = "report.html"
MORE_STYLE = """
.verdict { padding: 12px 16px; border-left: 6px solid; background: #f6f8fa; margin: 16px 0; }
.good { border-color: #2f855a; } .bad { border-color: #c53030; } .open { border-color: #d9822b; }
.verdict b { font-size: 17px; } .verdict ul { margin: 6px 0 0; padding-left: 20px; }
td.wrong, .wrong { color: #c53030; font-weight: 600; }
"""


def write_page(folder: Path) -> None:
    """Make report.html anew from the JSON files beside it."""
    report, proof = (_read(folder / name) for name in ("report.json", "proof.json"))
    found = [_read(path) for path in sorted(folder.glob("sensitivity-*.json"))]
    (folder / PAGE).write_text(page(report, proof or None, found), encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def page(report: Mapping[str, Any], proof: Mapping[str, Any] | None, sensitivities: Sequence[Mapping[str, Any]]) -> str:
    task_set = TASK_SETS[report["task_set"]]
    title = f"INT8 of run {report['run']['weights_sha256'][:12]}, size {report['run']['size']}"
    parts = [f"<h1>{escape(title)}</h1>", _about(report, proof), _verdict(report, proof)]
    if proof:
        parts += ["<h2>What INT8 costs</h2>", sections.accuracy(proof, task_set)]
        parts += ["<h2>Whether runtimes give what the model gives</h2>", sections.parity(proof, task_set)]
    parts += ["<h2>Files, and what runs in INT8</h2>", sections.files(report)]
    parts += [part for found in sensitivities for part in sections.sensitivity(found, task_set)]
    parts += ["<h2>Calibration</h2>", _calibration(report), "<h2>Where this comes from</h2>", _origin(report, proof)]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{REPORT_STYLE}{MORE_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n' + "\n".join(parts) + "\n</body></html>\n"


def _about(report: Mapping[str, Any], proof: Mapping[str, Any] | None) -> str:
    tried = (
        f"{proof['n']} clips of split {proof['split']} ({proof['data']}), {proof['machine']['cpu']}" if proof else ""
    )
    return f"<p class=soft>Made {escape(report['created'])}. {escape(tried)}</p>"


def _verdict(report: Mapping[str, Any], proof: Mapping[str, Any] | None) -> str:
    if proof is None:
        return box(
            "open", "Not proven yet.", ["python -m quantize.prove compares every runtime and measures accuracy."]
        )
    lost = _significant_losses(proof)
    unproven = [f"{d} in {r}: {why}" for d, some in proof["not_proven"].items() for r, why in some.items()]
    lint = [
        f"{name}: {_findings(entry)} lint findings" for name, entry in report["dialects"].items() if _findings(entry)
    ]
    notes = [f"Not proven on this machine: {text}." for text in unproven]
    if proof["faults"] or lint:
        return box("bad", "Do not release: a check fails.", [*proof["faults"], *lint, *lost, *notes])
    if lost:
        return box("bad", "Runtimes agree with the model, but INT8 loses accuracy beyond chance.", [*lost, *notes])
    good = "Every runtime that ran gives what the model gives, and no loss of accuracy beyond chance was found."
    return box("open" if notes else "good", good, [*_largest_loss(proof), *notes])


def _findings(entry: Mapping[str, Any]) -> int:
    return int((entry.get("lint") or {}).get("findings", 0))


def _changes(proof: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Name, task's title, and its change against full precision, the largest loss first."""
    titles = {task.name: task.title for some in TASK_SETS.values() for task in some.tasks}
    found = [
        (name, titles[task], change)
        for name, row in proof["accuracy"].items()
        for task, change in row["against"].get(FP32, {}).items()
    ]
    return sorted(found, key=lambda some: some[2]["difference"])


def _significant_losses(proof: Mapping[str, Any]) -> list[str]:
    level = 1 - proof["bootstrap"]["confidence"]
    return [
        f"{name}: {title} loses {-100 * change['difference']:.1f} points to full precision (p {change['p_holm']:.2g})."
        for name, title, change in _changes(proof)
        if change["difference"] < 0 and change["p_holm"] < level
    ]


def _largest_loss(proof: Mapping[str, Any]) -> list[str]:
    changes = _changes(proof)
    if not changes:
        return []
    name, title, change = changes[0]
    low, high = (100 * side for side in change["interval"])
    return [
        f"Largest change for the worse: {title}, {name}: {100 * change['difference']:+.1f} points "
        f"({low:+.1f} to {high:+.1f}); one clip is {100 / proof['n']:.2f}."
    ]


def _calibration(report: Mapping[str, Any]) -> str:
    found = report["calibration"]
    rows = [
        [escape(task), escape(", ".join(f"{label} {count}" for label, count in counts.items()))]
        for task, counts in found["class_counts"].items()
    ]
    return (
        f"<p>{found['clips']} clips of split {escape(found['split'])}, seed {found['seed']}, {found['used']} used; ids "
        f"<code>sha256 {found['ids_sha256']}</code></p>" + html_table(("Task", "Clips of each class"), rows, left=2)
    ) + sections.ranges(found.get("measured_ranges", {}), TASK_SETS[report["task_set"]])


def _origin(report: Mapping[str, Any], proof: Mapping[str, Any] | None) -> str:
    made = [("Quantized", report), *([("Proven", proof)] if proof else [])]
    rows = [["Weights", f"<code>sha256 {report['run']['weights_sha256']}</code>"]]
    for what, some in made:
        tools = ", ".join(f"{name} {version}" for name, version in some["tools"].items())
        rows.append(
            [what, f"{escape(some['created'])}, commit <code>{escape(some['git_commit'])}</code>, {escape(tools)}"]
        )
    if proof:
        machine = proof["machine"]
        rows.append(
            [
                "Machine",
                escape(f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}"),
            ]
        )
        rows.append(["Clips", f"<code>sha256 {proof['clips_sha256']}</code>"])
    return html_table(("", ""), rows, left=2)
