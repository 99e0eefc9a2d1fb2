"""A floor for the latency of graphs on targets that need not be at hand, and what bounds each layer.

    python -m targets.estimate out/quantized --target orin-nx-16gb-25w
    python -m targets.estimate out/quantized --all --out floors.html
    python -m targets.estimate model.onnx --target rtx-4090 --shape image=1,3,640,640
    python -m targets.estimate out/quantized --measure my-cpu.toml

Predicted, never measured: see roofline.py for what is counted. With --measure the prediction is put beside what this
machine's ONNX Runtime takes, and the profile that it was made with is kept.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx

from codriver.console import put, put_json, say, table
from codriver.device.cpu import default_threads
from codriver.device.machine import describe_machine
from codriver.errors import ConfigError
from targets.list import add_profiles_argument
from targets.profiles.profile import Profile, ProfileFile, load_profile, names
from targets.roofline.graph import SizedGraph, read_graph
from targets.roofline.graph_sources import GraphSource, open_source
from targets.roofline.kernels import kernels_of
from targets.roofline.measure import best_of_rounds, measured_profile
from targets.roofline.roofline import BOUNDS, Floor, float_bytes, layers_on
from workshop.artifacts import provenance, write_text
from workshop.command import command
from workshop.onnx_files.shapes import Shapes, add_shape_argument, declared_inputs, with_shapes

LABEL = "A floor, predicted from the graphs and the profile; never a measurement."
SHOWN = 12  # slowest layers


NO_SHAPES = Shapes({}, "python -m targets.estimate MODEL --target NAME")


def estimate(source: GraphSource, profile: Profile, shapes: Shapes = NO_SHAPES) -> list[Floor]:
    """The floor of each graph that a step runs on this target. shapes: of inputs that the files leave open."""
    found = []
    chosen = source.graphs_for(profile)
    graphs = [_graph(source.folder / path, shapes) for _, path, _ in chosen]
    shapes.require_known({name for graph in graphs for name in graph.inputs})
    for (name, path, engine), graph in zip(chosen, graphs, strict=True):
        kernels = kernels_of(graph, engine, float_bytes(profile))
        found.append(Floor(name, path, layers_on(kernels, profile)))
    return found


_read: dict[tuple[Path, str], SizedGraph] = {}


def _graph(path: Path, shapes: Shapes) -> SizedGraph:
    """Read once: many targets share a graph."""
    key = (path, repr(sorted(shapes.given.items())))
    if key not in _read:
        _read[key] = read_graph(path, shapes)
    return _read[key]


def page(profile: Profile, floors: Sequence[Floor]) -> str:
    """One target for people."""
    lines = [f"{profile.name}: {profile.title}", LABEL, ""]
    head = ("graph", "kernels", "MMAC", "INT8 %", "MB moved", *(f"{bound} ms" for bound in BOUNDS), "floor ms")
    lines += table([head, *(_row(floor) for floor in floors)], numbers_from=1)
    total_ms = sum(floor.time_ms for floor in floors)
    look_ms = sum(floor.time_ms for floor in floors if floor.graph == "finder")
    look = f", {look_ms:.3f} ms of it in those that look for the driver" if look_ms else ""
    lines += ["", f"a step takes at least {total_ms:.3f} ms{look}; {verdict(profile, total_ms)}", "", "slowest layers"]
    layers = sorted((x for floor in floors for x in floor.layers), key=lambda layer: -layer.time_us)[:SHOWN]
    head = ("layer", "nodes", "as", "MMAC", "kB", "floor us", "bound by")
    lines += table([head, *(_layer_row(layer) for layer in layers)], numbers_from=3)
    return "\n".join(lines)


def verdict(profile: Profile, total_ms: float) -> str:
    budget_ms = profile.latency_budget_ms
    if total_ms > budget_ms:
        return f"it cannot keep the budget of {budget_ms:g} ms"
    return f"the budget of {budget_ms:g} ms is {budget_ms / max(total_ms, 1e-9):.0f} times that"


def _row(floor: Floor) -> tuple[str, ...]:
    bounds = (f"{floor.bound_ms(bound):.3f}" for bound in BOUNDS)
    macs, moved = f"{floor.macs / 1e6:.1f}", f"{floor.bytes / 1e6:.2f}"
    share = f"{100 * floor.int8_share:.0f}"
    return (
        f"{floor.graph} ({floor.path})",
        str(len(floor.layers)),
        macs,
        share,
        moved,
        *bounds,
        f"{floor.time_ms:.3f}",
    )


def _layer_row(layer: Any) -> tuple[str, ...]:
    kernel = layer.kernel
    name = kernel.name if len(kernel.name) <= 48 else f"…{kernel.name[-47:]}"
    ops = kernel.ops.replace("QuantizeLinear", "Q").replace("DeQ", "DQ")
    numbers = (f"{kernel.macs / 1e6:.2f}", f"{kernel.bytes / 1e3:.0f}", f"{layer.time_us:.1f}")
    return (name, ops, kernel.precision, *numbers, layer.bound)


def summary(results: Sequence[tuple[Profile, list[Floor]]]) -> str:
    """All targets, one line each."""
    head = ("target", "graph", *(f"{bound} ms" for bound in BOUNDS), "floor ms", "budget ms")
    rows = []
    for profile, floors in results:
        bounds = (f"{sum(floor.bound_ms(bound) for floor in floors):.3f}" for bound in BOUNDS)
        total_ms = sum(floor.time_ms for floor in floors)
        rows.append((profile.name, floors[0].path, *bounds, f"{total_ms:.3f}", f"{profile.latency_budget_ms:g}"))
    return "\n".join([LABEL, "", *table([head, *rows], numbers_from=2)])


def to_json(profile: Profile, floors: Sequence[Floor]) -> dict[str, Any]:
    return {
        "target": profile.name,
        "floor_ms": sum(floor.time_ms for floor in floors),
        "budget_ms": profile.latency_budget_ms,
        "graphs": [
            {
                "graph": floor.graph,
                "path": floor.path,
                "floor_ms": floor.time_ms,
                "macs": floor.macs,
                "int8_share": floor.int8_share,
                "bytes": floor.bytes,
                "bound_ms": {bound: floor.bound_ms(bound) for bound in BOUNDS},
                "layers": [asdict(layer) | {"time_us": layer.time_us, "bound": layer.bound} for layer in floor.layers],
            }
            for floor in floors
        ],
    }


def compare(source: GraphSource | None, out: Path, threads: int, shapes: Shapes = NO_SHAPES) -> dict[str, Any]:
    """Write this machine's profile; predict with it, and time, every graph that ONNX Runtime can run."""
    if out.suffix != ".toml":
        raise ConfigError(f"--measure {out}: a profile is a file NAME.toml, and NAME becomes the target's")
    paths, folder = (source.onnx_paths(), source.folder) if source else ([], Path())
    graphs = [_graph(folder / path, shapes) for path in paths]
    shapes.require_known({name for graph in graphs for name in graph.inputs})
    models = [_sized(folder / path, shapes) for path in paths]
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, measured_profile(threads))
    profile = ProfileFile(out).profile(out.stem)
    took_s = best_of_rounds(models, threads) if source else []
    rows = []
    for path, graph, measured_s in zip(paths, graphs, took_s, strict=True):
        floor = Floor("", path, layers_on(kernels_of(graph, "onnxruntime"), profile))
        rows.append({"path": path, "floor_ms": floor.time_ms, "measured_ms": measured_s * 1e3})
    return {"profile": asdict(profile), "threads": threads, "machine": describe_machine(), "graphs": rows}


