"""report.json of a quantized run of one camera: what quantize.dense leaves and targets builds from.

Shares are shares, not percent; paths are relative to the folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codriver.dense.spec import DenseSpec
from codriver.errors import ConfigError, SourceError
from codriver.files.decode import Fault, decode, encode, from_json, rule
from workshop.artifacts import write_json
from workshop.emitted_dialect import AuditResult, EmittedGraph, LintResult

REPORT = "report.json"
SCHEMA, KIND = 2, "dense quantized"


@dataclass(frozen=True, kw_only=True)
class DenseOrigin:
    """The run that was quantized."""

    weights_sha256: str
    created: str
    git_commit: str
    pictures: Mapping[str, int]  # by split
    test: Mapping[str, Any]  # by task: scores by the name of each definition, in full precision
    calibration: tuple[str, ...]  # names of the training pictures that ranges come from


@dataclass(frozen=True, kw_only=True)
class DenseChange:
    """One task: what a way to run the graph costs, beside full precision on the same pictures.

    cost, low, high: by how much the score that it is judged by is worse, with its 95 % interval over pictures; of an
    error as a share of full precision's, of all else the difference of shares.
    """

    judged_by: str  # one of the scores
    scores: Mapping[str, float]  # by the name of each definition
    fp32: Mapping[str, float]
    is_error: bool  # of the score that it is judged by: less is better
    cost: float
    low: float
    high: float
    pictures: int

    @property
    def allowed(self) -> float:
        """The most that INT8 may cost."""
        return 0.02 if self.is_error else 0.01

    @property
    def unit(self) -> str:
        """Of a hundred times the cost."""
        return " %" if self.is_error else " points"


@dataclass(frozen=True, kw_only=True)
class DenseTuning:
    """What fine-tuning for INT8 did. Gains: of the score that chose the run, against full precision, on validation."""

    epochs: int
    kept_epoch: int  # 0: calibration's weights were no worse
    val_pictures: int
    gained: Mapping[str, float]  # by task, of what is kept
    gained_by_calibration: Mapping[str, float]
    gradients: Mapping[str, float]  # by term of the loss, its share of the gradient at what all tasks share


@dataclass(frozen=True, kw_only=True)
class DenseDialect:
    """The graph of one dialect, and what was found out about it; None: nothing to check, or it does not run here."""

    engine: str
    requires: tuple[str, ...]
    why: str
    dense: EmittedGraph
    lint: LintResult | None
    audit: AuditResult | None
    # Way to run it -> task -> how far its answers are off the fake-quantized model's, see codriver.dense.golden.off.
    parity: Mapping[str, Mapping[str, float]]
    not_run: Mapping[str, str]  # way -> why
    accuracy_of: str  # the way that is nearest to the device
    accuracy: Mapping[str, DenseChange]
    qat: DenseTuning | None = None


@dataclass(frozen=True, kw_only=True)
class DenseQuantizedReport:
    created: str
    tools: Mapping[str, str]
    git_commit: str
    seed: int
    machine: str
    color: str
    dense: DenseSpec
    run: DenseOrigin
    golden: str = rule(path=True)
    dialects: Mapping[str, DenseDialect]

    @classmethod
    def read(cls, folder: Path) -> DenseQuantizedReport:
        """A SourceError says in one line what is wrong with the file."""
        path = folder / REPORT
        try:
            content = from_json(path.read_bytes())
            found = {key: content.pop(key, None) for key in ("schema", "kind")} if isinstance(content, dict) else {}
            if found != {"schema": SCHEMA, "kind": KIND}:
                raise Fault(
                    "", f"holds {found}, expected schema {SCHEMA} of kind {KIND!r}, which quantize.dense writes"
                )
            return decode(DenseQuantizedReport, content)
        except (Fault, OSError) as error:
            raise SourceError(f"{path}: {error}; quantize the run again with quantize.dense") from error

    def write(self, folder: Path) -> None:
        write_json(folder / REPORT, {"schema": SCHEMA, "kind": KIND, **encode(self)})

    def dialect(self, name: str) -> DenseDialect:
        """A ConfigError lists what was emitted if that was not."""
        if name not in self.dialects:
            raise ConfigError(f"dialect {name} was not emitted; this folder holds {', '.join(self.dialects)}")
        return self.dialects[name]


def is_dense(folder: Path) -> bool:
    """Whether a quantized folder is one camera's."""
    path = folder / REPORT
    try:
        content = from_json(path.read_bytes())
    except (Fault, OSError):
        return False
    return isinstance(content, dict) and content.get("kind") == KIND
