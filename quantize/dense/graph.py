"""The graph that a device runs on one picture, what it is calibrated on, and its quantizers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from codriver.console import say
from codriver.dense.letterbox import Letterbox
from codriver.dense.spec import PIXELS, DenseSpec
from codriver.engines.base import GraphFiles
from quantize.export.dialect_folder import write_graph
from quantize.export.onnx_export import onnx_bytes
from quantize.export.openvino_export import ir_from_module
from quantize.graphs.dialects import Dialect
from quantize.ptq.convolutions import quantized_convolutions
from training.dense.model import DenseUVM3TL
from training.dense.scene import SceneRef
from workshop.dense_report import DenseTuning
from workshop.emitted_dialect import EmittedGraph


class DenseGraph(nn.Module):
    """(1, H, W, 3) uint8 -> maps in the order of `DenseSpec.outputs`."""

    def __init__(self, model: DenseUVM3TL) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        outputs = self.model(pixels).outputs.values()
        return tuple(some for maps in outputs for some in (maps if isinstance(maps, list) else [maps]))


@dataclass(frozen=True)
class Calibrated:
    """A dialect's graph in torch, with fake quantizers where it is INT8."""

    dialect: Dialect
    module: nn.Module
    qat: DenseTuning | None = None  # what fine-tuning did


def spec_of(model: DenseUVM3TL) -> DenseSpec:
    config = model.config
    names = model.task_set.names
    return DenseSpec(task_set=config.task_set, tasks=names, height_px=config.height, width_px=config.width)


def pictures(loader: Any, refs: Sequence[SceneRef], spec: DenseSpec) -> list[tuple[Tensor, ...]]:
    """The graph's inputs of these pictures."""
    network = (spec.height_px, spec.width_px)
    images = (loader.read(ref).image for ref in refs)
    return [(torch.from_numpy(Letterbox(image.shape[:2], network).image(image)[None]),) for image in images]


def spread(refs: Sequence[SceneRef], count: int) -> list[SceneRef]:
    """So many of them, evenly over the whole."""
    return [refs[int(at)] for at in np.linspace(0, len(refs) - 1, min(count, len(refs)))]


Tune = Callable[[nn.Module], tuple[nn.Module, DenseTuning]]


def calibrated(
    model: DenseUVM3TL, seen: Sequence[tuple[Tensor, ...]], chosen: Sequence[Dialect], tune: Tune | None = None
) -> list[Calibrated]:
    """Dialects that differ in emission alone share a module. model: folded. tune: fine-tunes one."""
    whole = DenseGraph(model).eval()
    made: dict[tuple[str, int], tuple[nn.Module, DenseTuning | None]] = {}
    for some in chosen:
        key = (some.recipe, some.weight_bits)
        if key not in made:
            say(f"{some.name}: {some.why}")
            module = quantized_convolutions(whole, seen, some) if some.is_int8 else whole
            made[key] = tune(module) if tune and some.is_int8 else (module, None)
    return [Calibrated(some, *made[some.recipe, some.weight_bits]) for some in chosen]


def emitted(folder: Path, one: Calibrated, spec: DenseSpec) -> EmittedGraph:
    """Write Q/<dialect>/dense.onnx, or .xml and .bin."""
    (folder / one.dialect.name).mkdir(exist_ok=True)
    example = (torch.zeros((1, spec.height_px, spec.width_px, 3), dtype=torch.uint8),)
    names = tuple(spec.outputs)
    if one.dialect.is_ir:
        graph = ir_from_module(one.module, example, (PIXELS,), names)
    else:
        graph = GraphFiles(onnx_bytes(one.module, example, (PIXELS,), names, one.dialect.signed_codes))
    return write_graph(folder, f"{one.dialect.name}/dense", graph)
