"""What a quantized folder holds of each dialect: graphs, the torch model behind them, and the report's entry.

Q/<dialect>/encoder.onnx (or .xml and .bin), fake_quant.*, and after QAT fuser.onnx and ptq/, what it began with
Q/fuser.onnx                                  in full precision, for dialects without QAT
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

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
    FuserGraph,
    example_context,
    example_step,
)
from workshop.quantized_report import EmittedDialect, EmittedFile, EmittedGraph, GraphPair


@dataclass(frozen=True)
class Model:
    """What a dialect's graphs are made from, and how it was fine-tuned (None: not at all)."""

    encoder: nn.Module  # an EncoderGraph, as it is or with NNCF's quantizers
    qat: Mapping[str, object] | None = None

    @property
    def fuser(self) -> FuserGraph:
        fuser: FuserGraph = FuserGraph(self.encoder.model).eval()
        return fuser


def emit_all(
    folder: Path, chosen: Sequence[Dialect], calibrated: Mapping[str, nn.Module], models: Mapping[str, Model]
) -> dict[str, EmittedDialect]:
    """The report's entries. Without QAT the fuser is in full precision, and all dialects of a format share it."""
    shared: dict[bool, EmittedGraph] = {}
    written = {}
    for some in chosen:
        model, before = models[some.name], Model(calibrated[some.name])
        if some.is_ir not in shared:
            shared[some.is_ir] = _write_fuser(folder, "fuser", before.fuser, some)
        entry = EmittedDialect(
            engine=some.engine,
            requires=some.requires,
            why=some.why,
            encoder=_write_encoder(folder, some.name, some, model.encoder),
            fuser=shared[some.is_ir],
        )
        if model.qat is not None:
            fuser = _write_fuser(folder, f"{some.name}/fuser", model.fuser, some)
            encoder = _write_encoder(folder, f"{some.name}/ptq", some, before.encoder)
            ptq = GraphPair(encoder=encoder, fuser=entry.fuser)
            entry = replace(entry, fuser=fuser, qat=model.qat, ptq=ptq)
        written[some.name] = entry
    return written


def _write_encoder(folder: Path, place: str, some: Dialect, encoder: nn.Module) -> EmittedGraph:
    """A folder with the encoder as a graph and as the torch model behind it."""
    (folder / place).mkdir()
    config = encoder.model.config
    save_fake_quant(folder / place, encoder, config)
    example = example_step(config)
    if some.is_ir:
        graph = ir_from_module(encoder, example, ENCODER_INPUTS, ENCODER_OUTPUTS)
    else:
        graph = GraphFiles(onnx_bytes(encoder, example, ENCODER_INPUTS, ENCODER_OUTPUTS, some.signed_codes))
    written = _write_graph(folder, f"{place}/encoder", graph)
    say(f"  {place}: encoder {written.all_bytes / 1e6:.2f} MB")
    return written


def _write_fuser(folder: Path, stem: str, fuser: FuserGraph, some: Dialect) -> EmittedGraph:
    model = fuser.model
    example = example_context(model.config), FUSER_INPUTS, model.task_set.names
    return _write_graph(
        folder, stem, ir_from_module(fuser, *example) if some.is_ir else GraphFiles(onnx_bytes(fuser, *example))
    )


def _write_graph(folder: Path, stem: str, graph: GraphFiles) -> EmittedGraph:
    """Write <stem>.onnx, or <stem>.xml and its weights."""
    weights = _write_file(folder, f"{stem}.bin", graph.weights) if graph.weights else None
    file = _write_file(folder, f"{stem}.xml" if graph.weights else f"{stem}.onnx", graph.model)
    return EmittedGraph(path=file.path, sha256=file.sha256, bytes=file.bytes, weights=weights)


def _write_file(folder: Path, path: str, data: bytes) -> EmittedFile:
    (folder / path).write_bytes(data)
    return EmittedFile(path=path, sha256=sha256(data), bytes=len(data))
