"""Which quantizer costs which task how much, and which layers must stay in floating point to keep a budget.

    python -m quantize.sensitivity Q --run RUN --data DATA --dialect ort-x86
    python -m quantize.sensitivity Q --run RUN --data DATA --dialect ort-x86 --budget 0.002

Measured on validation clips: test clips are for the proof. Leaves Q/sensitivity-DIALECT.json and .svg, and adds them to
Q/report.html. Exit code 1 if the budget cannot be met.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from codriver.console import Progress, put, say, table
from codriver.device.machine import describe_machine
from codriver.errors import ConfigError
from codriver.files.atomic import whole_file
from codriver.tasks import AIDE
from quantize.export.fake_quant import load_fake_quant
from quantize.graphs.graphs import example_step
from quantize.precision.bench import Bench, validation_clips
from quantize.precision.layers import layers_of, readable
from quantize.precision.search import MEASURES, Budget, costs_ms, fewest_layers, parse_budget
from quantize.prove import refuse_other_run
from training.finder.lookout import driver_by, make_lookout
from workshop.artifacts import provenance, write_json
from workshop.command import command
from workshop.quantized_report import QuantizedReport

SCHEMA = 1
ALONE, WITHOUT = "alone", "without"


@dataclass(frozen=True, kw_only=True)
class SensitivityConfig:
    clips: int = 32  # validation clips, stratified as calibration's are
    seed: int = 0
    batch: int = 16
    finder: Path | None = None  # clips are as it sees them; None: as annotated
    method: str = ALONE  # each quantizer alone in a full-precision model; or the INT8 model without it


def rank(bench: Bench, method: str) -> list[dict[str, Any]]:
    """One row a quantizer, the costliest first: its losses, task by task.

    alone: against full precision, of the model with this quantizer only. without: how much less the INT8 model loses
    when this quantizer is off; below zero where it does good.
    """
    full = bench.losses(bench.names)
    rows = []
    with Progress("sensitivity", total=len(bench.names)) as progress:
        for name in bench.names:
            enabled = {name} if method == ALONE else set(bench.names) - {name}
            found = bench.losses(enabled)
            if method == WITHOUT:
                found = {
                    task: {key: full[task][key] - value for key, value in row.items()} for task, row in found.items()
                }
            rows.append({"name": readable(name), "hook": name, "losses": found})
            progress.step()
    return sorted(rows, key=lambda row: -max(loss["mean_abs"] for loss in row["losses"].values()))


def removal_curve(bench: Bench, rows: Sequence[Mapping[str, Any]], counts: Sequence[int]) -> dict[str, float]:
    """How good a ranking is: what is lost, mean over tasks, when its first 1, 2, 4, ... quantizers are off."""
    curve = {}
    for count in (some for some in counts if some <= len(rows)):
        off = {row["hook"] for row in rows[:count]}
        found = bench.losses(set(bench.names) - off)
        curve[str(count)] = float(np.mean([row["mean_abs"] for row in found.values()]))
    return curve


def sensitivity(
    folder: Path, run: Path, data: Path, dialect: str, budget: Budget | None, config: SensitivityConfig
) -> dict[str, Any]:
    """Rank, and search if there is a budget. Writes JSON, picture and page; returns the JSON."""
    from quantize.report.page import write_page
    from quantize.report.pictures import sensitivity_figure
    from workshop.figures import svg

    report = QuantizedReport.read(folder)
    refuse_other_run(run, report)
    if dialect not in report.dialects or dialect == "fp32":
        there = ", ".join(name for name in report.dialects if name != "fp32")
        raise ConfigError(f"dialect {dialect!r} has no quantizers in this folder; choose from {there}")
    pair = load_fake_quant(folder, dialect)
    model = pair.model
    lookout = make_lookout(config.finder) if config.finder else None
    clips, digest = validation_clips(data, model.config, config.clips, config.seed, lookout)
    bench = Bench(pair, clips, config.batch)
    rows = rank(bench, config.method)
    found = {
        "schema": SCHEMA,
        "kind": "sensitivity",
        **provenance(("torch", "nncf", "onnxruntime"), config.seed),
        "machine": describe_machine(),
        "dialect": dialect,
        "split": "val",
        "n": len(clips),
        "clips_sha256": digest,
        "driver": driver_by(lookout),
        "method": config.method,
        "full": bench.losses(bench.names),
        "removal_curve": removal_curve(bench, rows, (1, 2, 4, 8, 16, 32)),
        "quantizers": rows,
    }
    if budget is not None:
        layers = layers_of(pair.encoder, example_step(model.config))
        trial = fewest_layers(layers, bench.names, bench.losses, rows, budget)
        found["search"] = trial.to_json(budget) | {"cost": costs_ms(folder, dialect, report, trial)}
    write_json(folder / f"sensitivity-{dialect}.json", found)
    with whole_file(folder / f"sensitivity-{dialect}.svg") as path:
        path.write_bytes(svg(sensitivity_figure(found, model.task_set)))
    write_page(folder)
    return found


def _for_people(found: Mapping[str, Any], folder: Path) -> str:
    heads = ("quantizer", *(f"{task.title}, mean |dp|" for task in AIDE.tasks))
    every = [("all of them", found["full"]), *((row["name"], row["losses"]) for row in found["quantizers"][:12])]
    rows = [heads, *((name, *(f"{loss[task]['mean_abs']:.4f}" for task in AIDE.names)) for name, loss in every)]
    lines = [
        f"{found['dialect']}, {found['n']} validation clips, method: {found['method']}",
        *table(rows, numbers_from=1),
    ]
    if search := found.get("search"):
        kept = ", ".join(search["keep_float"]) or "none"
        lines += ["", f"in floating point: {kept}  ({search['tried']} sets measured)"]
        lines += [
            f"  {name}: {some['more_ms']:+.2f} ms a step, {some['ratio']:.2f} times"
            for name, some in search["cost"].items()
            if isinstance(some, dict) and name != "none"
        ]
        if search["met"] and search["keep_float"]:
            lines.append(f"  quantize.run ... --keep-float {' '.join(search['keep_float'])}")
    return "\n".join([*lines, f"page  {folder / 'report.html'}"])


def _faults(found: Mapping[str, Any]) -> list[str]:
    search = found.get("search")
    if search is None or search["met"]:
        return []
    return [
        f"{found['dialect']}: {task} is {over:.4g} ({search['measure']}) over its budget of {search['budget'][task]:g} "
        "with every layer in floating point; allow more, or fine-tune with quantize.run --qat"
        for task, over in search["excess"].items()
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m quantize.sensitivity",
        description="Rank quantizers by what they cost each task; find the fewest layers to keep in floating point.",
        epilog="example: python -m quantize.sensitivity out/quantized --run out/run --data out/data --dialect ort-x86",
    )
    parser.add_argument("quantized", type=Path)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--dialect", required=True)
    parser.add_argument("--budget", action="append", default=[], help="NUMBER for all tasks or TASK=NUMBER; repeat")
    parser.add_argument("--measure", choices=MEASURES, default="mean_abs", help="what the budget speaks of")
    parser.add_argument("--method", choices=(ALONE, WITHOUT), default=ALONE)
    parser.add_argument("--clips", type=int, default=32, help="validation clips")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--finder", type=Path, metavar="RUN", help="of training.finder: clips are then as it sees them")
    parser.add_argument("--json", action="store_true", help="print the result")
    return parser


@command("quantize.sensitivity")
def main(argv: Sequence[str] | None = None) -> int:
    parser = _parser()
    args = parser.parse_args(argv)
    if args.clips < 1:
        parser.error(f"--clips {args.clips}: expected at least 1")
    budget = parse_budget(args.budget, args.measure, AIDE)
    config = SensitivityConfig(clips=args.clips, seed=args.seed, method=args.method, finder=args.finder)
    found = sensitivity(args.quantized, args.run, args.data, args.dialect, budget, config)
    put(json.dumps(found) if args.json else _for_people(found, args.quantized))
    faults = _faults(found)
    for fault in faults:
        say(f"quantize.sensitivity: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
