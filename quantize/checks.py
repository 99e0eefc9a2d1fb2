"""What quantize.run finds out about each dialect, so that targets.build can refuse what fails: lint, audit, parity.

Parity here is on a few validation clips and takes seconds; quantize.prove does it on the whole test split.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from codriver.device.cpu import cpu_features
from codriver.engines.base import is_installed
from quantize.audit import audit
from quantize.graphs.graphs import EncoderGraph, FuserGraph
from quantize.graphs.reference import TorchGraphs
from quantize.lint import lint
from quantize.parity.cases import check_reports, run_all, subjects_of
from quantize.rules.dialects import RULES
from training.data.clips import load_clips
from training.model.uvm3tl import UVM3TL
from workshop.aide_splits import ClipRef

BATCH = 8
AUDIT_RUNS = 5  # shares are the same in every run; times are quantize.audit's to tell


def check_dialects(folder: Path, report: Mapping[str, Any], model: UVM3TL, refs: list[ClipRef]) -> dict[str, Any]:
    """Dialect -> lint, audit and parity, None where there is nothing to check or no runtime to check it with.

    folder: with all files but the report. model: the run's, folded. refs: clips to compare on; without any no parity.
    """
    clips = load_clips(refs, model.config, model.task_set)
    fp32 = TorchGraphs(EncoderGraph(model), FuserGraph(model), model.task_set.names)
    found = {}
    for name, entry in report["dialects"].items():
        graph = folder / entry["encoder"]["path"]
        found[name] = {"lint": _lint(graph, name), "audit": _audit(graph, entry)}
        subjects = [some for some in subjects_of(folder, report, name) if some.checks]
        if clips:
            run_all(subjects, fp32, clips, model.config, BATCH, BATCH)
            rows = check_reports(subjects, model.task_set)
            found[name]["parity"] = {
                "split": "val",
                "clips": len(clips),
                "checked": [row["way"] for row in rows if row["mode"] == "stepped"],
                "max_abs": max(task["max_abs"] for row in rows for task in row["tasks"].values()),
                "faults": [fault for row in rows for fault in row["faults"]],
                "not_proven": subjects[0].ways.closed,
            }
    return found


def _lint(graph: Path, dialect: str) -> dict[str, Any] | None:
    """None for a dialect that has no rules, or whose graph is no ONNX file."""
    if dialect not in RULES or graph.suffix != ".onnx":
        return None
    found = lint(onnx.load(graph), dialect)
    first = "".join(f"rule {some.rule}, {some.where}: {some.what}" for some in found.findings[:1])
    counts = {"rules": len(RULES[dialect]), "broken": len(found.broken), "findings": len(found.findings)}
    return {**counts, "first": first}


def _audit(graph: Path, entry: Mapping[str, Any]) -> dict[str, Any] | None:
    """None where the runtime is not here, or the processor is not the one that the graph is for."""
    runtime = entry["engine"]
    if runtime != "tensorrt" and not (is_installed(runtime) and set(entry["requires"]) <= set(cpu_features())):
        return None
    found = audit(graph, runtime, runs=AUDIT_RUNS)
    return {"runtime": found.runtime, "predicted": found.predicted, "macs": found.macs, "int8_share": found.share}
