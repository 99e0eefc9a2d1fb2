"""Prove a quantized folder: do runtimes give what the fake-quantized model gives, and what did INT8 cost?

python -m quantize.prove Q --run RUN --data DATA --finder FINDER

Leaves Q/proof.json, Q/proof.npz (probabilities, clip by clip) and Q/report.html, and writes into Q/report.json what
each dialect lost on test clips, which `targets.build` holds against the profile's budget. Exit code 1 if a check fails.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from codriver.console import say
from codriver.device.machine import describe_machine
from codriver.errors import ConfigError
from codriver.files.atomic import sha256, whole_file
from codriver.tasks import TASK_SETS
from quantize.graphs.fold import folded
from quantize.graphs.graphs import EncoderGraph, FuserGraph
from quantize.graphs.reference import TorchGraphs
from quantize.parity.accuracy import accuracies, accuracy_table
from quantize.parity.cases import Subject, check_reports, run_all, subjects_of
from quantize.parity.compare import all_faults, parity_table
from quantize.parity.runners import FP32
from training.data.clips import footage_kind, found, labels_of, open_clips
from training.finder.lookout import driver_by, make_lookout
from training.trainer.checkpoint import load_run
from training.trainer.processes import freed_memory_kept
from workshop.aide_splits import SPLITS, read_split, split_digest
from workshop.artifacts import provenance, write_json
from workshop.command import command
from workshop.emitted_dialect import AccuracyChange
from workshop.quantized_report import QuantizedReport
from workshop.resampling import BootstrapConfig

SCHEMA = 1
PROOF, PREDICTIONS = "proof.json", "proof.npz"


@dataclass(frozen=True, kw_only=True)
class ProofConfig:
    split: str = "test"
    clips: int | None = None  # the first so many of the split; None: all
    wholes: int = 32  # clips that are also run as wholes
    batch: int = 8  # clips that torch and the integer reference run at once
    cache: Path | None = None  # where training.data cache keeps decoded clips
    finder: Path | None = None  # clips are as it sees them; None: as annotated
    bootstrap: BootstrapConfig = field(default_factory=BootstrapConfig)


@freed_memory_kept()
def prove(folder: Path, run_folder: Path, data: Path, dialects: Sequence[str], config: ProofConfig) -> dict[str, Any]:
    """Write the proof beside the graphs and return what proof.json holds."""
    from quantize.report.page import write_page  # matplotlib takes a second

    report, run = QuantizedReport.read(folder), load_run(run_folder)
    refuse_other_run(run_folder, report)
    refs = read_split(data, config.split)[: config.clips]
    model = folded(run.model)
    lookout = make_lookout(config.finder) if config.finder else None
    clips = found(open_clips(refs, model.config, model.task_set, config.cache, lookout=lookout))
    subjects = [some for name in dialects or report.dialects for some in subjects_of(folder, report, name)]
    fp32 = TorchGraphs(EncoderGraph(model), FuserGraph(model), model.task_set.names)
    answers = run_all(subjects, fp32, clips, model.config, config.batch, config.wholes)
    checks = check_reports(subjects, model.task_set)
    proof = {
        "schema": SCHEMA,
        "kind": "proof",
        **provenance(("torch", "nncf", "onnxruntime", "openvino"), report.seed),
        "machine": describe_machine(),
        "weights_sha256": report.run.weights_sha256,
        "data": footage_kind(data),
        "split": config.split,
        "n": len(refs),
        "clips_sha256": split_digest(refs),
        "driver": driver_by(lookout),
        "checks": checks,
        "faults": all_faults(checks),
        "not_proven": not_proven(subjects),
        "ways": {some.name: some.ways.nearest for some in subjects if some.stage},
        "bootstrap": asdict(config.bootstrap),
        "accuracy": accuracies(answers, labels_of(clips), model.task_set, config.bootstrap),
    }
    _save_answers(folder / PREDICTIONS, [ref.id for ref in refs], labels_of(clips), answers)
    write_json(folder / PROOF, proof)
    if config.split == "test":
        with_accuracy(report, subjects, proof).write(folder)
    write_page(folder)
    return proof


def with_accuracy(report: QuantizedReport, subjects: Sequence[Subject], proof: Mapping[str, Any]) -> QuantizedReport:
    """The report with what each quantized dialect, as it is emitted, lost against full precision."""
    dialects = dict(report.dialects)
    for subject in subjects:
        if subject.stage and subject.checks:  # not the graphs of before fine-tuning
            lost = proof["accuracy"][subject.name]["against"][FP32]
            dialects[subject.dialect] = replace(
                dialects[subject.dialect],
                accuracy={
                    task: AccuracyChange(
                        difference=row["difference"], low=row["interval"][0], high=row["interval"][1], n=proof["n"]
                    )
                    for task, row in lost.items()
                },
            )
    return replace(report, dialects=dialects)


def refuse_other_run(run_folder: Path, report: QuantizedReport) -> None:
    """A ConfigError if the graphs come from other weights than the run's."""
    there, expected = sha256((run_folder / "model.safetensors").read_bytes()), report.run.weights_sha256
    if there != expected:
        raise ConfigError(
            f"{run_folder} holds weights {there[:12]}, the graphs come from {expected[:12]}; give that run"
        )


