"""report.json of a quantized folder: what quantize leaves and targets builds from. Read and written here alone.

    report = QuantizedReport.read(folder)
    report.dialects["ort-x86"].encoder.path

Shares are shares, not percent; paths are relative to the folder.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, cast

from codriver.bundle.manifest import StreamSpec
from codriver.config import ContextConfig
from codriver.errors import ConfigError, SourceError
from codriver.files.decode import Fault, decode, encode, from_json, rule
from codriver.tasks import TASK_SETS, Task
from workshop.artifacts import write_json
from workshop.emitted_dialect import EmittedDialect

REPORT = "report.json"
SCHEMA, KIND = 3, "quantized"
REMEDY = "quantize the run again"

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class CalibrationError:
    """ece: expected calibration error over 15 bins of confidence. nll: negative log-likelihood, nats."""

    ece: float
    nll: float


@dataclass(frozen=True, kw_only=True)
class FittedTemperature:
    """One task's. `after` is cross-fitted; None with too few clips to tell."""

    temperature: float
    clips: int
    before: CalibrationError | None = rule(None, absent=True)
    after: CalibrationError | None = rule(None, absent=True)


@dataclass(frozen=True, kw_only=True)
class TaskLoss:
    """What INT8 costs one task."""

    mean_abs: float  # of a probability
    kl: float  # nats
    accuracy: float  # lost


@dataclass(frozen=True, kw_only=True)
class MeasuredRanges:
    """Every range estimator that was tried for a dialect, and the one taken."""

    chosen: str
    losses: Mapping[str, Mapping[str, TaskLoss]]  # estimator -> task


@dataclass(frozen=True, kw_only=True)
class CalibrationRecord:
    """What the ranges of activations were measured on."""

    split: str
    clips: int
    seed: int
    ids: tuple[str, ...]
    ids_sha256: str
    class_counts: Mapping[str, Mapping[str, int]]  # task -> label
    slots: tuple[int, ...]  # of each clip
    used: int  # clips in which no stream lacks one of the slots
    ranges: str  # estimator that was asked for
    measured_ranges: Mapping[str, MeasuredRanges]  # by dialect, if all were tried


@dataclass(frozen=True, kw_only=True)
class HeldOutScores:
    """One task on the test split, in full precision. See training.report.metrics.Scores."""

    accuracy: float
    macro_f1: float
    majority: float
    balanced_accuracy: float | None = rule(None, absent=True)
    ece: float | None = rule(None, absent=True)


@dataclass(frozen=True, kw_only=True)
class SubsetAccuracy:
    """Accuracy with these cameras alone, in full precision on validation clips."""

    views: tuple[str, ...]
    answered: tuple[str, ...]  # tasks that one of the cameras is there for
    accuracy: Mapping[str, float]  # by task
    majority: Mapping[str, float]  # by task: of always answering the class that training saw most, on the same clips
    clips: int


@dataclass(frozen=True, kw_only=True)
class FootageOrigin:
    """What the model learned from."""

    kind: str
    clips: Mapping[str, int]  # by split
    clips_sha256: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class CertaintyThird:
    """A third of the validation clips, by how certain the finder was of the driver's joints on average."""

    low: float  # certainty, 0..1
    high: float
    clips: int
    accuracy: Mapping[str, float]  # by task


@dataclass(frozen=True, kw_only=True)
class FramesAlone:
    """How well the run does where only the finder says where the driver is, in full precision."""

    test: Mapping[str, HeldOutScores]  # by task, on the test split; none: the run was trained without a finder
    # Taken away, "nothing", a stream of the driver's or "all" -> task -> accuracy on validation clips.
    without: Mapping[str, Mapping[str, float]]
    by_certainty: tuple[CertaintyThird, ...] = rule((), absent=True)  # the least certain first


@dataclass(frozen=True, kw_only=True)
class RunOrigin:
    """The run that was quantized."""

    weights_sha256: str
    subsets: tuple[SubsetAccuracy, ...]  # none: there were no validation clips
    size: str
    data: FootageOrigin
    class_counts: Mapping[str, tuple[int, ...]]  # of the training split, by task
    train: Mapping[str, Any]  # training's settings
    test: Mapping[str, HeldOutScores]  # by task
    test_clips: int
    frames_alone: FramesAlone
    git_commit: str
    created: str


@dataclass(frozen=True, kw_only=True)
class FinderOrigin:
    """The finder that was quantized. See training.finder.scores for what the scores are."""

    weights_sha256: str
    size: str
    knows_absence: bool  # whether it has seen cabins without a driver
    test: Mapping[str, Any]  # on the test split, in full precision, beside the baselines
    git_commit: str
    created: str
    check: Mapping[str, float]  # on the frames that every runtime is checked on, in full precision
    check_frames: int
    gesture: bool = rule(True, absent=True)  # whether it looks for the hands' points


