"""A run folder: model.safetensors (weights), meta.json (all needed to rebuild and judge them), metrics.jsonl."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from codriver.artefact import write_json
from codriver.errors import SourceError
from training.model import UVM3TL, ModelConfig

SCHEMA = 1
MARKER = "meta.json"


@dataclass(frozen=True)
class Run:
    """A trained model, in evaluation mode, and its meta data."""

    model: UVM3TL
    meta: dict[str, Any]


def save_run(folder: Path, model: UVM3TL, meta: dict[str, Any]) -> None:
    """Write weights and meta data into an existing folder."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, str(folder / "model.safetensors"))
    write_json(folder / MARKER, {"schema": SCHEMA, "kind": "run", "model": model.config.to_dict(), **meta})


def load_run(folder: Path) -> Run:
    """Rebuild the model of a run. A run of another schema, or a damaged one, is an error that says so."""
    meta_path, weights_path = folder / MARKER, folder / "model.safetensors"
    if not meta_path.is_file() or not weights_path.is_file():
        raise SourceError(
            f"{folder} is not a run: it lacks meta.json or model.safetensors; make one with training.train"
        )
    try:
        meta = json.loads(meta_path.read_text(encoding="utf-8"))
        if meta.get("schema") != SCHEMA or meta.get("kind") != "run":
            raise SourceError(f"{meta_path}: schema {meta.get('schema')!r}, expected {SCHEMA}; train the model again")
        model = UVM3TL(ModelConfig.from_dict(meta["model"]))
        model.load_state_dict(load_file(str(weights_path)))
    except (json.JSONDecodeError, SafetensorError, RuntimeError, TypeError, KeyError) as error:
        raise SourceError(f"{folder} does not hold a whole run: {error}; train the model again") from error
    return Run(model.eval(), meta)
