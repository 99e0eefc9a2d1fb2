"""The finder in every dialect: calibrated, written, held against its rules and scored in the runtime itself.

Q/<dialect>/finder.onnx (or .xml and .bin)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import nn

from codriver.bundle.manifest import finder_signature
from codriver.console import say
from codriver.device.cpu import cpu_features
from codriver.device.machine import is_installed
from codriver.engines import open_engine
from codriver.engines.base import GraphFiles
from codriver.files.atomic import sha256
from codriver.finder.peaks import Sight, read_sight
from codriver.finder_graph import HEIGHT_PX, OUTPUTS, PIXELS, POINTS, WIDTH_PX
from quantize.checks import audit_of, lint_of
from quantize.export.dialect_folder import write_graph
from quantize.export.onnx_export import onnx_bytes
from quantize.export.openvino_export import ir_from_module
from quantize.graphs.dialects import Dialect, dialect
from quantize.graphs.fold import folded
from quantize.ptq.quantizers import RANGES, free_outputs, quantized_module
from training.finder.pictures import Pictures, drive_pictures
from training.finder.run import load_finder
from training.finder.scores import score_points, sights_of
from workshop.aide_splits import read_split
from workshop.emitted_dialect import EmittedDialect, EmittedGraph, FinderCheck
from workshop.quantized_report import FinderOrigin, QuantizedReport

CHECK_FRAMES = 3  # of each clip that is checked


@dataclass(frozen=True)
class Finders:
    """A trained finder, and what became of it for each dialect."""

    origin: FinderOrigin
    modules: Mapping[str, nn.Module]  # by dialect, folded, with fake quantizers where it is INT8
    pictures: Pictures  # validation frames, to check on
    full: nn.Module  # in full precision, folded


class Amounts(Protocol):
    """Of quantize.run's options, those that count here."""

    @property
    def clips(self) -> int: ...  # training clips to calibrate on, one frame each, spread over the split
    @property
    def check(self) -> int: ...  # validation clips to check on


def make_finders(run_folder: Path, data: Path, chosen: Sequence[Dialect], amounts: Amounts) -> Finders:
    run = load_finder(run_folder)
    model = folded(run.model)
    train, held_out = read_split(data, "train"), read_split(data, "val")[: max(amounts.check, 1)]
    spread = [train[int(i)] for i in np.linspace(0, len(train) - 1, min(amounts.clips, len(train)))]
    pixels = torch.from_numpy(drive_pictures(spread, 1).pixels)
    pictures = drive_pictures(held_out, CHECK_FRAMES)
    modules: dict[str, nn.Module] = {}
    made: dict[tuple[str, int], nn.Module] = {}
    for some in chosen:
        key = some.recipe, some.weight_bits
        if key not in made:
            say(f"the finder for {some.name}")
            steps = list(pixels.split(1))
            made[key] = quantized_finder(model, steps, some) if some.is_int8 else model
        modules[some.name] = made[key]
    origin = FinderOrigin(
        weights_sha256=sha256((run_folder / "model.safetensors").read_bytes()),
        size=run.record.size,
        knows_absence=run.record.knows_absence,
        test=run.record.test,
        git_commit=run.record.git_commit,
        created=run.record.created,
        check=score_points(_points(sights_of(model, pictures)), pictures),
        check_frames=len(pictures),
        gesture=run.model.config.gesture,
    )
    return Finders(origin, modules, pictures, model)


def quantized_finder(model: nn.Module, steps: Sequence[torch.Tensor], some: Dialect) -> nn.Module:
    """Calibrated on drives, which all have a driver: presence, which would never fall below 0, has no range."""
    made = quantized_module(model, steps, some, RANGES[0])
    free_outputs(made, "presence")
    return made


def with_finder(folder: Path, report: QuantizedReport, finders: Finders) -> QuantizedReport:
    """Each dialect with its finder, written and checked."""
    dialects = {}
    for name, entry in report.dialects.items():
        entry = replace(entry, finder=write_finder(folder, dialect(name), finders.modules[name]))
        dialects[name] = replace(entry, finder_check=check_finder(folder, name, entry, finders))
    return replace(report, dialects=dialects, finder=finders.origin)


def write_finder(folder: Path, some: Dialect, module: nn.Module) -> EmittedGraph:
    """Into the dialect's folder, which is there."""
    example = (torch.zeros((1, HEIGHT_PX, WIDTH_PX, 3), dtype=torch.uint8),)
    if some.is_ir:
        graph = ir_from_module(module, example, (PIXELS,), OUTPUTS)
    else:
        graph = GraphFiles(onnx_bytes(module, example, (PIXELS,), OUTPUTS, some.signed_codes))
    return write_graph(folder, f"{some.name}/finder", graph)


def check_finder(folder: Path, name: str, entry: EmittedDialect, finders: Finders) -> FinderCheck:
    """Lint, audit, and what the runtime finds in the frames of the check; None where it does not run here.

    Presence is held against full precision, and on pictures of nobody too: the fake-quantized model may be as wrong
    as its runtime, and drives, which calibrate it, always have a driver.
    """
    assert entry.finder is not None
    graph = folder / entry.finder.path
    reference = sights_of(finders.modules[name], finders.pictures)
    scores, off, presence_off = None, None, None
    if runs_here(entry):
        gesture = finders.origin.gesture
        found = sights_in_runtime(folder, entry, finders.pictures, gesture=gesture)
        scores = score_points(_points(found), finders.pictures)
        off = float(np.abs(_points(found) - _points(reference)).mean())
        empty = nobody()
        here = _presence(found + sights_in_runtime(folder, entry, empty, gesture=gesture))
        full = _presence(sights_of(finders.full, finders.pictures) + sights_of(finders.full, empty))
        presence_off = float(np.abs(here - full).max())
    lint, audit = lint_of([graph], name), audit_of([graph], entry)
    return FinderCheck(lint=lint, audit=audit, scores=scores, mean_off=off, presence_off=presence_off)


def nobody() -> Pictures:
    """What holds no driver and needs no footage: black, grey, white, noise."""
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT_PX, WIDTH_PX, 3), np.uint8)
    pixels = np.stack([*(np.full_like(noise, level) for level in (0, 128, 255)), noise])
    n = len(pixels)
    points, weights = np.zeros((n, POINTS, 2), np.float32), np.zeros((n, POINTS), np.float32)
    return Pictures(pixels, points, weights, np.zeros((n, 3), np.float32), ("",) * n, ("nobody",) * n)


def runs_here(entry: EmittedDialect) -> bool:
    return entry.engine != "tensorrt" and is_installed(entry.engine) and set(entry.requires) <= set(cpu_features())


def sights_in_runtime(folder: Path, entry: EmittedDialect, pictures: Pictures, *, gesture: bool) -> list[Sight]:
    """gesture: whether this finder looks for hands."""
    assert entry.finder is not None
    weights = (folder / entry.finder.weights.path).read_bytes() if entry.finder.weights else b""
    files = GraphFiles((folder / entry.finder.path).read_bytes(), weights)
    engine = open_engine(entry.engine, files, finder_signature(gesture=gesture), threads=1)
    try:
        return [read_sight(engine.infer({PIXELS: frame[None]})) for frame in pictures.pixels]
    finally:
        engine.close()


def _presence(sights: Sequence[Sight]) -> np.ndarray:
    return np.stack([sight.presence for sight in sights])


def _points(sights: Sequence[Sight]) -> np.ndarray:
    return np.stack([sight.points for sight in sights])
