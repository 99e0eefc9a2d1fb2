"""What training.finder leaves: RUN/model.safetensors, meta.json, metrics.jsonl; until then RUN.partial."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from codriver.errors import SourceError
from training.finder.model import Finder, FinderConfig
from training.trainer.checkpoint import MARKER, WEIGHTS, save_weights
from workshop.artifacts import write_json
from workshop.command import one_line

SCHEMA = 1


@dataclass(frozen=True)
class FinderRun:
    """A trained finder, in evaluation mode, and its meta data."""

    model: Finder
    meta: dict[str, Any]
    folds: tuple[Finder, ...] = ()  # that did not learn from the clips of meta["folds"], fold by fold

    def finder_for(self, clip_id: str) -> Finder:
        """One that has not learned from this clip, if there is one."""
        for left_out, model in zip(self.meta.get("folds", ()), self.folds, strict=True):
            if clip_id in left_out:
                return model
        return self.model


def fold_weights(k: int) -> str:
    """Of the finder that did not learn from the clips of meta["folds"][k]."""
    return f"fold-{k}.safetensors"


def save_finder(folder: Path, model: Finder, meta: dict[str, Any]) -> None:
    """Write weights and meta data into an existing folder."""
    save_weights(folder / WEIGHTS, model)
    write_json(folder / MARKER, {"schema": SCHEMA, "kind": "finder", "model": model.config.to_dict(), **meta})


def load_finder(folder: Path) -> FinderRun:
    """Rebuild the finder of a run. One of another schema, or a damaged one, is an error that says so."""
    meta_path, weights_path = folder / MARKER, folder / WEIGHTS
    if not meta_path.is_file() or not weights_path.is_file():
        raise SourceError(f"{folder} is no finder: it lacks {MARKER} or {WEIGHTS}; make one with training.finder")
    try:
        meta = json.loads(meta_path.read_text(encoding="utf-8"))
        if meta.get("schema") != SCHEMA or meta.get("kind") != "finder":
            got = f"{meta.get('kind')!r} of schema {meta.get('schema')!r}"
            raise SourceError(
                f"{meta_path}: {got}, expected a finder of schema {SCHEMA}; train it with training.finder"
            )
        with torch.random.fork_rng(devices=[]):  # the weights that are made here are overwritten at once
            model = Finder(FinderConfig.from_dict(meta["model"]))
            folds = tuple(Finder(model.config) for _ in meta.get("folds", ()))
        model.load_state_dict(load_file(str(weights_path)))
        for k, fold in enumerate(folds):
            fold.load_state_dict(load_file(str(folder / fold_weights(k))))
    except (json.JSONDecodeError, SafetensorError, OSError, RuntimeError, TypeError, KeyError) as error:
        raise SourceError(f"{folder} does not hold a whole finder: {one_line(error)}; train it again") from error
    return FinderRun(model.eval(), meta, tuple(fold.eval() for fold in folds))
