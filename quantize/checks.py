"""What quantize.run finds out about each dialect, so that targets.build can refuse what fails: lint, audit, parity.

Parity here is on a few validation clips and takes seconds; quantize.prove does it on the whole test split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import onnx

from codriver.device.cpu import cpu_features
from codriver.device.machine import is_installed
from quantize.audit import audit
from quantize.executed.layers import together
from quantize.graphs.dialects import Dialect
from quantize.graphs.graphs import pair_of
from quantize.graphs.reference import TorchGraphs
from quantize.lint import lint
from quantize.parity.cases import Subject, check_reports, run_all, subjects_of
from quantize.rules.dialects import RULES
from quantize.rules.rule import Asked
from training.data.clips import load_clips
from training.model.uvm3tl import UVM3TL
from workshop.aide_splits import ClipRef
from workshop.emitted_dialect import AuditResult, EmittedDialect, LintResult, ParityResult
from workshop.quantized_report import QuantizedReport

BATCH = 8
WHOLES = 8  # clips that are also run as wholes: the mean over two was .006 where 48 clips have .0023 (DECISIONS.md)
AUDIT_RUNS = 5  # shares are the same in every run; times are quantize.audit's to tell


def check_dialects(
    folder: Path, report: QuantizedReport, model: UVM3TL, refs: Sequence[ClipRef]
) -> dict[str, EmittedDialect]:
    """The report's dialects with lint, audit and parity, None where there is nothing, or no runtime, to check with.

    folder: with all files but the report. model: the run's, folded. refs: clips to compare on; without any no parity.
    """
    clips = load_clips(refs, model.config, model.task_set)
    full = pair_of(model)
    fp32 = TorchGraphs(full.encoder, full.fuser, model.task_set.names)
    found, subjects = {}, {}
    for name, some in report.dialects.items():
        graphs = [folder / graph.path for graph in (some.encoder, some.fuser)]
        found[name] = replace(some, lint=lint_of(graphs, name), audit=audit_of(graphs, some))
        subjects[name] = [subject for subject in subjects_of(folder, report, name) if subject.checks]
    if not clips:
        return found
    every = [subject for some in subjects.values() for subject in some]
    run_all(every, fp32, clips, model.config, BATCH, WHOLES)  # full precision's answers are made once for all
    return {name: replace(some, parity=_parity(subjects[name], model, len(clips))) for name, some in found.items()}


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


def lint_of(graphs: Sequence[Path], dialect: str) -> LintResult | None:
    """None for a dialect that has no rules, or whose graphs are no ONNX files."""
    if dialect not in RULES or graphs[0].suffix != ".onnx":
        return None
    found = []
    for graph in graphs:
        model = onnx.load(graph)
        found.append(lint(model, dialect, Asked(int8=of_maps(model))))
    findings = [some for report in found for some in report.findings]
    return LintResult(
        rules=len(RULES[dialect]),
        broken=len({rule.number for report in found for rule in report.broken}),
        findings=len(findings),
        first="".join(f"rule {some.rule}, {some.where}: {some.what}" for some in findings[:1]),
    )


def of_maps(model: onnx.ModelProto) -> frozenset[str]:
    """Names of the convolutions that are meant to be in 8 bits. The gates' 1-D ones stay in floating point."""
    sizes = {tensor.name: len(tensor.dims) for tensor in model.graph.initializer}
    gave = {name: node for node in model.graph.node for name in node.output}

    def dims(name: str) -> int | None:
        while name not in sizes and name in gave:
            name = gave[name].input[0]
        return sizes.get(name)

    return frozenset(node.name for node in model.graph.node if node.op_type == "Conv" and dims(node.input[1]) == 4)


def audit_of(graphs: Sequence[Path], some: EmittedDialect | Dialect) -> AuditResult | None:
    """None where the runtime is not here, or the processor is not the one that the graphs are for."""
    runtime = some.engine
    if runtime != "tensorrt" and not (is_installed(runtime) and set(some.requires) <= set(cpu_features())):
        return None
    found = together({graph.stem: audit(graph, runtime, runs=AUDIT_RUNS) for graph in graphs})
    return AuditResult(runtime=found.runtime, predicted=found.predicted, macs=found.macs, int8_share=found.share)