@dataclass(frozen=True, kw_only=True)
class StreamShape:
    """One input of the encoder, and what is remembered of one frame."""

    name: str
    kind: str = rule(choices=("image", "joints"))
    size: int  # pixels of an image's side, points of joints
    feature: tuple[int, ...]
    slot: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class ContextShape:
    slots: int
    slot_s: float  # between two of them
    tolerance_s: float  # a feature further from its instant does not fill the slot


@dataclass(frozen=True, kw_only=True)
class QuantizedReport:
    """What is in a quantized folder, what a device must know to run it, and what was found out about it."""

    created: str
    tools: Mapping[str, str]  # versions
    git_commit: str
    seed: int
    task_set: str = rule(choices=tuple(TASK_SETS))
    color: str
    streams: tuple[StreamShape, ...]
    context: ContextShape
    run: RunOrigin
    golden: str = rule(path=True)  # path of the golden vectors' JSON
    confidence: Mapping[str, FittedTemperature]  # by task
    dialects: Mapping[str, EmittedDialect]
    calibration: CalibrationRecord
    keep_float: tuple[str, ...]  # layers that INT8 dialects keep in floating point
    finder: FinderOrigin | None = rule(None, absent=True)  # None: whoever uses the graphs must say where the driver is
    left_out: tuple[str, ...] = rule((), absent=True)  # tasks that this report no longer speaks of; see `without`

    @classmethod
    def read(cls, folder: Path) -> QuantizedReport:
        """A SourceError says in one line what is wrong with the file."""
        path = folder / REPORT
        if not path.is_file():
            raise SourceError(f"{folder} holds no {REPORT}; make a quantized folder with quantize.run")
        try:
            return _decoded(path.read_bytes())
        except (Fault, OSError) as error:
            raise SourceError(f"{path}: {error}; {REMEDY}") from error

    def write(self, folder: Path) -> None:
        write_json(folder / REPORT, self.to_json())

    def to_json(self) -> dict[str, Any]:
        return {"schema": SCHEMA, "kind": KIND, **encode(self)}

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Those that the model answers and nobody left out."""
        return tuple(task for task in TASK_SETS[self.task_set].tasks if task.name not in self.left_out)

    @property
    def stream_specs(self) -> tuple[StreamSpec, ...]:
        """As the manifest has them."""
        return tuple(StreamSpec(**vars(stream)) for stream in self.streams)

    @property
    def context_config(self) -> ContextConfig:
        return ContextConfig(**vars(self.context))

    def dialect(self, name: str) -> EmittedDialect:
        """A ConfigError lists what was emitted if that was not."""
        if name not in self.dialects:
            there = ", ".join(self.dialects)
            raise ConfigError(f"dialect {name} was not emitted; this folder holds {there}")
        return self.dialects[name]

    def without(self, tasks: Collection[str]) -> QuantizedReport:
        """The report of a model that never answered these tasks: no figure of theirs is left.

        A ConfigError if one of them is not there, or none would be left.
        """
        names = ", ".join(task.name for task in self.tasks)
        for name in tasks:
            if name not in TASK_SETS[self.task_set].names:
                raise ConfigError(f"--without {name}: the model answers {names}; leave out some of these")
        cut = replace(_without(self, tuple(tasks)), left_out=(*self.left_out, *tasks))
        if not cut.tasks:
            raise ConfigError(f"--without: nothing would be left of {names}; leave out fewer")
        return cut


def _decoded(data: bytes) -> QuantizedReport:
    content = from_json(data)
    found = {key: content.pop(key, None) for key in ("schema", "kind")} if isinstance(content, dict) else {}
    if found != {"schema": SCHEMA, "kind": KIND}:
        raise Fault("", f"holds {found}, expected schema {SCHEMA} of kind {KIND!r}, which quantize.run writes")
    return decode(QuantizedReport, content)


def _without(value: T, tasks: tuple[str, ...]) -> T:
    """A record without what is kept under a task's name or names one, at any depth."""
    found: Any = value
    if is_dataclass(value) and not isinstance(value, type):
        found = replace(value, **{some.name: _without(getattr(value, some.name), tasks) for some in fields(value)})
    elif isinstance(value, Mapping):
        found = {name: _without(some, tasks) for name, some in value.items() if name not in tasks}
    elif isinstance(value, tuple | list):
        found = type(value)(_without(some, tasks) for some in value if some not in tasks)
    return cast(T, found)
