"""Clips of a plan, from a data set in AIDE's layout; labels of training clips may be spoilt on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codriver.errors import ConfigError
from codriver.tasks import AIDE
from training.data.clips import Clip, load_clips
from training.model.uvm3tl import ModelConfig
from workshop.aide_splits import ClipRef, read_split, split_digest


@dataclass(frozen=True, kw_only=True)
class FootageConfig:
    """The first so many clips of each split."""

    made_by: str  # the command that wrote the data set
    train: int
    test: int
    watch: int  # of the validation split: a run is looked at by them while it learns, and never chosen
    label_noise: float = 0.0  # share of training labels that say another class, each task for itself
    noise_seed: int = 0

    def __post_init__(self) -> None:
        if min(self.train, self.watch, self.test) < 1 or not 0.0 <= self.label_noise < 1.0:
            raise ConfigError(f"footage: got {asdict(self)}, expected a clip or more of each kind, and a noise below 1")


def plan_refs(footage: FootageConfig, data: Path) -> dict[str, list[ClipRef]]:
    """train, test and watch; a ConfigError if the data set has fewer."""
    wanted = {"train": ("train", footage.train), "test": ("test", footage.test), "watch": ("val", footage.watch)}
    refs = {kind: read_split(data, split)[:count] for kind, (split, count) in wanted.items()}
    lacking = [f"{len(refs[kind])} of {count} {kind}" for kind, (_, count) in wanted.items() if len(refs[kind]) < count]
    if lacking:
        raise ConfigError(f"{data} has only {', '.join(lacking)} clips; make it with `{footage.made_by}`")
    return refs


def digest_of(refs: dict[str, list[ClipRef]]) -> str:
    """Of all clips: runs on others do not compare."""
    return hashlib.sha256("".join(split_digest(refs[kind]) for kind in sorted(refs)).encode()).hexdigest()[:16]


def plan_clips(
    refs: dict[str, list[ClipRef]],
    footage: FootageConfig,
    model: ModelConfig,
    cache: Path | None,
    progress: Callable[[str, Any], Any],
) -> dict[str, list[Clip]]:
    """All clips in memory, as uint8. progress: of a kind and an iterable."""
    clips = {kind: load_clips(some, model, AIDE, partial(progress, kind), 1, cache) for kind, some in refs.items()}
    return clips | {"train": spoilt(clips["train"], footage)}


def spoilt(clips: Sequence[Clip], footage: FootageConfig) -> list[Clip]:
    """The clips with the footage's noise in their labels."""
    rng = np.random.default_rng(footage.noise_seed)
    labels = wrong_labels(np.stack([clip.labels for clip in clips]), footage.label_noise, rng)
    return [replace(clip, labels=said) for clip, said in zip(clips, labels, strict=True)]


def wrong_labels(labels: NDArray[np.int64], share: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """(clips, tasks), of which this share says another class, each as likely; unknown labels (-1) stay."""
    classes = np.array([task.classes for task in AIDE.tasks])
    other = (labels + rng.integers(1, classes, size=labels.shape)) % classes
    return np.where((rng.random(labels.shape) < share) & (labels >= 0), other, labels)
