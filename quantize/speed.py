"""INT8 against full precision: the encoder of a quantized folder, timed in turns in one process.

python -m quantize.speed Q --threads 1

Each round times every dialect once, in an order drawn anew, so that whatever else the machine does meets all alike;
the ratio is taken round by round against the full precision of the same runtime.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from codriver.arrays import Arrays
from codriver.console import Progress
from codriver.device.cpu import cpu_features
from codriver.device.machine import describe_machine
from codriver.engines import open_engine
from codriver.engines.base import Engine, GraphFiles, Signature, Tensor, describe
from codriver.tasks import GROUPS
from quantize.export.fake_quant import CONFIG
from quantize.graphs.graphs import ENCODER_INPUTS, ENCODER_OUTPUTS, example_step
from training.model.uvm3tl import ModelConfig
from workshop.artifacts import provenance
from workshop.command import command
from workshop.emitted_dialect import EmittedDialect
from workshop.quantized_report import QuantizedReport

SCHEMA = 1
REFERENCE = {"onnxruntime": "fp32", "openvino": "openvino-fp32"}  # by runtime, the dialect in full precision


def measure(quantized: Path, dialects: Sequence[str], threads: int, rounds: int) -> dict[str, Any]:
    """Times of one encoder step by dialect, in ms, and the ratio to full precision with its spread over the rounds."""
    report = QuantizedReport.read(quantized)
    chosen = list(dialects) or [name for name, some in report.dialects.items() if some.engine in REFERENCE]
    emitted = {name: report.dialect(name) for name in chosen}
    inputs, signature = step_of(quantized, chosen[0])
    engines = {name: opened(quantized, some, signature, threads) for name, some in emitted.items()}
    times_ms = in_turns(engines, inputs, rounds)
    return {
        "schema": SCHEMA,
        "kind": "speed",
        **provenance(("onnxruntime", "openvino"), 0),
        "machine": describe_machine() | {"features": sorted(cpu_features())},
        "threads": threads,
        "rounds": rounds,
        "dialects": {name: row(name, times_ms, some.engine) for name, some in emitted.items()},
    }


def step_of(quantized: Path, dialect: str) -> tuple[Arrays, Signature]:
    """Random pixels in the shapes of one step: times do not depend on values."""
    random = np.random.default_rng(0)
    content = json.loads((quantized / dialect / CONFIG).read_text(encoding="utf-8"))
    config = ModelConfig.from_dict(content["model"])
    inputs: Arrays = {}
    for name, tensor in zip(ENCODER_INPUTS, example_step(config), strict=True):
        values = tensor.numpy()
        drawn = random.integers(0, 256, values.shape) if values.dtype == np.uint8 else random.random(values.shape)
        inputs[name] = drawn.astype(values.dtype)
    shapes = [(len(m), *config.feature_shape(m[0])) for m in GROUPS.values()]
    shapes += 2 * [(len(m), *config.slot_shape(m[0])) for m in GROUPS.values()]  # motions, slots
    outputs = {name: Tensor("float32", shape) for name, shape in zip(ENCODER_OUTPUTS, shapes, strict=True)}
    return inputs, Signature(inputs=describe(inputs), outputs=outputs)


def opened(quantized: Path, emitted: EmittedDialect, signature: Signature, threads: int) -> Engine:
    encoder = emitted.encoder
    weights = (quantized / encoder.weights.path).read_bytes() if encoder.weights else b""
    graph = GraphFiles((quantized / encoder.path).read_bytes(), weights)
    return open_engine(emitted.engine, graph, signature, threads=threads)


def in_turns(engines: Mapping[str, Engine], inputs: Arrays, rounds: int) -> dict[str, list[float]]:
    random = np.random.default_rng(0)
    times_ms: dict[str, list[float]] = {name: [] for name in engines}
    for engine in engines.values():
        engine.infer(inputs)
        engine.infer(inputs)
    with Progress("speed", total=rounds) as progress:
        for _ in range(rounds):
            for name in random.permutation(list(engines)):
                started = time.perf_counter()
                engines[name].infer(inputs)
                times_ms[name].append((time.perf_counter() - started) * 1e3)
            progress.step()
    return times_ms


def row(name: str, times_ms: Mapping[str, list[float]], engine: str) -> dict[str, Any]:
    values = np.array(times_ms[name])
    found: dict[str, Any] = {"engine": engine, "p50_ms": float(np.median(values)), "least_ms": float(values.min())}
    reference = REFERENCE[engine]
    if reference in times_ms and reference != name:
        ratios = np.array(times_ms[reference]) / values
        low, middle, high = (float(x) for x in np.percentile(ratios, (25, 50, 75)))
        least = float(np.min(times_ms[reference]) / values.min())
        found |= {"faster": middle, "faster_quartiles": [low, high], "faster_least": least}
    return found


def page(result: Mapping[str, Any]) -> str:
    machine = result["machine"]
    head = f"{machine['cpu']}, {', '.join(machine['features'])}; {result['threads']} threads, {result['rounds']} rounds"
    lines = [head, f"{'dialect':16} {'p50 ms':>8} {'least ms':>9}   times faster than FP32 of the same runtime"]
    for name, some in result["dialects"].items():
        ratio = ""
        if "faster" in some:
            low, high = some["faster_quartiles"]
            ratio = (
                f"{some['faster']:.2f} (quartiles {low:.2f} to {high:.2f}), least by least {some['faster_least']:.2f}"
            )
        lines.append(f"{name:16} {some['p50_ms']:8.2f} {some['least_ms']:9.2f}   {ratio}")
    return "\n".join(lines)


@command("quantize.speed")
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m quantize.speed",
        description="Time the encoder of each dialect against full precision of the same runtime, in turns.",
        epilog="example: python -m quantize.speed out/quantized --threads 1",
    )
    parser.add_argument("quantized", type=Path)
    parser.add_argument("--dialect", action="append", default=[], help="repeat for several; default: all that run here")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    args = parser.parse_args(argv)
    result = measure(args.quantized, args.dialect, args.threads, args.rounds)
    sys.stdout.write((json.dumps(result) if args.json else page(result)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
