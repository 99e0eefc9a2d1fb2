"""What a run says of itself: its meta.json, typed. Evaluation, quantization and the model card read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codriver.files.decode import encode, rule
from training.data.augment import AugmentConfig
from training.data.clips import footage_kind
from training.losses.afd import LossConfig
from training.report.metrics import Scores
from training.trainer.config import TrainConfig
from workshop.aide_splits import ClipRef, split_digest


@dataclass(frozen=True, kw_only=True)
class LearnedFrom:
    """Footage, by split."""

    kind: str
    clips: Mapping[str, int]
    clips_sha256: Mapping[str, str]

    @classmethod
    def of(cls, data: Path, refs: Mapping[str, Sequence[ClipRef]]) -> LearnedFrom:
        """Kind of footage, clips and a digest of each split."""
        return cls(
            kind=footage_kind(data),
            clips={split: len(some) for split, some in refs.items()},
            clips_sha256={split: split_digest(some) for split, some in refs.items()},
        )


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """How a run came to its weights, and what these score on the test split, by task."""

    created: str
    tools: Mapping[str, str]  # versions
    git_commit: str
    seed: int
    size: str
    train: TrainConfig
    loss: LossConfig
    augment: AugmentConfig
    processes: Mapping[str, int]
    finder: Mapping[str, Any]  # whose eyes its lessons were seen with; id is None without
    start: Mapping[str, Any] | None = rule(None, absent=True)  # digest of the weights that it began with
    kept_epoch: int
    best_epoch: int
    loss_state: Mapping[str, Any] | None = rule(None, absent=True)  # AFDLoss.state_for_meta; QAT goes on from it
    gradients_at_encoders: tuple[Any, ...] = rule((), absent=True)  # training.losses.shares
    data: LearnedFrom
    class_counts: Mapping[str, tuple[int, ...]]  # of the training split, by task
    test: Mapping[str, Scores]  # with annotations
    test_frames_alone: Mapping[str, Scores] | None = rule(None, absent=True)  # where a finder was given
    test_clips: int

    def began(self) -> dict[str, Any]:
        """What a run that resumes this one must have in common with it, by group and name, as JSON values."""
        whole: dict[str, Any] = encode(self)
        return whole | {"data": whole["data"]["clips_sha256"]}
