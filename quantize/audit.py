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

import onnx

from codriver.console import put, put_json, table
from codriver.errors import EngineError
from quantize.executed import openvino, ort, tensorrt
from quantize.executed.judged import dialect_of, errors, judged
from quantize.executed.layers import Executed, ExecutedLayer, together
from quantize.lint import lint, printable
from quantize.rules.dialects import VALID
from quantize.rules.read import GraphError, read_model
from quantize.rules.view import GraphView
from workshop.command import command
from workshop.onnx_files.shapes import Shapes, add_shape_argument

SCHEMA = 1
RUNTIMES = ("onnxruntime", "openvino", "tensorrt")
PARTS = ("encoder", "fuser")  # of a step
SHOWN = 20  # float layers that people get to see; --json has all
NO_INT8 = "nothing to count: the graph has no convolution and no matrix product"


def audit(path: Path, runtime: str, shapes: Shapes | None = None, *, threads: int = 1, runs: int = 20) -> Executed:
    """Run the graph on made-up values, read what the runtime executed, and hear what the linter says of its numbers.

    path: a graph, or a folder with the two of a step, which are counted together. shapes: of inputs that the file
    leaves open. A CodriverError if the graph cannot run or a size is missing.
    """
    if path.is_dir():
        parts = {part: _graph_in(path, part) for part in PARTS}
        return together({name: audit(p, runtime, shapes, threads=threads, runs=runs) for name, p in parts.items()})
    shapes = shapes or Shapes({}, f"python -m quantize.audit {path} --runtime {runtime}")
    if path.suffix == ".xml":
        if runtime != "openvino" or not path.is_file():
            raise GraphError(f"{path}: {runtime} reads no OpenVINO IR" if path.is_file() else f"{path} does not exist")
        return openvino.executed(path, shapes, threads=threads, runs=runs)
    model = read_model(path)
    dialect = dialect_of(runtime)
    found = lint(model, dialect)
    faults = errors(found.findings, dialect)
    invalid = next((fault for fault in faults if fault.rule == VALID.number), None)
    if invalid is not None:
        raise GraphError(f"{path} is not valid ONNX: {invalid.what}")
    try:
        ran = _ran(path, model, runtime, shapes, threads, runs)
    except EngineError as error:
        told = f"; the linter finds rule {faults[0].rule}, {faults[0].where}: {faults[0].what}" if faults else ""
        raise EngineError(f"{error}{told}") from error
    return judged(ran, GraphView(model), faults) if faults else ran


def _graph_in(folder: Path, part: str) -> Path:
    for suffix in (".onnx", ".xml"):
        if (folder / f"{part}{suffix}").is_file():
            return folder / f"{part}{suffix}"
    raise GraphError(f"{folder} has no {part}.onnx or {part}.xml; name a graph, or a folder with {' and '.join(PARTS)}")


def _ran(path: Path, model: onnx.ModelProto, runtime: str, shapes: Shapes, threads: int, runs: int) -> Executed:
    if runtime == "tensorrt":
        return tensorrt.executed(model, shapes)
    look = {"onnxruntime": ort.executed, "openvino": openvino.executed}[runtime]
    return look(path, shapes, threads=threads, runs=runs)


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
    groups = [("in INT8", [layer for layer in found.counted if layer.int8])]
    groups += [("in floating point", [layer for layer in found.in_float if not layer.fault])]
    faulty = [layer for layer in found.in_float if layer.fault]
    groups += [("with an error", faulty)] if faulty else []
    groups += [("not counted", found.uncounted)] if found.uncounted else []
    groups += [("without multiplication", idle)] if idle else []
    rows = [("", "layers", "MACs", "share", "ms")]
    rows += [(label, str(len(some)), *_cells(some, found)) for label, some in groups]
    lines += table(rows, numbers_from=1)
    stays = found.in_float + found.uncounted
    if stays:
        rows = [("not in INT8", "kind", "MACs", "share", "ms")]
        rows += [(printable(one.name), one.kind, *_cells([one], found)) for one in stays[:SHOWN]]
        lines += ["", *table(rows, numbers_from=2)]
    if found.errors:
        lines += ["", "errors of the linter"]
        lines += table([(f"rule {e.rule}", printable(e.where), printable(e.what)) for e in found.errors[:SHOWN]])
    return lines + ([f"and {len(stays) - SHOWN} more: --json has them all"] if len(stays) > SHOWN else [])


def _cells(layers: Sequence[ExecutedLayer], found: Executed) -> tuple[str, str, str]:
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
        "errors": [asdict(error) for error in found.errors],
        "stays_in_float": [asdict(layer) for layer in found.in_float],
        "not_counted": [asdict(layer) for layer in found.uncounted],
        "layers": [asdict(layer) for layer in found.layers],
    }


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m quantize.audit",
        description="Which share of a graph's multiply-accumulates really runs in INT8, read from what the runtime "
        "executes. For TensorRT it is a prediction from the graph. Exit: 0 done, 1 below --at-least or an error of the "
        "linter, 2 wrong use.",
        epilog="example: python -m quantize.audit encoder.onnx --runtime onnxruntime --at-least 99",
    )
    parser.add_argument("graph", type=Path, help="an ONNX file, OpenVINO's .xml, or a folder with encoder and fuser")
    parser.add_argument("--runtime", choices=RUNTIMES, required=True)
    add_shape_argument(parser)
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
    shapes = Shapes.read(args.shape, f"python -m quantize.audit {args.graph} --runtime {args.runtime}")
    found = audit(args.graph, args.runtime, shapes, threads=args.threads, runs=args.runs)
    if args.json:
        put_json(as_json(str(args.graph), found))
    else:
        put("\n".join(report_lines(str(args.graph), found)))
    return verdict(found, args)


def verdict(found: Executed, args: argparse.Namespace) -> int:
    """Exit status, and on stderr why it is not 0."""
    code = 0
    if args.at_least is not None and (found.share or 0) * 100 < args.at_least:
        sys.stderr.write(f"quantize.audit: {summary(found)}, at least {args.at_least:g} % is wanted\n")
        code = 1
    if found.errors:
        first = found.errors[0]
        told = f"rule {first.rule}, {first.where}: {first.what}"
        more = f"python -m quantize.lint {args.graph} --dialect {dialect_of(args.runtime)}"
        count = _count(len(found.errors), "error")
        sys.stderr.write(f"quantize.audit: the linter finds {count}, first {printable(told)}; see {more}\n")
        code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
