"""What training.finder leaves: RUN/model.safetensors, meta.json, metrics.jsonl; until then RUN.partial."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from codriver.errors import SourceError
from codriver.files.decode import Fault, decode, encode
from training.finder.model import Finder, FinderConfig
from training.trainer.checkpoint import MARKER, SCHEMA, WEIGHTS, save_model
from workshop.command import one_line

KIND = "finder"


@dataclass(frozen=True, kw_only=True)
class FinderRecord:
    """How a finder came to its weights, and what it scores."""

    created: str
    tools: Mapping[str, str]  # versions
    git_commit: str
    seed: int
    size: str
    train: Mapping[str, Any]  # training's settings
    vary: Mapping[str, Any]  # how its pictures were varied
    data: Mapping[str, Any]  # kind of footage, digest of each split, frames by scene
    knows_absence: bool  # whether it has seen cabins without a driver
    folds: tuple[tuple[str, ...], ...]  # clips that the finder of each fold did not learn from
    mean_pose: tuple[Any, ...]  # of training: a baseline
    val: Mapping[str, Any]  # scores, beside the baselines': training.finder.scores
    test: Mapping[str, Any]


@dataclass(frozen=True)
class FinderRun:
    """A trained finder, in evaluation mode, and how it came to be."""

    model: Finder
    record: FinderRecord
    folds: tuple[Finder, ...] = ()  # of record.folds

    def finder_for(self, clip_id: str) -> Finder:
        """One that has not learned from this clip, if there is one."""
        for left_out, model in zip(self.record.folds, self.folds, strict=True):
            if clip_id in left_out:
                return model
        return self.model


def fold_weights(k: int) -> str:
    """Of the finder that did not learn from the clips of record.folds[k]."""
    return f"fold-{k}.safetensors"


def save_finder(folder: Path, model: Finder, record: FinderRecord) -> None:
    """Write weights and record into an existing folder."""
    save_model(folder, model, encode(record), KIND)


def load_finder(folder: Path) -> FinderRun:
    """Rebuild the finder of a run. One of another schema, or a damaged one, is an error that says so."""
    meta_path, weights_path = folder / MARKER, folder / WEIGHTS
    if not meta_path.is_file() or not weights_path.is_file():
        raise SourceError(f"{folder} is no finder: it lacks {MARKER} or {WEIGHTS}; make one with training.finder")
    try:
        meta = json.loads(meta_path.read_text(encoding="utf-8"))
        schema, kind = meta.pop("schema", None), meta.pop("kind", None)
        if schema != SCHEMA or kind != KIND:
            got = f"{kind!r} of schema {schema!r}"
            raise SourceError(
                f"{meta_path}: {got}, expected a finder of schema {SCHEMA}; train it with training.finder"
            )
        with torch.random.fork_rng(devices=[]):  # the weights that are made here are overwritten at once
            model = Finder(FinderConfig.from_dict(meta.pop("model")))
            record = decode(FinderRecord, meta)
            folds = tuple(Finder(model.config) for _ in record.folds)
        model.load_state_dict(load_file(str(weights_path)))
        for k, fold in enumerate(folds):
            fold.load_state_dict(load_file(str(folder / fold_weights(k))))
    except (json.JSONDecodeError, SafetensorError, OSError, RuntimeError, TypeError, KeyError, Fault) as error:
        raise SourceError(f"{folder} does not hold a whole finder: {one_line(error)}; train it again") from error
    return FinderRun(model.eval(), record, tuple(fold.eval() for fold in folds))
