"""What quantize.run finds out about each dialect, so that targets.build can refuse what fails: lint, audit, parity.

Parity here is on a few validation clips and takes seconds; quantize.prove does it on the whole test split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import onnx

from codriver.device.cpu import cpu_features
from codriver.engines.base import is_installed
from quantize.audit import audit
from quantize.graphs.graphs import EncoderGraph, FuserGraph
from quantize.graphs.reference import TorchGraphs
from quantize.lint import lint
from quantize.parity.cases import Subject, check_reports, run_all, subjects_of
from quantize.rules.dialects import RULES
from training.data.clips import load_clips
from training.model.uvm3tl import UVM3TL
from workshop.aide_splits import ClipRef
from workshop.quantized_report import AuditResult, EmittedDialect, LintResult, ParityResult, QuantizedReport

BATCH = 8
AUDIT_RUNS = 5  # shares are the same in every run; times are quantize.audit's to tell


def check_dialects(
    folder: Path, report: QuantizedReport, model: UVM3TL, refs: Sequence[ClipRef]
) -> dict[str, EmittedDialect]:
    """The report's dialects with lint, audit and parity, None where there is nothing, or no runtime, to check with.

    folder: with all files but the report. model: the run's, folded. refs: clips to compare on; without any no parity.
    """
    clips = load_clips(refs, model.config, model.task_set)
    fp32 = TorchGraphs(EncoderGraph(model), FuserGraph(model), model.task_set.names)
    found = {}
    for name, some in report.dialects.items():
        graph = folder / some.encoder.path
        found[name] = replace(some, lint=_lint(graph, name), audit=_audit(graph, some))
        subjects = [subject for subject in subjects_of(folder, report, name) if subject.checks]
        if clips:
            run_all(subjects, fp32, clips, model.config, BATCH, BATCH)
            found[name] = replace(found[name], parity=_parity(subjects, model, len(clips)))
    return found


def _parity(subjects: Sequence[Subject], model: UVM3TL, clips: int) -> ParityResult:
    rows = check_reports(subjects, model.task_set)
    return ParityResult(
        split="val",
        clips=clips,
        checked=tuple(row["way"] for row in rows if row["mode"] == "stepped"),
        max_abs=max(task["max_abs"] for row in rows for task in row["tasks"].values()),
        faults=tuple(fault for row in rows for fault in row["faults"]),
        not_proven=subjects[0].ways.closed,
    )


def _lint(graph: Path, dialect: str) -> LintResult | None:
    """None for a dialect that has no rules, or whose graph is no ONNX file."""
    if dialect not in RULES or graph.suffix != ".onnx":
        return None
    found = lint(onnx.load(graph), dialect)
    first = "".join(f"rule {some.rule}, {some.where}: {some.what}" for some in found.findings[:1])
    rules, broken, findings = len(RULES[dialect]), len(found.broken), len(found.findings)
    return LintResult(rules=rules, broken=broken, findings=findings, first=first)


def _audit(graph: Path, some: EmittedDialect) -> AuditResult | None:
    """None where the runtime is not here, or the processor is not the one that the graph is for."""
    runtime = some.engine
    if runtime != "tensorrt" and not (is_installed(runtime) and set(some.requires) <= set(cpu_features())):
        return None
    found = audit(graph, runtime, runs=AUDIT_RUNS)
    return AuditResult(runtime=found.runtime, predicted=found.predicted, macs=found.macs, int8_share=found.share)
