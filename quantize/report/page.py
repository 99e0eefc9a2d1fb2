"""The quantization report as one page, for someone who decides about a release; report.html has its words.

It is made of what lies in the folder: report.json, and, as far as they are there, proof.json and sensitivity-*.json.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codriver.tasks import TASK_SETS, TaskSet
from quantize.parity.runners import FP32
from quantize.report import sections
from quantize.report.pictures import accuracy_figure, sensitivity_figure
from quantize.report.sections import Box
from workshop.artifacts import write_text
from workshop.figures import data_uri
from workshop.pages import Cell, Row, points, render
from workshop.quantized_report import QuantizedReport

TEMPLATE = Path(__file__).with_name("report.html")
PAGE = "report.html"


def write_page(folder: Path) -> None:
    """Make report.html anew from the JSON files beside it."""
    report, proof = QuantizedReport.read(folder), _read(folder / "proof.json")
    found = [_read(path) for path in sorted(folder.glob("sensitivity-*.json"))]
    write_text(folder / PAGE, page(report, proof or None, found))


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def page(report: QuantizedReport, proof: Mapping[str, Any] | None, sensitivities: Sequence[Mapping[str, Any]]) -> str:
    task_set = TASK_SETS[report.task_set]
    return render(
        TEMPLATE,
        title=f"INT8 of run {report.run.weights_sha256[:12]}, size {report.run.size}",
        report=report,
        titles=[task.title for task in task_set.tasks],
        verdict_box=_verdict(report, proof),
        proof=_proof(proof, task_set) if proof else None,
        files=sections.files(report),
        sensitivities=[_sensitivity(found, task_set) for found in sensitivities],
        classes=_classes(report.calibration.class_counts),
        ranges=sections.ranges(report.calibration.measured_ranges, task_set),
        origin=_origin(report, proof),
    )


def _proof(proof: Mapping[str, Any], task_set: TaskSet) -> dict[str, Any]:
    """What the page shows of a proof."""
    return {
        "facts": proof,
        "picture": data_uri(accuracy_figure(proof["accuracy"], task_set)),
        "accuracy": sections.accuracy(proof, task_set),
        "fine_tuned": sections.fine_tuned(proof, task_set),
        "parity": sections.parity(proof, task_set),
    }


def _sensitivity(found: Mapping[str, Any], task_set: TaskSet) -> dict[str, Any]:
    return {
        "facts": found,
        "picture": data_uri(sensitivity_figure(found, task_set)),
        "rows": sections.sensitivity(found, task_set),
        "search": sections.search(found["search"]) if "search" in found else None,
    }


def _verdict(report: QuantizedReport, proof: Mapping[str, Any] | None) -> Box:
    if proof is None:
        how = "python -m quantize.prove compares every runtime and measures accuracy."
        return Box("open", "Not proven yet.", [how])
    lost = _significant_losses(proof)
    unproven = [f"{d} in {r}: {why}" for d, some in proof["not_proven"].items() for r, why in some.items()]
    counts = {name: some.lint.findings if some.lint else 0 for name, some in report.dialects.items()}
    lint = [f"{name}: {count} lint findings" for name, count in counts.items() if count]
    notes = [f"Not proven on this machine: {text}." for text in unproven]
    if proof["faults"] or lint:
        return Box("fail", "Do not release: a check fails.", [*proof["faults"], *lint, *lost, *notes])
    if lost:
        return Box("fail", "Runtimes agree with the model, but INT8 loses accuracy beyond chance.", [*lost, *notes])
    good = "Every runtime that ran gives what the model gives, and no loss of accuracy beyond chance was found."
    return Box("open" if notes else "pass", good, [*_largest_loss(proof), *notes])


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
    if not (changes := _changes(proof)):
        return []
    name, title, change = changes[0]
    moved = points(change["difference"], change["interval"])
    return [f"Largest change for the worse, in points: {title}, {name}: {moved}; one clip is {100 / proof['n']:.2f}."]


def _classes(class_counts: Mapping[str, Mapping[str, int]]) -> list[Row]:
    return [
        [task, ", ".join(f"{label} {count}" for label, count in counts.items())]
        for task, counts in class_counts.items()
    ]


def _origin(report: QuantizedReport, proof: Mapping[str, Any] | None) -> list[Row]:
    rows: list[Row] = [["Weights", Cell(f"sha256 {report.run.weights_sha256}", mark="code")]]
    made = [("Quantized", report.tools, report.created, report.git_commit)]
    made += [("Proven", proof["tools"], proof["created"], proof["git_commit"])] if proof else []
    for what, versions, created, commit in made:
        tools = ", ".join(f"{name} {version}" for name, version in versions.items())
        rows.append([what, f"{created}, commit {commit}, {tools}"])
    if proof:
        machine = proof["machine"]
        about = f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}"
        rows += [["Machine", about], ["Clips", Cell(f"sha256 {proof['clips_sha256']}", mark="code")]]
    return rows