def _sized(path: Path, shapes: Shapes) -> onnx.ModelProto:
    model = onnx.load(str(path))
    declared = declared_inputs(model)
    settled = shapes.among(list(declared)).settled(declared)
    return model if settled == declared else onnx.shape_inference.infer_shapes(with_shapes(model, settled))


def compare_page(result: dict[str, Any], out: Path) -> str:
    profile = result["profile"]
    keys = ("int8_dense_tops", "fp32_tflops", "bandwidth_gb_per_s", "launch_us", "recode_ns", "gather_ns", "maximum_ns")
    lines = [f"profile of this machine: {out}", "  ".join(f"{key} {profile[key]:g}" for key in keys)]
    if result["graphs"]:
        clock = "processor time" if result["threads"] == 1 else "time on the wall"
        lines += ["", f"best {clock} of many runs, {result['threads']} thread(s), {result['machine']['cpu']}"]
        lines += ["every graph in ONNX Runtime, those made for another runtime or processor too", ""]
        rows = [
            (r["path"], f"{r['floor_ms']:.3f}", f"{r['measured_ms']:.3f}", f"{r['floor_ms'] / r['measured_ms']:.2f}")
            for r in result["graphs"]
        ]
        lines += table([("graph", "predicted ms", "measured ms", "ratio"), *rows], numbers_from=1)
    return "\n".join(lines)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m targets.estimate",
        description="Predict a floor for the latency of graphs on targets, from multiply-accumulates and bytes moved.",
        epilog="example: python -m targets.estimate out/quantized --target orin-nx-16gb-25w --target rtx-4090",
    )
    parser.add_argument("model", type=Path, nargs="?", help="an ONNX file, a bundle, or a folder of quantize.run")
    parser.add_argument(
        "--target", action="append", default=[], help="a name that targets.list prints; repeat for more"
    )
    parser.add_argument("--all", action="store_true", help="every target, one line each")
    add_profiles_argument(parser)
    add_shape_argument(parser)
    parser.add_argument("--out", type=Path, help="page with the rooflines to write, self-contained HTML")
    parser.add_argument("--measure", type=Path, metavar="FILE.toml", help="measure this CPU, write its profile there")
    parser.add_argument("--threads", type=int, default=default_threads(), help="for --measure; default: physical cores")
    parser.add_argument("--json", action="store_true")
    return parser


