"""What is proven: each dialect before and after fine-tuning, every way to run it here, and the checks between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codriver.console import Progress
from codriver.tasks import TaskSet
from quantize.export.fake_quant import load_fake_quant
from quantize.graphs.dialects import dialect
from quantize.graphs.reference import TorchGraphs
from quantize.graphs.stepping import GraphRunner, Trace, stepped, whole
from quantize.parity.compare import ROUNDING, RUNTIME, SAME_CODES, SAME_FLOATS, ParityCheck
from quantize.parity.runners import FAKE_QUANT, FP32, INTEGER, Ways, ways_of
from training.data.clips import Clip
from training.model.uvm3tl import ModelConfig
from workshop.quantized_report import QuantizedReport

Probabilities = dict[str, NDArray[np.float64]]  # task -> (n, K)
STEPPED, WHOLE, BOTH = "stepped", "whole", "whole against stepped"


@dataclass
class Subject:
    """One dialect at one stage, the ways to run it, and what is checked of them."""

    dialect: str
    stage: str  # PTQ, QAT, or nothing for the dialect that is not quantized
    ways: Ways
    checks: list[ParityCheck] = field(default_factory=list)
    answers: list[Probabilities] = field(default_factory=list)  # of the way nearest to the device, batch by batch

    @property
    def name(self) -> str:
        return f"{self.dialect} {self.stage}".strip()

    def run(self, fp32: GraphRunner, base: Trace, clips: Sequence[Clip], model: ModelConfig, wholes: bool) -> None:
        """Put a batch of clips through. base: what full precision made of it. wholes: run it as whole clips too."""
        nearest = self.ways.nearest
        graphs = self.ways.open if self.checks else {nearest: self.ways.open[nearest]}
        traces = {(way, STEPPED): stepped(some, clips, model) for way, some in graphs.items()}
        traces[FP32, STEPPED] = base
        if wholes:
            needed = {side[0] for check in self.checks for side in check.sides if side[1] == WHOLE}
            traces |= {(way, WHOLE): whole((graphs | {FP32: fp32})[way], clips, model) for way in needed}
        for check in self.checks:
            found, wanted = check.sides
            if found in traces and wanted in traces:
                check.add(traces[found], traces[wanted])
        self.answers.append(traces[nearest, STEPPED].probabilities)


def subjects_of(folder: Path, report: QuantizedReport, name: str) -> list[Subject]:
    """A dialect's graphs, and, if they were fine-tuned, those from before without checks of their own."""
    entry = report.dialect(name)
    if dialect(name).weight_bits == 32:
        ways = ways_of(folder, report, entry, entry, None)
        checks = [ParityCheck(name, way, FP32, STEPPED, SAME_FLOATS) for way in ways.open]
        return [Subject(name, "", ways, [*checks, ParityCheck(name, FP32, FP32, BOTH, SAME_FLOATS)])]
    pair = load_fake_quant(folder, name)
    fake = TorchGraphs(pair.encoder, pair.fuser, pair.model.task_set.names)
    ways = ways_of(folder, report, entry, entry, fake)
    tolerances = {way: SAME_CODES if way == INTEGER else RUNTIME for way in list(ways.open)[1:]}
    rounding = ParityCheck(name, FAKE_QUANT, FP32, STEPPED, ROUNDING)
    checks = [
        rounding,
        *(ParityCheck(name, way, FAKE_QUANT, STEPPED, tolerance, rounding) for way, tolerance in tolerances.items()),
        ParityCheck(name, FAKE_QUANT, FAKE_QUANT, BOTH, SAME_CODES),
        *(ParityCheck(name, way, FAKE_QUANT, WHOLE, tolerance, rounding) for way, tolerance in tolerances.items()),
    ]
    if entry.ptq is None:
        return [Subject(name, "PTQ", ways, checks)]
    before = Subject(name, "PTQ", ways_of(folder, report, entry, entry.ptq, None))
    return [before, Subject(name, "QAT", ways, checks)]


def run_all(
    subjects: Sequence[Subject], fp32: GraphRunner, clips: Sequence[Clip], model: ModelConfig, batch: int, wholes: int
) -> dict[str, Probabilities]:
    """Run all clips every way, a batch at a time, so that features need not be kept. Fills the subjects' checks.

    wholes: so many clips are run as wholes too. Returns "fp32" and each quantized subject's name -> probabilities.
    """
    full: list[Probabilities] = []
    wholes = min(wholes, len(clips))
    starts = [*range(0, wholes, batch), *range(wholes, len(clips), batch)]
    with Progress("prove", total=len(clips)) as progress:
        for start, end in zip(starts, [*starts[1:], len(clips)], strict=True):
            some = [clips[i] for i in range(start, end)]
            base = stepped(fp32, some, model)
            full.append(base.probabilities)
            for subject in subjects:
                subject.run(fp32, base, some, model, start < wholes)
            progress.step(len(some))
    answers = {FP32: full} | {subject.name: subject.answers for subject in subjects if subject.stage}
    return {name: {t: np.concatenate([some[t] for some in parts]) for t in parts[0]} for name, parts in answers.items()}


def check_reports(subjects: Sequence[Subject], task_set: TaskSet) -> list[dict[str, Any]]:
    return [check.report(task_set) for subject in subjects for check in subject.checks]
