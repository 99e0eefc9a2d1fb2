"""The step beside what a user would write instead, in turns in one process.

    python -m tests.untrained --size edge --data DATA --out out/untrained
    python -m quantize.run out/untrained --data DATA --out out/quantized --dialect fp32 --dialect ort-x86-7bit
    python -m tests.measure_peers out/quantized --threads 2 --out peers.json --picture peers.svg

On every new moment codriver encodes one frame of each camera and reads the fifteen moments that it remembers. Without a
memory the same network sees the whole clip again; the networks of the family's published sizes (tests/peers.py, random
weights) know no other way. Graphs alone: frames are resized already, in all of these ways alike.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from codriver.arrays import Arrays
from codriver.console import Progress
from codriver.device.cpu import cpu_features
from codriver.device.machine import describe_machine
from codriver.engines import open_engine
from codriver.engines.base import Engine, GraphFiles, Signature
from codriver.tasks import GROUPS, STREAMS
from quantize.export.fake_quant import CONFIG
from quantize.graphs.graphs import ENCODER_INPUTS, example_step
from quantize.parity.runners import EngineGraphs, any_rows, signatures
from tests.peers import PEERS, example
from training.model.uvm3tl import ModelConfig
from workshop.artifacts import provenance, write_json, write_text
from workshop.command import command
from workshop.emitted_dialect import EmittedGraph
from workshop.figures import BLUE, SOFT, blank, dress, svg
from workshop.quantized_report import QuantizedReport

SCHEMA, SLOTS = 1, 16
Way = Callable[[], Any]


def engines_of(folder: Path, report: QuantizedReport, name: str, threads: int) -> EngineGraphs:
    some = report.dialect(name)

    def opened(graph: EmittedGraph, signature: Signature) -> Engine:
        weights = (folder / graph.weights.path).read_bytes() if graph.weights else b""
        files = GraphFiles((folder / graph.path).read_bytes(), weights)
        return open_engine(some.engine, files, signature, threads=threads)

    takes, gives = signatures(report)
    return EngineGraphs(opened(some.encoder, takes), opened(some.fuser, gives))


def moments(config: ModelConfig, count: int) -> tuple[Arrays, Arrays, Arrays]:
    """Frames, features before and motions before of so many moments, random, by group."""
    random = np.random.default_rng(0)
    parts: tuple[Arrays, Arrays, Arrays] = ({}, {}, {})
    for name, tensor in zip(ENCODER_INPUTS, example_step(config), strict=True):
        shape = (count * tensor.shape[0], *tensor.shape[1:])
        pixels = tensor.dtype == torch.uint8
        values = random.integers(0, 256, shape, np.uint8) if pixels else random.random(shape, np.float32)
        parts[2 if name.endswith("_motion_before") else 1 if name.endswith("_before") else 0][
            name.partition("_")[0]
        ] = values
    return parts


def context(config: ModelConfig) -> tuple[Arrays, np.ndarray[Any, Any]]:
    random = np.random.default_rng(1)
    slots = {s: random.random((1, SLOTS, *config.slot_shape(s)), np.float32) for s in STREAMS}
    return slots, np.ones((1, len(STREAMS), SLOTS), np.float32)


def plain_clip(folder: Path, report: QuantizedReport, config: ModelConfig, threads: int) -> Way:
    """Both graphs as any user of ONNX Runtime opens them: all moments of the clip in one batch, then the fuser."""
    graphs = report.dialect("fp32")
    encoder = session(any_rows(onnx.load(folder / graphs.encoder.path)).SerializeToString(), threads)
    fuser = session((folder / graphs.fuser.path).read_bytes(), threads)
    frames, before, motions = moments(config, SLOTS)
    slots, mask = context(config)
    given = frames | {f"{g}_before": before[g] for g in GROUPS} | {f"{g}_motion_before": motions[g] for g in GROUPS}
    read = {f"{s}_slot": some for s, some in slots.items()} | {"mask": mask}
    return lambda: (encoder.run(None, given), fuser.run(None, read))


def session(model: bytes, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def peer_way(peer: type[torch.nn.Module], threads: int) -> Way:
    given = example(peer)
    names = list(peer.inputs)  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "peer.onnx"
        torch.onnx.export(peer().eval(), given, str(path), input_names=names, opset_version=17, dynamo=False)
        opened = session(path.read_bytes(), threads)
    fed = {name: some.numpy() for name, some in zip(names, given, strict=True)}
    return lambda: opened.run(None, fed)


def all_ways(folder: Path, threads: int) -> dict[str, Way]:
    report = QuantizedReport.read(folder)
    config = ModelConfig.from_dict(json.loads((folder / "fp32" / CONFIG).read_text(encoding="utf-8"))["model"])
    now, clip, read = moments(config, 1), moments(config, SLOTS), context(config)
    ways: dict[str, Way] = {}
    for name, label in (("ort-x86-7bit", "ONNX Runtime"), ("ort-x86", "ONNX Runtime"), ("openvino", "OpenVINO")):
        if name in report.dialects:
            graphs = engines_of(folder, report, name, threads)
            ways[f"codriver's step, INT8, {label} ({name})"] = lambda g=graphs: (g.encode(*now), g.fuse(*read))
            if name == "openvino":
                ways["the same INT8 graphs on the whole clip, OpenVINO"] = lambda g=graphs: (
                    g.encode(*clip),
                    g.fuse(*read),
                )
    ways["the same network, FP32, on the whole clip, ONNX Runtime"] = plain_clip(folder, report, config, threads)
    for name, peer in PEERS.items():
        ways[f"{name}, FP32, ONNX Runtime"] = peer_way(peer, threads)
    return ways


def in_turns(ways: Mapping[str, Way], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each way, one of each a round, in an order drawn anew."""
    random = np.random.default_rng(0)
    times_ms: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    with Progress("peers", total=rounds) as progress:
        for _ in range(rounds):
            for name in random.permutation(list(ways)).tolist():
                started = time.perf_counter()
                ways[name]()
                times_ms[name].append((time.perf_counter() - started) * 1e3)
            progress.step()
    return times_ms


