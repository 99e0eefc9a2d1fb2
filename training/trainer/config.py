"""What shapes the weights of a run, but for data, loss and augmentation."""

from __future__ import annotations

from dataclasses import dataclass

from codriver.errors import ConfigError
from codriver.files.decode import rule

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
SAMPLINGS = ("shuffled", "balanced")
KEPT = ("last", "best")
MOMENTS = ("shared", "task")


@dataclass(frozen=True)
class LessonKind:
    """What an epoch shows of each clip."""

    sparse: bool  # a few moments
    half: bool  # at half the side
    rest: bool  # what the encoders saw of it once


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How to train; metrics, checkpoints and runs record it."""

    size: str = "demo"
    epochs: int = 18
    sparse: float = 0.7  # share of epochs, the first, that see a few runs of slots of each clip: cheap lessons
    sparse_runs: int = 2
    half: float = rule(0.0, absent=True)  # share of epochs, the first, whose images have half their side: cheaper still
    rest: float = rule(0.0, absent=True)  # share of epochs, the last, that read what encoders saw once: see kept.py
    validate_every: int = 3  # epochs
    batch: int = 16  # clips in a step, over all processes and parts
    accumulate: int = 1  # parts that a process takes its share of the batch in, to save memory
    sampling: str = "shuffled"  # or balanced: clips of rare classes are drawn more often
    learning_rate: float = 4e-3  # peak, after warm-up
    warm_up: float = 0.15  # share of all steps
    weight_decay: float = 0.02
    clip_gradient: float = 5.0  # most that a number of the gradient may be; its norm is not clipped
    moments: str = rule("shared", absent=True)  # or task: Adam's, of what all tasks share; see adatask.py
    precision: str = "32-true"  # one of PRECISIONS
    ema: float = 0.0  # decay of the weights' moving average, which then is evaluated and kept; 0 none
    keep: str = "last"  # or best: the weights of which epoch, by mean validation accuracy, become the run
    measure_every: int = rule(1, absent=True)  # epochs between looks at what each task's gradient does; 0: never
    sync_norm: bool = True  # on several GPUs, batch normalisation over the whole batch instead of each GPU's share
    seed: int = 0

    def __post_init__(self) -> None:
        for name, known in (("precision", PRECISIONS), ("sampling", SAMPLINGS), ("keep", KEPT), ("moments", MOMENTS)):
            if getattr(self, name) not in known:
                raise ConfigError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(known)}")
        for name in ("epochs", "accumulate", "validate_every", "sparse_runs"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected 1 or more")
        for name in ("sparse", "half", "rest"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected a share of the epochs, 0 to 1")
        if not 0.0 <= self.ema < 1.0:
            raise ConfigError(f"ema is {self.ema}, expected 0 (none) to below 1, for example 0.999")
        if max(self.sparse, self.half) + self.rest > 1.0:
            raise ConfigError(
                f"rest is {self.rest}, sparse {self.sparse} and half {self.half}: lessons at rest are whole, expected "
                f"at most {1.0 - max(self.sparse, self.half):g} of the epochs at rest"
            )
        if self.rest and self.ema:
            raise ConfigError(
                f"ema is {self.ema} and rest {self.rest}: what was seen is of the weights, not their average"
            )

    def lessons(self, epoch: int) -> LessonKind:
        """Of an epoch, counted from 0."""
        of = {name: round(getattr(self, name) * self.epochs) for name in ("sparse", "half", "rest")}
        return LessonKind(epoch < of["sparse"], epoch < of["half"], epoch >= self.epochs - of["rest"])
