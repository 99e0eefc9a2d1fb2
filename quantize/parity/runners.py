"""Ways to run a dialect's graphs on this machine, and why some are closed.

fp32          the run's model in torch, batch normalisation folded
fake-quant    the dialect's modules in torch, as they were exported: what every runtime has to give
integer       ONNX Runtime without optimisation: what QuantizeLinear and DequantizeLinear mean, node by node
<runtime>     the file as shipped, in the runtime that it is made for, through codriver.engines
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from codriver.arrays import Arrays
from codriver.bundle.manifest import Manifest, TaskSpec, weights_of
from codriver.device.cpu import cpu_features
from codriver.engines import open_engine
from codriver.engines.base import Engine, GraphFiles, Signature
from codriver.errors import BackendMissing
from codriver.tasks import GROUPS
from quantize.graphs.stepping import GraphRunner
from workshop.emitted_dialect import EmittedDialect, GraphPair
from workshop.quantized_report import QuantizedReport

FP32, FAKE_QUANT, INTEGER = "fp32", "fake-quant", "integer"


@dataclass
class Ways:
    """Of one dialect: name -> graphs that run here, furthest from the device first, and name -> why one does not."""

    open: dict[str, GraphRunner] = field(default_factory=dict)
    closed: dict[str, str] = field(default_factory=dict)

    @property
    def nearest(self) -> str:
        """The way whose answers speak for the device: its runtime, or else the reference nearest to it."""
        return list(self.open)[-1]


class EngineGraphs:
    """Two engines of fixed shapes, run clip by clip, as a device runs them."""

    def __init__(self, encoder: Engine, fuser: Engine) -> None:
        self._encoder, self._fuser = encoder, fuser

    def encode(self, frames: Arrays, before: Arrays, motions_before: Arrays) -> tuple[Arrays, Arrays, Arrays]:
        rows = {g: len(members) for g, members in GROUPS.items()}
        given = _named(frames, before, motions_before)
        found: list[Arrays] = []
        for clip in range(len(frames["incar"]) // rows["incar"]):
            own = {g: slice(clip * n, (clip + 1) * n) for g, n in rows.items()}
            found.append(self._encoder.infer({name: some[own[name.partition("_")[0]]] for name, some in given.items()}))
        return _parts({name: np.concatenate([some[name] for some in found]) for name in found[0]})

    def fuse(self, slots: Arrays, mask: NDArray[np.float32]) -> Arrays:
        found: list[Arrays] = []
        for clip in range(len(mask)):
            own = slice(clip, clip + 1)
            context = {f"{s}_slot": np.ascontiguousarray(some[own]) for s, some in slots.items()}
            found.append(self._fuser.infer(context | {"mask": mask[own]}))
        return {task: np.concatenate([some[task] for some in found]) for task in found[0]}


class IntegerReference:
    """An engine without optimisation: every node computes what ONNX says it does, in floating point."""

    def __init__(self, model: onnx.ModelProto) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 3
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._outputs = [output.name for output in self._session.get_outputs()]

    def infer(self, inputs: Arrays) -> Arrays:
        return dict(zip(self._outputs, self._session.run(self._outputs, inputs), strict=True))

    def close(self) -> None:
        self._session = None


class IntegerGraphs(EngineGraphs):
    """The integer reference of both graphs. An encoder's rows are independent: all of them in one run."""

    def __init__(self, encoder: onnx.ModelProto, fuser: onnx.ModelProto) -> None:
        super().__init__(IntegerReference(any_rows(encoder)), IntegerReference(fuser))

    def encode(self, frames: Arrays, before: Arrays, motions_before: Arrays) -> tuple[Arrays, Arrays, Arrays]:
        return _parts(self._encoder.infer(_named(frames, before, motions_before)))


def _named(frames: Arrays, before: Arrays, motions_before: Arrays) -> Arrays:
    """By group -> as the encoder's inputs are named."""
    earlier = {f"{g}_before": some for g, some in before.items()}
    return frames | earlier | {f"{g}_motion_before": some for g, some in motions_before.items()}


def _parts(outputs: Arrays) -> tuple[Arrays, Arrays, Arrays]:
    """The encoder's outputs -> features, motions, slots by group."""
    features, motions, slots = ({g: outputs[f"{g}_{what}"] for g in GROUPS} for what in ("feature", "motion", "slot"))
    return features, motions, slots


def any_rows(encoder: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose groups take any number of rows. Nothing inside the graph knows the number."""
    copy = onnx.ModelProto()
    copy.CopyFrom(encoder)
    for value in (*copy.graph.input, *copy.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = value.name.partition("_")[0]
    return copy


def ways_of(
    folder: Path, report: QuantizedReport, emitted: EmittedDialect, graphs: GraphPair, fake_quant: GraphRunner | None
) -> Ways:
    """Open each way that a dialect can be run here.

    graphs: the dialect's, as shipped or from before fine-tuning. fake_quant: None if there is none to open.
    """
    found = Ways()
    if fake_quant is not None:
        found.open[FAKE_QUANT] = fake_quant
    encoder, fuser = folder / graphs.encoder.path, folder / graphs.fuser.path
    if encoder.suffix == ".onnx":
        found.open[INTEGER] = IntegerGraphs(onnx.load(encoder), onnx.load(fuser))
    runtime = emitted.engine
    lacking = sorted(set(emitted.requires) - set(cpu_features()))
    if lacking:
        found.closed[runtime] = f"this processor lacks {', '.join(lacking)}"
        return found
    try:
        found.open[runtime] = _engines(runtime, encoder, fuser, report)
    except BackendMissing as error:
        found.closed[runtime] = str(error)
    return found


def _engines(runtime: str, encoder: Path, fuser: Path, report: QuantizedReport) -> EngineGraphs:
    takes, gives = signatures(report)
    return EngineGraphs(
        open_engine(runtime, _files(encoder), takes, threads=1),
        open_engine(runtime, _files(fuser), gives, threads=1),
    )


def _files(path: Path) -> GraphFiles:
    weights = weights_of(path.name)
    return GraphFiles(path.read_bytes(), (path.parent / weights).read_bytes() if weights else b"")


def signatures(report: QuantizedReport) -> tuple[Signature, Signature]:
    """What encoder and fuser take and give, as the bundle's manifest will say it."""
    draft = Manifest(
        name="proof",
        target="",
        created=report.created,
        tools={},
        git_commit="",
        seed=report.seed,
        tasks=tuple(TaskSpec(name=task.name, labels=task.labels, needs_any=task.needs_any) for task in report.tasks),
        streams=report.stream_specs,
        variants=(),
        context=report.context_config,
    )
    return draft.encoder_signature, draft.fuser_signature
