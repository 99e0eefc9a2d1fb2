"""Audit a graph: which share of its multiply-accumulates really runs in INT8, and what the rest costs.

python -m quantize.audit GRAPH --runtime onnxruntime
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from codriver.console import put, put_json, table
from quantize.executed import openvino, ort, tensorrt
from quantize.executed.layers import Executed, Layer
from quantize.lint import printable
from quantize.rules.mend import check
from quantize.rules.read import GraphError, read_model
from workshop.command import command

SCHEMA = 1
RUNTIMES = ("onnxruntime", "openvino", "tensorrt")
SHOWN = 20  # float layers that people get to see; --json has all
NO_INT8 = "nothing to count: the graph has no convolution and no matrix product"


def audit(path: Path, runtime: str, *, threads: int = 1, runs: int = 20) -> Executed:
    """Run the graph on made-up inputs and read what the runtime executed. GraphError or EngineError if it cannot."""
    if path.suffix != ".xml":
        check(read_model(path), f"{path} is not valid ONNX")  # in one line, before a runtime says it in many
    elif runtime != "openvino" or not path.is_file():
        raise GraphError(f"{path}: {runtime} reads no OpenVINO IR" if path.is_file() else f"{path} does not exist")
    if runtime == "tensorrt":
        return tensorrt.executed(path)
    return {"onnxruntime": ort, "openvino": openvino}[runtime].executed(path, threads=threads, runs=runs)


def summary(found: Executed) -> str:
    if found.share is None:
        return NO_INT8
    verb = "would run" if found.predicted else "run"
    return f"{found.share:.2%} of {found.macs:,} multiply-accumulates {verb} in INT8"


def report_lines(name: str, found: Executed) -> list[str]:
    what = "prediction by" if found.predicted else "executed by"
    how = "" if found.runs is None else f", {_count(found.threads, 'thread')}, median of {found.runs} runs"
    lines = [f"{name}, {what} {found.runtime}{how}: {summary(found)}", ""]
    idle = [layer for layer in found.layers if layer.macs == 0]
    groups = [("in INT8", [layer for layer in found.counted if layer.int8]), ("in floating point", found.in_float)]
    groups += [("not counted", found.uncounted)] if found.uncounted else []
    groups += [("without multiplication", idle)] if idle else []
    rows = [("", "layers", "MACs", "share", "ms")]
    rows += [(label, str(len(some)), *_cells(some, found)) for label, some in groups]
    lines += table(rows, numbers_from=1)
    stays = found.in_float + found.uncounted
    if stays:
        rows = [("stays in floating point", "kind", "MACs", "share", "ms")]
        rows += [(printable(one.name), one.kind, *_cells([one], found)) for one in stays[:SHOWN]]
        lines += ["", *table(rows, numbers_from=2)]
    return lines + ([f"and {len(stays) - SHOWN} more: --json has them all"] if len(stays) > SHOWN else [])


def _cells(layers: Sequence[Layer], found: Executed) -> tuple[str, str, str]:
    macs = sum(layer.macs or 0 for layer in layers)
    known = bool(layers) and all(layer.macs is not None for layer in layers)
    share = f"{macs / found.macs:.2%}" if known and macs and found.macs else ""
    times = [layer.ms for layer in layers if layer.ms is not None]
    return f"{macs:,}" if known and macs else "", share, f"{sum(times):.3f}" if times else ""


def _count(number: int | None, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def as_json(name: str, found: Executed) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "kind": "audit",
        "file": name,
        "runtime": found.runtime,
        "predicted": found.predicted,
        "threads": found.threads,
        "runs": found.runs,
        "macs": found.macs,
        "int8_share": found.share,
        "stays_in_float": [asdict(layer) for layer in found.in_float],
        "not_counted": [asdict(layer) for layer in found.uncounted],
        "layers": [asdict(layer) for layer in found.layers],
    }


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m quantize.audit",
        description="Which share of a graph's multiply-accumulates really runs in INT8, read from what the runtime "
        "executes. For TensorRT it is a prediction from the graph. Exit: 0 done, 1 below --at-least, 2 wrong use.",
        epilog="example: python -m quantize.audit encoder.onnx --runtime onnxruntime --at-least 99",
    )
    parser.add_argument("graph", type=Path, help="an ONNX file, or OpenVINO's .xml")
    parser.add_argument("--runtime", choices=RUNTIMES, required=True)
    parser.add_argument("--at-least", type=float, metavar="PERCENT", help="fail if less runs in INT8")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=20, help="timed runs, after one to warm up")
    parser.add_argument("--json", action="store_true", help="print for machines")
    return parser


@command("quantize.audit")
def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    if args.threads < 1 or args.runs < 1:
        raise GraphError(f"--threads {args.threads} and --runs {args.runs} must be at least 1")
    found = audit(args.graph, args.runtime, threads=args.threads, runs=args.runs)
    if args.json:
        put_json(as_json(str(args.graph), found))
    else:
        put("\n".join(report_lines(str(args.graph), found)))
    if args.at_least is not None and (found.share or 0) * 100 < args.at_least:
        sys.stderr.write(f"quantize.audit: {summary(found)}, at least {args.at_least:g} % is wanted\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