def rows_of(times_ms: Mapping[str, list[float]]) -> dict[str, Any]:
    """Of each way its times, and how many of codriver's fastest steps fit into it, round by round."""
    own = [name for name in times_ms if name.startswith("codriver")]
    fastest = min(own, key=lambda name: float(np.median(times_ms[name])))
    found = {}
    for name, values in times_ms.items():
        low, middle, high = np.percentile(np.array(values) / times_ms[fastest], (25, 50, 75)).tolist()
        found[name] = {"p50_ms": float(np.median(values)), "least_ms": min(values), "steps": middle}
        found[name]["steps_quartiles"] = [low, high]
    return found


def draw(rows: Mapping[str, Any], about: str) -> bytes:
    figure = blank(9, 0.5 * len(rows) + 1)
    axes = figure.subplots()
    names = list(rows)[::-1]
    values = [rows[name]["steps"] for name in names]
    colours = [BLUE if name.startswith("codriver") else SOFT for name in names]
    axes.barh(names, values, color=colours, height=0.6)
    for place, value in enumerate(values):
        axes.text(value * 1.05, place, f"{value:,.1f}" if value < 10 else f"{value:,.0f}", va="center", fontsize=8)
    axes.set_xscale("log")
    axes.set_xlim(0.5, max(values) * 2.5)
    dress(axes, title=about, x="times as long as codriver's fastest step", grid="x")
    return svg(figure)


def page(result: Mapping[str, Any]) -> str:
    machine = result["machine"]
    head = f"{machine['cpu']}, {', '.join(machine['features'])}; {result['threads']} threads, {result['rounds']} rounds"
    lines = [head, f"{'p50 ms':>9} {'least':>9}   codriver's steps that fit into it (quartiles)"]
    for name, some in result["ways"].items():
        low, high = some["steps_quartiles"]
        lines.append(
            f"{some['p50_ms']:9.2f} {some['least_ms']:9.2f}   {some['steps']:7.3g} ({low:.3g} to {high:.3g})  {name}"
        )
    return "\n".join(lines)


@command("tests.measure_peers")
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.measure_peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("quantized", type=Path, help="folder of quantize.run, fp32 among its dialects")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--picture", type=Path, help="SVG file to write")
    args = parser.parse_args(argv)
    torch.manual_seed(0)
    times_ms = in_turns(all_ways(args.quantized, args.threads), args.rounds)
    report = QuantizedReport.read(args.quantized)
    machine: dict[str, Any] = describe_machine() | {"features": sorted(cpu_features())}
    result = {
        "schema": SCHEMA,
        "kind": "peers",
        **provenance(("onnxruntime", "openvino", "torch"), 0),
        "machine": machine,
        "size": report.run.size,
        "threads": args.threads,
        "rounds": args.rounds,
        "ways": rows_of(times_ms),
    }
    if args.out:
        write_json(args.out, result)
    if args.picture:
        write_text(args.picture, draw(result["ways"], f"One new moment, threads: {args.threads}").decode())
    sys.stdout.write(page(result) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
