"""Every test clip through the bundle, frame by frame, as a car would: accuracy, and latency on this machine.

    python -m targets.validate demo.bundle --data DATA --out evidence.json

Exit code 1 if INT8 loses more points of accuracy on a task, against full precision on the same clips, than the target's
profile allows. Both are shares of the same clips, without an interval: the gate of targets.build has one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from codriver.artefact import provenance, write_json
from codriver.errors import CodriverError
from codriver.evaluate import Clip as LabelledClip
from codriver.evaluate import TaskScore, evaluate
from codriver.machine import describe_machine, summarise_ms
from codriver.manifest import Manifest
from codriver.perceiver import Perceiver
from codriver.percept import Percept
from codriver.sources import Clip
from codriver.sources.split import ClipRef, read_split, split_digest
from codriver.tasks import TASK_SETS
from codriver.terminal import Progress
from targets.list import add_profiles_argument
from targets.profile import load_profile

SCHEMA = 1


def validate(bundle: Path, data: Path, profiles: Sequence[Path] = ()) -> dict[str, Any]:
    """Step through the test split; returns the evidence."""
    budget = load_profile(Manifest.read(bundle).target, profiles).accuracy_budget_points
    refs = read_split(data, "test")
    latencies_ms: dict[str, list[float]] = {}

    def watch(percept: Percept) -> None:
        for stage, value in percept.latency_ms.items():
            latencies_ms.setdefault(stage, []).append(value)

    with Perceiver.open(bundle) as perceiver, Progress("validate", total=len(refs)) as progress:
        scores = evaluate(perceiver, labelled(refs, progress), watch=watch)
        manifest, variant = perceiver.manifest, perceiver.variant
    same = manifest.metrics.get("clips_sha256") == split_digest(refs)
    return {
        "schema": SCHEMA,
        "kind": "evidence",
        **provenance(("onnxruntime",), None),
        "bundle": manifest.id,
        "target": manifest.target,
        "variant": variant,
        "machine": describe_machine(),
        "clips": len(refs),
        "same_clips_as_full_precision": same,
        "tasks": {
            name: task_row(score, manifest.metrics["fp32"][name] if same else None) | {"budget_points": budget[name]}
            for name, score in scores.items()
        },
        "latency_ms": {stage: summarise_ms(values) | {"n": len(values)} for stage, values in latencies_ms.items()},
    }


def labelled(refs: Sequence[ClipRef], progress: Progress) -> Iterator[LabelledClip]:
    """Clips as `evaluate` takes them; a frame or a label that cannot be read is an error here, never a gap."""
    for ref in refs:
        with Clip(ref.folder, strict=True) as clip:
            yield ((at.frames, at.t, at.driver) for at in clip), clip.truth
        progress.step()


def task_row(score: TaskScore, full_precision: Mapping[str, float] | None) -> dict[str, float | None]:
    return {
        "int8_accuracy": score.accuracy,
        "int8_macro_f1": score.macro_f1,
        "fp32_accuracy": full_precision["accuracy"] if full_precision else None,
        "fp32_macro_f1": full_precision["macro_f1"] if full_precision else None,
        "majority": full_precision["majority"] if full_precision else None,
    }


def failures(evidence: Mapping[str, Any]) -> list[str]:
    """What speaks against this bundle, one sentence each; none if it may ship."""
    found = []
    for name, row in evidence["tasks"].items():
        if row["fp32_accuracy"] is None:
            found.append(f"{name}: nothing to compare with, these are not the clips that full precision was scored on")
        elif 100 * (row["fp32_accuracy"] - row["int8_accuracy"]) > row["budget_points"]:
            loss, allowed = 100 * (row["fp32_accuracy"] - row["int8_accuracy"]), row["budget_points"]
            found.append(f"{name}: INT8 loses {loss:.1f} points of accuracy, at most {allowed:g} are allowed")
    return found


def page(evidence: Mapping[str, Any]) -> str:
    """The evidence for people."""
    lines = [
        f"{evidence['clips']} held-out test clips, frame by frame. FP32: torch; INT8: Perceiver, {evidence['variant']}",
        "",
        f"{'':20} {'accuracy %':^22}   {'macro-F1 %':^15}   {'majority':>8}",
        f"{'task':20} {'FP32':>6} {'INT8':>6} {'change':>8}   {'FP32':>7} {'INT8':>7}   {'class %':>8}",
    ]
    for name, row in evidence["tasks"].items():
        fp32, int8 = row["fp32_accuracy"], row["int8_accuracy"]
        change = "" if fp32 is None else f"{100 * (int8 - fp32):+.1f}"
        lines.append(
            f"{TASK_SETS['aide'][name].title:20} {percent(fp32):>6} {percent(int8):>6} {change:>8}   "
            f"{percent(row['fp32_macro_f1']):>7} {percent(row['int8_macro_f1']):>7}   {percent(row['majority']):>8}"
        )
    total = evidence["latency_ms"]["total"]
    lines += [
        "",
        f"step latency  p50 {total['p50']:.1f} ms   p95 {total['p95']:.1f} ms   p99 {total['p99']:.1f} ms   "
        f"({total['n']} steps, {evidence['machine']['cpu']}, {evidence['machine']['cores']} cores)",
    ]
    return "\n".join(lines)


def percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m targets.validate",
        description="Accuracy and latency of a bundle on held-out clips.",
        epilog="example: python -m targets.validate out/demo.bundle --data out/data --out out/evidence.json",
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    add_profiles_argument(parser)
    parser.add_argument("--out", type=Path, help="evidence.json to write")
    parser.add_argument("--json", action="store_true", help="print the evidence as JSON")
    args = parser.parse_args(argv)
    try:
        evidence = validate(args.bundle, args.data, args.profiles)
    except CodriverError as error:
        sys.stderr.write(f"targets.validate: {error}\n")
        return 2
    if args.out:
        write_json(args.out, evidence)
    sys.stdout.write(json.dumps(evidence) + "\n" if args.json else page(evidence) + "\n")
    problems = failures(evidence)
    for problem in problems:
        sys.stderr.write(f"targets.validate: {problem}\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
