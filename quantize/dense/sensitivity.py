"""Which quantizer costs which map how much: each alone in the full-precision model, on validation pictures.

    python -m quantize.dense.sensitivity RUN --data DATA --dialect ort-x86 --out sensitivity.json

A cost is how far a task's answers go from full precision's, by the measure of its kind: share of cells of another
class, difference as a share of the mean, angle as a share of a half turn, share of boxes without a partner. 0 is none.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from codriver.console import Progress, put, table
from codriver.dense.golden import off
from codriver.dense.results import DenseResult
from codriver.dense.spec import DenseSpec
from codriver.device.machine import describe_machine
from quantize.dense.graph import DenseGraph, pictures, spec_of, spread
from quantize.dense.proof import results_of
from quantize.dense.ways import in_torch
from quantize.graphs.dialects import DIALECTS, dialect
from quantize.graphs.fold import folded
from quantize.precision.layers import PLACE, only
from quantize.ptq.convolutions import quantized_convolutions
from quantize.ptq.quantizers import quantizers
from training.dense.evaluate import load_dense_run
from training.dense.scene import Scene
from training.dense.train import LOADERS
from workshop.artifacts import provenance, write_json
from workshop.command import command

SHOWN = 12  # quantizers, for people
Costs = dict[str, float]  # by task


class DenseBench:
    """A calibrated graph on pictures: how far off with which quantizers?"""

    def __init__(self, graph: nn.Module, scenes: Sequence[Scene], spec: DenseSpec) -> None:
        self.places = places(graph)
        self.names = list(self.places)
        self._graph, self._scenes, self._spec = graph, scenes, spec
        self._whole = self._answers(())

    def costs(self, enabled: Collection[str]) -> Costs:
        """Mean over pictures."""
        pairs = list(zip(self._whole, self._answers(enabled), strict=True))
        return {task: float(np.mean([off(a[task], b[task]) for a, b in pairs])) for task in self._spec.tasks}

    def _answers(self, enabled: Collection[str]) -> list[dict[str, DenseResult]]:
        with only(self._graph, set(enabled)):
            return [results_of(in_torch(self._graph, self._spec), scene, self._spec) for scene in self._scenes]


def rank(bench: DenseBench) -> list[dict[str, Any]]:
    """One row a quantizer, the costliest first by its worst task."""
    rows = []
    with Progress("sensitivity", total=len(bench.names)) as progress:
        for name in bench.names:
            rows.append({"name": bench.places[name], "hook": name, "costs": bench.costs({name})})
            progress.step()
    return sorted(rows, key=lambda row: -max(row["costs"].values()))


def places(graph: nn.Module) -> dict[str, str]:
    """NNCF's name of each quantizer -> where it sits in the model, and what it quantizes.

    NNCF counts calls of one path; a convolution's weights are known by their parameter, and so is what it gives.
    """
    every, found = quantizers(graph), {}
    for hook, quantizer in every.items():
        parts = PLACE.fullmatch(hook)
        weights = getattr(quantizer, "weight_name", None)
        if weights is None and parts is not None:
            own = f"pre_hooks.{parts['path']}{parts['operation']}/{parts['count']}__1.0"
            weights = getattr(every.get(own), "weight_name", None)
        what = "output" if hook.startswith("post") else "weights"
        known = weights and weights.removeprefix("model.").removesuffix(".weight")
        found[hook] = f"{known or hook.partition('_hooks.')[2].partition('__')[0]}, {what}"
    return found


def sensitivity(run: Path, data: Path, name: str, calibration: int, checked: int) -> dict[str, Any]:
    """calibration: training pictures that ranges come from; checked: validation pictures."""
    model = folded(load_dense_run(run))
    spec, loader = spec_of(model), LOADERS[model.config.task_set]
    known, seen = (
        spread(loader.index(data, split), count) for split, count in (("train", calibration), ("val", checked))
    )
    graph = quantized_convolutions(DenseGraph(model).eval(), pictures(loader, known, spec), dialect(name))
    bench = DenseBench(graph, [loader.read(ref) for ref in seen], spec)
    return {
        "schema": 1,
        "kind": "dense sensitivity",
        **provenance(("torch", "nncf"), None),
        "machine": describe_machine(),
        "task_set": spec.task_set,
        "dialect": name,
        "pictures": [ref.name for ref in seen],
        "all": bench.costs(bench.names),
        "quantizers": rank(bench),
    }


def lines_of(found: dict[str, Any]) -> list[str]:
    """For people."""
    tasks = list(found["all"])
    every = [("all of them", found["all"]), *((row["name"], row["costs"]) for row in found["quantizers"][:SHOWN])]
    rows = [("quantizer", *tasks), *((name, *(f"{costs[task]:.4f}" for task in tasks)) for name, costs in every)]
    head = f"{found['dialect']}, {len(found['pictures'])} validation pictures; {len(found['quantizers'])} quantizers"
    return [f"{head}, each alone; 0 is no difference from full precision", *table(rows, numbers_from=1)]


@command("quantize.dense.sensitivity")
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m quantize.dense.sensitivity",
        description="Which quantizer costs which map how much.",
        epilog="example: python -m quantize.dense.sensitivity out/bddrun --data out/bdd --dialect ort-x86",
    )
    parser.add_argument("run", type=Path, help="of training.train --task-set")
    parser.add_argument("--data", type=Path, required=True, help="the data set that the run was trained on")
    parser.add_argument(
        "--dialect", choices=[name for name in DIALECTS if dialect(name).is_int8], default="ort-x86", help="(ort-x86)"
    )
    parser.add_argument("--calibration", type=int, default=64, help="training pictures that ranges come from (64)")
    parser.add_argument("--pictures", type=int, default=16, help="validation pictures (16)")
    parser.add_argument("--out", type=Path, help="JSON to write")
    parser.add_argument("--json", action="store_true", help="print it")
    args = parser.parse_args(argv)
    found = sensitivity(args.run, args.data, args.dialect, args.calibration, args.pictures)
    if args.out:
        write_json(args.out, found)
    put(json.dumps(found, indent=1) if args.json else "\n".join(lines_of(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
