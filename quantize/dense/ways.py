"""Ways to run a dialect's graph on a picture here: the model in torch, the file node by node, or in its runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import onnx
import torch
from torch import nn

from codriver.arrays import Arrays, Image
from codriver.bundle.manifest import weights_of
from codriver.dense.spec import PIXELS, DenseSpec
from codriver.device.cpu import cpu_features
from codriver.engines import open_engine
from codriver.engines.base import Engine, GraphFiles
from codriver.errors import BackendMissing
from quantize.dense.graph import Calibrated
from quantize.parity.runners import FAKE_QUANT, INTEGER, IntegerReference
from workshop.emitted_dialect import EmittedGraph

Way = Callable[[Image], Arrays]  # (H, W, 3) uint8, the network's picture -> outputs by name, (1, channels, ...)


@dataclass
class DenseWays:
    """Name -> way, furthest from the device first; name -> why it is closed."""

    open: dict[str, Way] = field(default_factory=dict)
    closed: dict[str, str] = field(default_factory=dict)

    @property
    def nearest(self) -> str:
        return list(self.open)[-1]


def in_torch(module: nn.Module, spec: DenseSpec) -> Way:
    def run(pixels: Image) -> Arrays:
        with torch.inference_mode():
            outputs = module(torch.from_numpy(pixels[None]))
        return {name: some.numpy() for name, some in zip(spec.outputs, outputs, strict=True)}

    return run


def in_engine(engine: Engine | IntegerReference) -> Way:
    return lambda pixels: engine.infer({PIXELS: pixels[None]})


def ways_of(folder: Path, one: Calibrated, graph: EmittedGraph, spec: DenseSpec) -> DenseWays:
    found, path, some = DenseWays(), folder / graph.path, one.dialect
    found.open[FAKE_QUANT] = in_torch(one.module, spec)
    if path.suffix == ".onnx":
        found.open[INTEGER] = in_engine(IntegerReference(onnx.load(path)))
    lacking = sorted(set(some.requires) - set(cpu_features()))
    if lacking:
        found.closed[some.engine] = f"this processor lacks {', '.join(lacking)}"
        return found
    weights = weights_of(path.name)
    files = GraphFiles(path.read_bytes(), (path.parent / weights).read_bytes() if weights else b"")
    try:
        found.open[some.engine] = in_engine(open_engine(some.engine, files, spec.signature, threads=1))
    except BackendMissing as error:
        found.closed[some.engine] = str(error)
    return found