def _measure(args: argparse.Namespace) -> None:
    shapes = Shapes.read(args.shape, f"python -m targets.estimate {args.model} --measure {args.measure}")
    result = compare(open_source(args.model) if args.model else None, args.measure, args.threads, shapes)
    if args.json:
        put_json(result | provenance(("onnxruntime", "onnx"), None))
    else:
        put(compare_page(result, args.measure))


def _estimate(args: argparse.Namespace) -> None:
    if args.model is None or bool(args.target) == args.all:
        raise ConfigError("give a model, and either --target NAME or --all; targets.list prints the names")
    source = open_source(args.model)
    chosen = names(args.profiles) if args.all else args.target
    profiles = [load_profile(name, args.profiles) for name in chosen]
    asked = "--all" if args.all else " ".join(f"--target {name}" for name in args.target)
    shapes = Shapes.read(args.shape, f"python -m targets.estimate {args.model} {asked}")
    results = [(profile, estimate(source, profile, shapes)) for profile in profiles]
    if args.out:
        from targets.roofline.page import floors_page

        write_text(args.out, floors_page(args.model.name, results))
    if args.json:
        targets = [to_json(profile, floors) for profile, floors in results]
        put_json({"kind": "floor", "label": LABEL, **provenance(("onnx",), None), "targets": targets})
    elif len(results) == 1:
        put(page(*results[0]))
    else:
        put(summary(results))
    for note in dict.fromkeys(source.notes):
        say(note)


@command("targets.estimate")
def main(argv: Sequence[str] | None = None) -> int:
    args = make_parser().parse_args(argv)
    _measure(args) if args.measure else _estimate(args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
