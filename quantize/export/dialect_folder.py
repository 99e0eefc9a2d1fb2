"""What a quantized folder holds of each dialect: graphs, the torch model behind them, and the report's entry.

Q/<dialect>/encoder.onnx and fuser.onnx (or .xml and .bin each), fake_quant.*, and after QAT ptq/, what it began with
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from codriver.console import say
from codriver.engines.base import GraphFiles
from codriver.files.atomic import sha256
from quantize.export.fake_quant import save_fake_quant
from quantize.export.onnx_export import onnx_bytes
from quantize.export.openvino_export import ir_from_module
from quantize.graphs.dialects import Dialect
from quantize.graphs.graphs import (
    ENCODER_INPUTS,
    ENCODER_OUTPUTS,
    FUSER_INPUTS,
    ModulePair,
    example_context,
    example_step,
)
from workshop.emitted_dialect import EmittedDialect, EmittedFile, EmittedGraph, GraphPair


@dataclass(frozen=True)
class Model:
    """What a dialect's graphs are made from, and how they were fine-tuned (None: not at all)."""

    pair: ModulePair
    qat: Mapping[str, object] | None = None


def emit_all(
    folder: Path, chosen: Sequence[Dialect], calibrated: Mapping[str, ModulePair], models: Mapping[str, Model]
) -> dict[str, EmittedDialect]:
    """The report's entries."""
    written = {}
    for some in chosen:
        model = models[some.name]
        pair = _emit(folder, some.name, some, model.pair)
        entry = EmittedDialect(
            engine=some.engine, requires=some.requires, why=some.why, encoder=pair.encoder, fuser=pair.fuser
        )
        if model.qat is not None:
            ptq = _emit(folder, f"{some.name}/ptq", some, calibrated[some.name])
            entry = replace(entry, qat=model.qat, ptq=ptq)
        written[some.name] = entry
    return written


def _emit(folder: Path, place: str, some: Dialect, pair: ModulePair) -> GraphPair:
    """A folder with both graphs, and the torch model behind them."""
    (folder / place).mkdir()
    config = pair.model.config
    save_fake_quant(folder / place, pair)
    written = {}
    for name, what in {
        "encoder": (pair.encoder, example_step(config), ENCODER_INPUTS, ENCODER_OUTPUTS),
        "fuser": (pair.fuser, example_context(config), FUSER_INPUTS, pair.model.task_set.names),
    }.items():
        graph = ir_from_module(*what) if some.is_ir else GraphFiles(onnx_bytes(*what, some.signed_codes))
        written[name] = write_graph(folder, f"{place}/{name}", graph)
        say(f"  {place}: {name} {written[name].all_bytes / 1e6:.2f} MB")
    return GraphPair(**written)


def write_graph(folder: Path, stem: str, graph: GraphFiles) -> EmittedGraph:
    """Write <stem>.onnx, or <stem>.xml and its weights."""
    weights = _write_file(folder, f"{stem}.bin", graph.weights) if graph.weights else None
    file = _write_file(folder, f"{stem}.xml" if graph.weights else f"{stem}.onnx", graph.model)
    return EmittedGraph(path=file.path, sha256=file.sha256, bytes=file.bytes, weights=weights)


def _write_file(folder: Path, path: str, data: bytes) -> EmittedFile:
    (folder / path).write_bytes(data)
    return EmittedFile(path=path, sha256=sha256(data), bytes=len(data))
