"""What training leaves: a run folder when it is done, and until then a partial one beside it.

    RUN/           model.safetensors (weights), meta.json (all needed to rebuild and judge them), metrics.jsonl,
                   curves.png, last.pt, best.safetensors
    RUN.partial/   last.pt (all that the next step depends on), best.safetensors, metrics.jsonl, curves.png

RUN appears whole, when training has ended well; an older one stays until then.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from codriver.errors import ConfigError, SourceError
from codriver.files.atomic import sha256, whole_file
from codriver.files.decode import Fault, decode, encode
from training.model.regrid import regridded
from training.model.uvm3tl import UVM3TL, ModelConfig
from training.trainer.record import RunRecord
from workshop.artifacts import write_json, write_text
from workshop.command import one_line

SCHEMA = 1
MARKER = "meta.json"
WEIGHTS, BEST, LAST, METRICS, CURVES = "model.safetensors", "best.safetensors", "last.pt", "metrics.jsonl", "curves.png"


@dataclass(frozen=True)
class Run:
    """A trained model, in evaluation mode, and how it came to be."""

    model: UVM3TL
    record: RunRecord


def save_run(folder: Path, run: Run) -> None:
    """Write weights and record into an existing folder."""
    save_model(folder, run.model, encode(run.record), "run")


def save_model(folder: Path, model: Any, about: Mapping[str, Any], kind: str) -> None:
    """Write weights and meta.json, which says what `kind` of run it is, into an existing folder."""
    save_weights(folder / WEIGHTS, model)
    write_json(folder / MARKER, {"schema": SCHEMA, "kind": kind, "model": model.config.to_dict(), **about})


def save_weights(path: Path, model: nn.Module) -> None:
    """Write weights whole or not at all."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with whole_file(path) as fresh:
        save_file(weights, str(fresh))


def load_run(folder: Path) -> Run:
    """Rebuild the model of a run. A run of another schema, or a damaged one, is an error that says so."""
    meta_path, weights_path = folder / MARKER, folder / WEIGHTS
    if not meta_path.is_file() or not weights_path.is_file():
        raise SourceError(
            f"{folder} is not a run: it lacks meta.json or model.safetensors; make one with training.train"
        )
    try:
        meta = json.loads(meta_path.read_text(encoding="utf-8"))
        schema, kind = meta.pop("schema", None), meta.pop("kind", None)
        if schema != SCHEMA or kind != "run":
            got = f"{kind!r} of schema {schema!r}"
            raise SourceError(f"{meta_path}: {got}, expected a run of schema {SCHEMA}; train one with training.train")
        model = UVM3TL(ModelConfig.from_dict(meta.pop("model")))
        model.load_state_dict(load_file(str(weights_path)))
        record = decode(RunRecord, meta)
    except (json.JSONDecodeError, SafetensorError, RuntimeError, TypeError, KeyError, Fault) as error:
        raise SourceError(
            f"{folder} does not hold a whole run: {one_line(error)[:300]}; train the model again"
        ) from error
    return Run(model.eval(), record)


def describe_weights(path: Path | None) -> dict[str, Any]:
    """What a run records of the weights that it began with."""
    if path is None:
        return {"weights_sha256": None}
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; expected the model.safetensors of a run")
    return {"weights_sha256": sha256(path.read_bytes())}


def begun_with(model: UVM3TL, path: Path | None) -> UVM3TL:
    """The model with the weights of a file, of whatever precision and side; as it is without one."""
    if path is not None:
        try:
            model.load_state_dict(regridded(load_file(str(path)), model.config))
        except (SafetensorError, RuntimeError) as error:
            raise ConfigError(
                f"{path} does not hold weights of this size: {one_line(error)[:200]}; give --size of its run"
            ) from error
    return model


def partial_folder(out: Path) -> Path:
    """Where a run lives until it is whole."""
    return out.with_name(f"{out.name}.partial")


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write last.pt whole or not at all: a crash while writing leaves the one before."""
    with whole_file(folder / LAST) as fresh, fresh.open("wb") as file:
        torch.save({"schema": SCHEMA, **state}, file)
        file.flush()
        os.fsync(file.fileno())  # or a power cut could leave the new name on lost bytes


def load_checkpoint(folder: Path) -> dict[str, Any]:
    """What save_checkpoint was given, on the CPU. Only numbers, text and tensors are read, never code."""
    path = folder / LAST
    advice = "start anew with --overwrite"
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch names no errors for what a damaged file can do
        raise SourceError(f"{path} cannot be read: {error}; {advice}") from error
    if state.get("schema") != SCHEMA:
        raise SourceError(f"{path}: schema {state.get('schema')!r}, expected {SCHEMA}; {advice}")
    return state


def check_start(partial: Path, resume: bool, overwrite: bool) -> None:
    """Whether training may use the partial folder; what is in the way is an error that says what to do."""
    if resume and overwrite:
        raise ConfigError("--resume goes on and --overwrite starts anew; say one of them")
    if not partial.exists() or not any(partial.iterdir()):
        return
    if not (partial / METRICS).is_file():
        raise ConfigError(f"{partial} exists and is no unfinished run; move it away or give another --out")
    if (partial / LAST).is_file() and not (resume or overwrite):
        raise ConfigError(f"{partial} holds an unfinished run; go on with --resume, or start anew with --overwrite")


def check_same(was: dict[str, Any], now: dict[str, Any], partial: Path) -> None:
    """A run goes on only as it began. was, now: JSON values that shape the weights, by group and name."""
    different = [
        f"{group} {name} was {was.get(group, {}).get(name)!r}, is {values.get(name)!r}"
        for group, values in now.items()
        for name in {**was.get(group, {}), **values}
        if was.get(group, {}).get(name) != values.get(name)
    ]
    if different:
        raise ConfigError(
            f"{partial} cannot be resumed: {'; '.join(different)}; give what it began with, or start with --overwrite"
        )


def prepare(partial: Path, records: Sequence[dict[str, Any]], keep: bool) -> None:
    """Make the partial folder; its metrics hold the epochs that the checkpoint knows, and no later one."""
    if not keep:
        clear(partial)
    partial.mkdir(parents=True, exist_ok=True)
    for left in partial.glob(".*.part*"):  # by a process that was killed while it wrote
        left.unlink()
    write_text(partial / METRICS, "".join(json.dumps(record) + "\n" for record in records))


def clear(partial: Path) -> None:
    """Remove an unfinished run."""
    if partial.exists():
        shutil.rmtree(partial)
