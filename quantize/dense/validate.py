"""Every test picture of a benchmark through bundles with maps or boxes, as a device answers: what does INT8 cost?

    python -m quantize.dense.validate fp32.bundle int8.bundle --data DATA --out evidence.json --html evidence.html

Scores are by the definitions of docs/benchmarks.md, over the camera's picture. What a bundle costs is told beside the
first one in full precision among those given, of the score that tables hold, with its 95 % interval over pictures drawn
again: at most 1 point of a share, 2 % of an error. Exit code 1 if that is surely missed, if a picture was not answered,
or if there is nothing in full precision to compare with. Steps are timed one bundle after the other on each picture.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from codriver.console import put, table
from codriver.device.machine import describe_machine
from codriver.errors import ConfigError
from codriver.files.atomic import sha256
from codriver.files.decode import encode
from quantize.dense.graph import spread
from quantize.dense.proof import change, finite
from quantize.dense.trial import DenseTrial
from training.dense.model import KINDS
from training.dense.scene import SceneRef
from training.dense.scores import written
from training.dense.train import LOADERS
from workshop.artifacts import provenance, write_json, write_text
from workshop.command import command
from workshop.resampling import BootstrapConfig, interval, resample

SCHEMA, KIND = 1, "dense evidence"
Evidence = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class DenseValidateOptions:
    pictures: int = 0  # of the test split, at most, spread over it; 0: all
    threads: int | None = None  # of a step; None: the physical cores


def run_trials(
    bundles: Sequence[Path], data: Path, options: DenseValidateOptions, stack: ExitStack
) -> tuple[list[DenseTrial], list[SceneRef]]:
    """Each bundle on the same pictures. The stack closes them."""
    trials = []
    for bundle in bundles:
        trials.append(DenseTrial(bundle, options.threads))
        stack.callback(trials[-1].close)
    sets = sorted({trial.spec.task_set for trial in trials})
    if len(sets) > 1:
        raise ConfigError(f"the bundles are of {', '.join(sets)}; give those of one benchmark, whose data is read once")
    loader = LOADERS[sets[0]]
    refs = loader.index(data, "test")
    refs = spread(refs, options.pictures or len(refs))
    for ref in tqdm(refs, desc="test", unit="picture", disable=None):
        scene = loader.read(ref)
        for trial in trials:
            trial.see(scene)
    return trials, refs


def evidence_of(trials: Sequence[DenseTrial], refs: Sequence[SceneRef], data: Path) -> Evidence:
    """What evidence.json holds."""
    full = next((trial for trial in trials if trial.is_full_precision), None)
    return {
        "schema": SCHEMA,
        "kind": KIND,
        **provenance(("onnxruntime", "openvino", "pycocotools"), None),
        "machine": describe_machine(),
        "task_set": trials[0].spec.task_set,
        "data": data.name,
        "pictures": {"n": len(refs), "names_sha256": sha256("\n".join(ref.name for ref in refs).encode())},
        "reference": full.key if full else None,
        "subjects": [_subject(trial, full) for trial in trials],
    }


def _subject(trial: DenseTrial, full: DenseTrial | None) -> Evidence:
    tasks: Evidence = {}
    compared = full is not None and full is not trial and not full.unanswered and not trial.unanswered
    for task in trial.spec.asked:
        metric, name = trial.metrics[task.name], KINDS[task.kind].judged_by(task)
        scores = finite(metric.scores())
        drawn = metric.resampled(resample(len(metric.examples()), BootstrapConfig()))[name] if scores else np.zeros(1)
        between = interval(drawn, BootstrapConfig()) if np.isfinite(drawn).any() else None
        tasks[task.name] = {"title": task.title, "judged_by": name, "scores": scores, "interval": between}
        if compared and full is not None and task.name in full.metrics:
            found = change(task, metric, full.metrics[task.name])
            tasks[task.name]["cost"] = {**encode(found), "allowed": found.allowed, "unit": found.unit.strip()}
            del tasks[task.name]["cost"]["scores"], tasks[task.name]["cost"]["fp32"]  # they stand with their bundles
    subject = {
        "key": trial.key,
        "engine": trial.perceiver.engine,
        "full_precision": trial.is_full_precision,
        "tasks": tasks,
        "unanswered": dict(trial.unanswered),
        "step_ms": {f"p{share}": round(float(np.percentile(trial.step_ms, share)), 2) for share in (50, 95, 99)},
    }
    return subject | {"misses": misses(subject, full), "open": unclear(subject)}


def misses(subject: Evidence, full: DenseTrial | None) -> list[str]:
    """What speaks against it, a sentence each."""
    found = [f"{count} pictures were not answered: {reason}" for reason, count in subject["unanswered"].items()]
    if full is None:
        return [*found, "nothing in full precision was run beside it; give its FP32 bundle first"]
    if full.unanswered and full.key != subject["key"]:
        found.append(f"{full.key}, which it is compared with, left pictures without an answer")
    for task, cost in _costs(subject):
        if cost["low"] > cost["allowed"]:
            found.append(f"{task} is {_worse(cost)}, at most {100 * cost['allowed']:g} are allowed")
    return found


def unclear(subject: Evidence) -> list[str]:
    """What so few pictures cannot show, a sentence each."""
    reaching = ((task, cost) for task, cost in _costs(subject) if cost["low"] <= cost["allowed"] < cost["high"])
    return [
        f"{task} is {_worse(cost)}; {cost['pictures']} pictures cannot show that it is within {100 * cost['allowed']:g}"
        for task, cost in reaching
    ]


def _costs(subject: Evidence) -> list[tuple[str, Evidence]]:
    return [(task, one["cost"]) for task, one in subject["tasks"].items() if "cost" in one]


def _worse(cost: Evidence) -> str:
    between = f"{100 * cost['low']:+.2f} to {100 * cost['high']:+.2f}"
    return f"worse by {100 * cost['cost']:.2f} {cost['unit']} of {cost['judged_by']} ({between})"


def lines_of(evidence: Evidence) -> list[str]:
    """For people."""
    rows = [["bundle", "task", "judged by", "score", "beside FP32, worse by (95 %)"]]
    for subject in evidence["subjects"]:
        for task, one in subject["tasks"].items():
            name, cost = one["judged_by"], one.get("cost")
            beside = _worse(cost).removeprefix("worse by ") if cost else "is the reference" * subject["full_precision"]
            rows.append([subject["key"], task, name, written(name, one["scores"][name]), beside])
    said = []
    for subject in evidence["subjects"]:
        step = subject["step_ms"]
        verdict = "full precision" if subject["full_precision"] else "INT8 costs no more than it may"
        verdict = "MAY NOT SHIP" if subject["misses"] else verdict
        said.append(f"{subject['key']}: {verdict}; a step takes {step['p50']} ms, p99 {step['p99']}")
        said += [f"  {text}" for text in (*subject["misses"], *subject["open"])]
    return [*table(rows), *said]


@command("quantize.dense.validate")
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m quantize.dense.validate",
        description="Every test picture of a benchmark through bundles with maps or boxes: what does INT8 cost?",
        epilog="example: python -m quantize.dense.validate out/fp32.bundle out/road.bundle --data out/bdd "
        "--out out/road.json --html out/road.html",
    )
    parser.add_argument("bundles", nargs="+", type=Path, metavar="BUNDLE")
    parser.add_argument("--data", type=Path, required=True, help="in the layout of the bundles' benchmark")
    parser.add_argument("--out", type=Path, help="JSON to write")
    parser.add_argument("--html", type=Path, help="page to write")
    defaults = DenseValidateOptions()
    parser.add_argument("--pictures", type=int, default=defaults.pictures, help="of the test split, at most (all)")
    parser.add_argument("--threads", type=int, help="of a step; default: physical cores")
    parser.add_argument("--json", action="store_true", help="print the evidence")
    args = parser.parse_args(argv)
    options = DenseValidateOptions(pictures=args.pictures, threads=args.threads)
    with ExitStack() as stack:
        trials, refs = run_trials(args.bundles, args.data, options, stack)
        evidence = evidence_of(trials, refs, args.data)
        if args.out:
            write_json(args.out, evidence)
        if args.html:
            from quantize.dense.evidence import page, worst_of  # matplotlib and jinja2 take a second

            write_text(args.html, page(evidence, worst_of(trials, refs)))
    put(json.dumps(evidence, indent=1) if args.json else "\n".join(lines_of(evidence)))
    return int(any(subject["misses"] for subject in evidence["subjects"]))


if __name__ == "__main__":
    sys.exit(main())
