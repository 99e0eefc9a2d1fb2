"""Clips of a plan, read or drawn; labels of training clips may be spoilt on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from codriver.errors import ConfigError
from codriver.tasks import AIDE
from training.ablation.drawn import DrawnConfig, DrawnFootage
from training.data.clips import Clip, load_clips
from training.model.uvm3tl import ModelConfig
from workshop.aide_splits import read_split, split_digest

Progress = Callable[[str, Any], Any]


@dataclass(frozen=True, kw_only=True)
class FootageConfig:
    """The first so many clips of each split: of a data set, or drawn straight into memory."""

    train: int
    test: int
    watch: int  # of the validation split: a run is looked at by them while it learns, and never chosen
    made_by: str = ""  # the command that wrote the data set
    drawn: DrawnConfig | None = None  # no data set is read
    label_noise: float = 0.0  # share of training labels that say another class, each task for itself
    noise_seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.drawn, dict):  # of TOML
            object.__setattr__(self, "drawn", DrawnConfig(**self.drawn))
        if min(self.train, self.watch, self.test) < 1 or not 0.0 <= self.label_noise < 1.0:
            raise ConfigError(f"footage: got {asdict(self)}, expected a clip or more of each kind, and a noise below 1")
        if bool(self.made_by) == bool(self.drawn):
            raise ConfigError("footage: expected made_by, the command that wrote the data set, or drawn, and not both")

    @property
    def counts(self) -> dict[str, int]:
        return {"train": self.train, "test": self.test, "watch": self.watch}


class Footage(Protocol):
    """Where a plan's clips come from."""

    counts: dict[str, int]
    digest: str  # of all clips: runs on others do not compare

    def clips(self, cache: Path | None, progress: Progress) -> dict[str, list[Clip]]:
        """All in memory, as uint8, by kind. progress: of a kind and an iterable."""
        ...


class ReadFootage:
    """From a data set in AIDE's layout."""

    def __init__(self, footage: FootageConfig, data: Path, model: ModelConfig) -> None:
        """A ConfigError if the data set has fewer clips than the plan wants."""
        self.counts, self._model = footage.counts, model
        splits = {"train": "train", "test": "test", "watch": "val"}
        self._refs = {kind: read_split(data, splits[kind])[:count] for kind, count in self.counts.items()}
        lacking = [
            f"{len(self._refs[k])} of {count} {k}" for k, count in self.counts.items() if len(self._refs[k]) < count
        ]
        if lacking:
            raise ConfigError(f"{data} has only {', '.join(lacking)} clips; make it with `{footage.made_by}`")
        listed = "".join(split_digest(self._refs[kind]) for kind in sorted(self._refs))
        self.digest = hashlib.sha256(listed.encode()).hexdigest()[:16]

    def clips(self, cache: Path | None, progress: Progress) -> dict[str, list[Clip]]:
        return {
            kind: load_clips(some, self._model, AIDE, partial(progress, kind), 1, cache)
            for kind, some in self._refs.items()
        }


def plan_footage(footage: FootageConfig, data: Path | None, model: ModelConfig) -> Footage:
    """A ConfigError if the clips are fewer than the plan wants, or are to be read and nobody says where."""
    if footage.drawn:
        return DrawnFootage(footage.drawn, footage.counts, model)
    if data is None:
        raise ConfigError(f"this plan reads a data set; give --data, made with `{footage.made_by}`")
    return ReadFootage(footage, data, model)


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
