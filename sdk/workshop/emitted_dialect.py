"""One dialect in a quantized folder: its graphs, and what was found out about them. A part of quantized_report.py.

Shares are shares, not percent; paths are relative to the folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codriver.files.decode import rule


@dataclass(frozen=True, kw_only=True)
class EmittedFile:
    path: str = rule(path=True)
    sha256: str
    bytes: int


@dataclass(frozen=True, kw_only=True)
class EmittedGraph(EmittedFile):
    """An ONNX file, or OpenVINO's XML with its weights."""

    weights: EmittedFile | None = rule(None, absent=True)

    @property
    def all_bytes(self) -> int:
        return self.bytes + (self.weights.bytes if self.weights else 0)


@dataclass(frozen=True, kw_only=True)
class GraphPair:
    encoder: EmittedGraph
    fuser: EmittedGraph


@dataclass(frozen=True, kw_only=True)
class LintResult:
    """Of both graphs, against the rules of their dialect."""

    rules: int
    broken: int
    findings: int
    first: str  # of the findings, as a sentence; empty without any


@dataclass(frozen=True, kw_only=True)
class AuditResult:
    """Of a step's two graphs together, in the runtime that they are made for."""

    runtime: str
    predicted: bool  # from the graph, not read from what ran
    macs: int
    int8_share: float | None  # of the multiply-accumulates; None: the graph has none


@dataclass(frozen=True, kw_only=True)
class ParityResult:
    """The runtime's answers held against the fake-quantized model's."""

    split: str
    clips: int
    checked: tuple[str, ...]  # ways to run it that were compared
    max_abs: float  # of a probability
    faults: tuple[str, ...]  # sentences
    not_proven: Mapping[str, str]  # runtime -> why it did not run


@dataclass(frozen=True, kw_only=True)
class AccuracyChange:
    """Of one task, INT8 minus full precision on the same clips, with its 95 % interval."""

    difference: float
    low: float
    high: float
    n: int  # clips


@dataclass(frozen=True, kw_only=True)
class FinderCheck:
    """Of the finder's graph, in the runtime that it is made for."""

    lint: LintResult | None  # None: not checked, or nothing to check
    audit: AuditResult | None
    scores: Mapping[str, float] | None  # as FinderOrigin.check, in this runtime; None: it does not run here
    mean_off: float | None  # of a coordinate, from the fake-quantized model, as a share of the frame
    presence_off: float | None = rule(None, absent=True)  # worst, from full precision, pictures of nobody among them


@dataclass(frozen=True, kw_only=True)
class EmittedDialect(GraphPair):
    """The graphs of one dialect, and what was found out about them; None: not checked, or nothing to check."""

    engine: str  # the runtime that it is made for
    requires: tuple[str, ...]  # features of the processor
    why: str
    qat: Mapping[str, Any] | None = rule(
        None, absent=True
    )  # fine-tuning's own record: settings, every epoch, which was kept
    ptq: GraphPair | None = rule(None, absent=True)  # from before fine-tuning
    lint: LintResult | None = rule(None, absent=True)
    audit: AuditResult | None = rule(None, absent=True)
    parity: ParityResult | None = rule(None, absent=True)
    accuracy: Mapping[str, AccuracyChange] | None = rule(None, absent=True)  # by task
    finder: EmittedGraph | None = rule(None, absent=True)  # in every dialect of a folder with a finder
    finder_check: FinderCheck | None = rule(None, absent=True)
