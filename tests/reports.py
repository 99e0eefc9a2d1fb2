"""A quantized folder's report without a quantization: around the graphs of a tiny bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from codriver.bundle.manifest import Manifest
from codriver.bundle.manifest_json import read_manifest
from codriver.files.atomic import sha256
from codriver.tasks import AIDE
from tests.tiny import make_tiny_bundle
from workshop.emitted_dialect import (
    EmittedDialect,
    EmittedGraph,
)
from workshop.quantized_report import (
    CalibrationRecord,
    ContextShape,
    FittedTemperature,
    FootageOrigin,
    FramesAlone,
    HeldOutScores,
    QuantizedReport,
    RunOrigin,
    StreamShape,
    SubsetAccuracy,
)


def quantized_folder(folder: Path) -> Path:
    """A quantized folder as `quantize.run` leaves it, around the graphs of a tiny bundle."""
    manifest = read_manifest(make_tiny_bundle(folder))
    report_of(manifest, folder).write(folder)
    return folder


def report_of(manifest: Manifest, folder: Path) -> QuantizedReport:
    dialects = {
        some.name: emitted(
            engine=some.engine,
            requires=some.requires,
            encoder=graph_file(folder, some.encoder),
            fuser=graph_file(folder, some.fuser),
        )
        for some in manifest.variants
    }
    return QuantizedReport(
        created=manifest.created,
        tools={},
        git_commit="0" * 12,
        seed=0,
        task_set="aide",
        color="bgr",
        streams=tuple(
            StreamShape(name=s.name, kind=s.kind, size=s.size, feature=s.feature, slot=s.slot) for s in manifest.streams
        ),
        context=ContextShape(slots=16, slot_s=0.2, tolerance_s=manifest.context.tolerance_s),
        golden="golden/golden.json",
        dialects=dialects,
        calibration=CalibrationRecord(
            split="train",
            clips=4,
            seed=0,
            ids=("0001",),
            ids_sha256="0" * 64,
            class_counts={},
            slots=(3,),
            used=4,
            ranges="minmax",
            measured_ranges={},
        ),
        confidence={name: FittedTemperature(temperature=1.0, clips=60) for name in AIDE.names},
        run=run_origin(),
        keep_float=(),
    )


def run_origin(**changes: Any) -> RunOrigin:
    clips = {"train": 3, "val": 2, "test": 1}
    half = dict.fromkeys(AIDE.names, 0.5)
    values: dict[str, Any] = {
        "weights_sha256": "0" * 64,
        "size": "tiny",
        "data": FootageOrigin(kind="synthetic footage", clips=clips, clips_sha256=dict.fromkeys(clips, "0" * 64)),
        "class_counts": {},
        "train": {},
        "test": dict.fromkeys(AIDE.names, HeldOutScores(accuracy=0.5, macro_f1=0.4, majority=0.3)),
        "test_clips": 1,
        "frames_alone": FramesAlone(test={}, without={}),
        "subsets": (SubsetAccuracy(views=("incar",), clips=60, answered=AIDE.names, accuracy=half, majority=half),),
        "git_commit": "0" * 12,
        "created": "2026-01-01T00:00:00+00:00",
    }
    return RunOrigin(**values | changes)


def graph_file(folder: Path, path: str) -> EmittedGraph:
    data = (folder / path).read_bytes()
    return EmittedGraph(path=path, sha256=sha256(data), bytes=len(data))


def emitted(**changes: Any) -> EmittedDialect:
    """A dialect of ONNX Runtime that nobody has looked at."""
    graph = EmittedGraph(path="graph.onnx", sha256="0" * 64, bytes=1)
    values = {"engine": "onnxruntime", "requires": (), "why": "a test", "encoder": graph, "fuser": graph}
    return EmittedDialect(**values | changes)