def not_proven(subjects: Sequence[Subject]) -> dict[str, dict[str, str]]:
    """Dialect -> runtime -> why its file did not run here."""
    return {some.dialect: some.ways.closed for some in subjects if some.ways.closed and some.checks}


def _save_answers(path: Path, ids: Sequence[str], labels: Any, answers: Mapping[str, Mapping[str, Any]]) -> None:
    flat = {f"{name}/{task}": some for name, tasks in answers.items() for task, some in tasks.items()}
    with whole_file(path) as fresh:
        np.savez_compressed(fresh, clips=np.array(ids), labels=labels, **flat)


def _for_people(proof: Mapping[str, Any], folder: Path) -> str:
    task_set = TASK_SETS["aide"]
    lines = [
        f"{proof['n']} clips of split {proof['split']}, {proof['machine']['cpu']}",
        "",
        *parity_table(proof["checks"], task_set),
        "",
        *accuracy_table(proof["accuracy"], task_set),
        "",
        *(f"not proven here: {d} in {r}: {why}" for d, some in proof["not_proven"].items() for r, why in some.items()),
        f"page  {folder / 'report.html'}",
    ]
    return "\n".join(lines)


@command("quantize.prove")
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m quantize.prove",
        description="Per task: does each runtime give what the fake-quantized model gives, and what did INT8 cost?",
        epilog="example: python -m quantize.prove out/quantized --run out/run --data out/data",
    )
    parser.add_argument("quantized", type=Path, help="folder that quantize.run wrote; the proof is written into it")
    parser.add_argument("--run", type=Path, required=True, help="the run that was quantized")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", choices=tuple(SPLITS), default="test")
    parser.add_argument("--dialect", action="append", default=[], help="repeat for several; all if not given")
    parser.add_argument("--clips", type=int, help="only the first so many clips")
    parser.add_argument("--wholes", type=int, default=ProofConfig.wholes, help="clips that are also run as wholes (32)")
    parser.add_argument("--cache", type=Path, help="cache of decoded clips (training.data cache)")
    parser.add_argument("--finder", type=Path, metavar="RUN", help="of training.finder: clips are then as it sees them")
    parser.add_argument("--json", action="store_true", help="print the proof")
    args = parser.parse_args(argv)
    for option, count in (("--clips", args.clips), ("--wholes", args.wholes)):
        if count is not None and count < 1:
            parser.error(f"{option} {count}: expected at least 1")
    config = ProofConfig(split=args.split, clips=args.clips, wholes=args.wholes, cache=args.cache, finder=args.finder)
    proof = prove(args.quantized, args.run, args.data, args.dialect, config)
    sys.stdout.write((json.dumps(proof) if args.json else _for_people(proof, args.quantized)) + "\n")
    for fault in proof["faults"]:
        say(f"quantize.prove: {fault}")
    return 1 if proof["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
