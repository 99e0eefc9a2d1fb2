"""Quantize a run: calibrate, quantize, export, one emission per dialect.

python -m quantize.run RUN --data DATA --out Q
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
from torch import nn

from codriver.artefact import provenance, sha256, whole_folder, write_json
from codriver.errors import CodriverError
from codriver.sources.split import ClipRef, read_split
from codriver.tasks import JOINTS, STREAMS
from quantize.calibration import calibration_clips, encoder_steps
from quantize.confidence import confidence
from quantize.emit import onnx_from_module
from quantize.fold import folded
from quantize.golden import write_golden_clips
from quantize.graphs import (
    ENCODER_INPUTS,
    ENCODER_OUTPUTS,
    FUSER_INPUTS,
    EncoderGraph,
    FuserGraph,
    example_context,
    example_step,
)
from quantize.ptq import export_as_qdq, quantized_encoder
from quantize.scheme import DIALECTS, Dialect, dialect
from training.checkpoint import Run, load_run
from training.data import CONTEXT, labels_of, load_clips
from training.loop import predict
from training.model import POINTS_OF, UVM3TL

SCHEMA = 1
MARKER = "report.json"
CALIBRATION_SLOTS = (3, 7, 11, 15)  # of each clip: spread over its time


def quantize(
    run_folder: Path, data: Path, out: Path, dialects: Sequence[str], clips: int, seed: int, golden: int
) -> dict[str, Any]:
    """Leave a folder with graphs, golden vectors and report.json; returns the report."""
    chosen = [dialect(name) for name in dialects]
    run = load_run(run_folder)
    model = folded(run.model)
    say(f"calibrating on {clips} training clips, stratified by every task's labels")
    say("NNCF compiles its quantizers at its first call on a machine: about a minute")
    calibration = calibration_clips(read_split(data, "train"), model, clips, seed)
    steps = list(encoder_steps(model, calibration.clips, CALIBRATION_SLOTS))
    with whole_folder(out, marker=MARKER) as folder:
        fuser = FuserGraph(model).eval()
        encoders = {some.name: encoder_of(model, steps, some) for some in chosen}
        held_out = read_split(data, "val")
        say(f"fitting temperatures on {len(held_out)} validation clips")
        known = _confidence(model, held_out)
        say("writing golden vectors from validation clips")
        temperatures = {task: some["temperature"] for task, some in known.items()}
        write_golden_clips(folder / "golden", held_out[:golden], model, encoders, fuser, temperatures)
        written = {some.name: _emit(folder, some, encoders[some.name], model) for some in chosen}
        fused = onnx_from_module(fuser, example_context(model.config), FUSER_INPUTS, model.task_set.names)
        report = {
            "schema": SCHEMA,
            "kind": "quantized",
            **provenance(("torch", "nncf", "onnx"), seed),
            **_contract(model),
            "run": _origin(run_folder, run),
            "golden": "golden/golden.json",
            "confidence": known,
            "dialects": written,
            "fuser": _write_graph(folder, "fuser.onnx", fused),
            "calibration": calibration.record | {"slots": CALIBRATION_SLOTS, "used": len(steps)},
        }
        write_json(folder / MARKER, report)
    return report


def encoder_of(model: UVM3TL, steps: list[Any], some: Dialect) -> nn.Module:
    """The encoder as this dialect wants it. model: folded."""
    encoder = EncoderGraph(model).eval()
    if some.weight_bits == 32:
        return encoder
    say(f"quantizing for {some.name}: {some.why}")
    started = time.monotonic()
    quantized = quantized_encoder(encoder, steps, some)
    say(f"  {time.monotonic() - started:.0f} s")
    return quantized


def _confidence(model: UVM3TL, refs: Sequence[ClipRef]) -> dict[str, Any]:
    clips = load_clips(refs, model.config, model.task_set)
    return confidence(labels_of(clips), predict(model, clips))


def _emit(folder: Path, some: Dialect, encoder: nn.Module, model: UVM3TL) -> dict[str, Any]:
    if some.weight_bits != 32:
        export_as_qdq(encoder)
    graph = onnx_from_module(encoder, example_step(model.config), ENCODER_INPUTS, ENCODER_OUTPUTS)
    entry = _write_graph(folder, f"{some.name}/encoder.onnx", graph)
    say(f"  {some.name}: encoder {entry['bytes'] / 1e6:.2f} MB")
    return {"engine": some.engine, "requires": some.requires, "why": some.why, "encoder": entry}


def _write_graph(folder: Path, path: str, graph: onnx.ModelProto) -> dict[str, Any]:
    data = graph.SerializeToString(deterministic=True)
    (folder / path).parent.mkdir(exist_ok=True)
    (folder / path).write_bytes(data)
    return {"path": path, "sha256": sha256(data), "bytes": len(data)}


def _contract(model: UVM3TL) -> dict[str, Any]:
    """What a device must know to feed the graphs and to read their answers."""
    config = model.config
    streams = [
        {
            "name": s,
            "kind": "joints" if s in JOINTS else "image",
            "size": POINTS_OF[s] if s in JOINTS else config.size_px(s),
            "feature": config.feature_shape(s),
            "slot": config.slot_shape(s),
        }
        for s in STREAMS
    ]
    context = {"slots": config.slots, "slot_s": CONTEXT.slot_s, "tolerance_s": CONTEXT.tolerance_s}
    return {"task_set": model.task_set.name, "color": "bgr", "streams": streams, "context": context}


def _origin(folder: Path, run: Run) -> dict[str, Any]:
    kept = ("size", "data", "class_counts", "train", "test", "test_clips", "git_commit", "created")
    weights = sha256((folder / "model.safetensors").read_bytes())
    return {
        "weights_sha256": weights,
        "subsets": _subsets(folder, weights),
        **{key: run.meta[key] for key in kept},
    }


def _subsets(folder: Path, weights_sha256: str) -> list[dict[str, Any]]:
    """Accuracy with each set of cameras, if `training.evaluate --subsets` measured these weights; else nothing."""
    path = folder / "evaluation-test" / "report.json"
    if not path.is_file():
        return []
    report = json.loads(path.read_text(encoding="utf-8"))
    if report["run"]["weights_sha256"] != weights_sha256:
        say(f"{path} is of other weights: accuracy by set of cameras is left out")
        return []
    return [
        {
            "views": row["views"],
            "answered": row["answered"],
            "accuracy": {task: round(row["tasks"][task]["accuracy"], 4) for task in row["answered"]},
            "clips": report["n"],
        }
        for row in report["subsets"]
    ]


def say(text: str) -> None:
    sys.stderr.write(text + "\n")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m quantize.run",
        description="Quantize a run to INT8 and export one graph pair per dialect.",
        epilog="example: python -m quantize.run out/run --data out/data --out out/quantized",
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="the data set that the run was trained on")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dialect", action="append", choices=DIALECTS, help="repeat for several; all if not given")
    parser.add_argument("--clips", type=int, default=64, help="calibration clips")
    parser.add_argument("--golden", type=int, default=2, help="clips to record as golden vectors")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print the report")
    args = parser.parse_args(argv)
    try:
        names = args.dialect or list(DIALECTS)
        report = quantize(args.run, args.data, args.out, names, args.clips, args.seed, args.golden)
    except CodriverError as error:
        sys.stderr.write(f"quantize.run: {error}\n")
        return 2
    sys.stdout.write(json.dumps(report) + "\n" if args.json else f"quantized: {args.out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
