"""Quantize a run of one camera, calibrated or fine-tuned: a graph per dialect, linted, audited, proven task by task.

python -m quantize.dense RUN --data DATA --out Q
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from codriver.console import say, table
from codriver.device.machine import describe_machine
from codriver.files.atomic import sha256
from codriver.files.decode import encode
from quantize.checks import audit_of, lint_of
from quantize.dense.finetune import DenseQATConfig, finetune
from quantize.dense.graph import Calibrated, calibrated, emitted, pictures, spec_of, spread
from quantize.dense.proof import change, finite, metrics_of, parity, results_of
from quantize.dense.ways import DenseWays, in_torch, ways_of
from quantize.graphs.dialects import DIALECTS, dialect
from quantize.graphs.fold import folded
from quantize.parity.runners import FP32
from training.dense.evaluate import load_dense_run
from training.dense.scene import SceneRef
from training.dense.scores import written
from training.dense.train import LOADERS
from training.losses.shares import said
from training.trainer.checkpoint import MARKER, WEIGHTS
from workshop.artifacts import provenance, whole_folder
from workshop.command import command
from workshop.dense_golden import write_golden_picture
from workshop.dense_report import REPORT, DenseDialect, DenseOrigin, DenseQuantizedReport, DenseTuning
from workshop.emitted_dialect import EmittedGraph

GOLDEN = "golden/golden.json"
DEFAULT = ("fp32", "ort-x86", "ort-x86-7bit", "openvino", "tensorrt")


@dataclass(frozen=True, kw_only=True)
class DenseOptions:
    calibration: int = 64  # training pictures that ranges come from
    golden: int = 2  # pictures recorded as golden vectors
    check: int = 8  # validation pictures on which every way is compared
    test: int = 100  # test pictures, at most, on which INT8 is judged against FP32
    qat: int = 0  # epochs of fine-tuning with AFD-Loss at work; 0: calibration alone
    seed: int = 0


def quantize_dense(
    run: Path, data: Path, out: Path, dialects: Sequence[str], options: DenseOptions
) -> DenseQuantizedReport:
    """Leave graphs, golden pictures and the report in `out`; returns the report."""
    model = folded(load_dense_run(run))
    spec, loader = spec_of(model), LOADERS[model.config.task_set]
    refs = {split: loader.index(data, split) for split in ("train", "val", "test")}
    known = spread(refs["train"], options.calibration)
    say(f"calibrating on {len(known)} training pictures")
    tuning = DenseQATConfig(epochs=options.qat, seed=options.seed)
    tune = (lambda module: finetune(module, model, run, refs, tuning)) if options.qat else None
    made = calibrated(model, pictures(loader, known, spec), [dialect(name) for name in dialects], tune)
    with whole_folder(out, marker=REPORT) as folder:
        graphs = {one.dialect.name: emitted(folder, one, spec) for one in made}
        ways = {one.dialect.name: ways_of(folder, one, graphs[one.dialect.name], spec) for one in made}
        for ref in spread(refs["val"], options.golden):
            scene = loader.read(ref)
            torch_ways = {one.dialect.name: in_torch(one.module, spec) for one in made}
            expected = {name: results_of(way, scene, spec) for name, way in torch_ways.items()}
            write_golden_picture((folder / GOLDEN).parent, scene.image, expected)
        say("linting, auditing, comparing and scoring what was written")
        some = _proven(folder, made, graphs, ways, (loader, refs, spec), options)
        report = DenseQuantizedReport(
            **provenance(("torch", "nncf", "onnx", "openvino", "onnxruntime"), options.seed),
            machine=str(describe_machine()["cpu"]),
            color="bgr",
            dense=spec,
            run=_origin(run, known),
            golden=GOLDEN,
            dialects=some,
        )
        report.write(folder)
    return report


def _proven(
    folder: Path,
    made: Sequence[Calibrated],
    graphs: dict[str, EmittedGraph],
    ways: dict[str, DenseWays],
    data: tuple[Any, dict[str, list[SceneRef]], Any],
    options: DenseOptions,
) -> dict[str, DenseDialect]:
    """The report's entries. data: the benchmark's loader, its refs by split, the graph's spec."""
    loader, refs, spec = data
    checked = [loader.read(ref) for ref in spread(refs["val"], options.check)]
    judged = spread(refs["test"], options.test)
    scenes = (loader.read(ref) for ref in tqdm(judged, desc="test", unit="picture", disable=None))
    full = next((one.module for one in made if not one.dialect.is_int8), None)
    nearest = {name: some.open[some.nearest] for name, some in ways.items() if dialect(name).is_int8}
    if full is not None:
        nearest[FP32] = in_torch(full, spec)
    metrics = metrics_of(nearest, scenes, spec) if full is not None else {}
    found = {}
    for one in made:
        name, some = one.dialect.name, one.dialect
        graph, own = folder / graphs[name].path, ways[name]
        proven = some.is_int8 and FP32 in metrics
        found[name] = DenseDialect(
            engine=some.engine,
            requires=some.requires,
            why=some.why,
            dense=graphs[name],
            lint=lint_of([graph], name) if some.is_int8 else None,
            audit=audit_of([graph], some) if some.is_int8 else None,
            parity=parity(own, checked, spec),
            not_run=own.closed,
            accuracy_of=own.nearest,
            qat=one.qat,
            accuracy={
                task.name: change(task, metrics[name][task.name], metrics[FP32][task.name]) for task in spec.asked
            }
            if proven
            else {},
        )
    return found


def _origin(run: Path, known: Sequence[SceneRef]) -> DenseOrigin:
    meta = json.loads((run / MARKER).read_text(encoding="utf-8"))
    return DenseOrigin(
        weights_sha256=sha256((run / WEIGHTS).read_bytes()),
        created=meta["created"],
        git_commit=meta["git_commit"],
        pictures=meta["pictures"],
        test={task: finite(result["scores"]) for task, result in meta["test"].items()},
        calibration=tuple(ref.name for ref in known),
    )


def lines_of(report: DenseQuantizedReport, out: Path) -> list[str]:
    """For people: a line per dialect and task."""
    rows = [["dialect", "task", "judged by", "FP32", "INT8", "INT8 is worse by, 95 %", "off fake-quant"]]
    for name, some in report.dialects.items():
        share = "" if some.audit is None or some.audit.int8_share is None else f"{100 * some.audit.int8_share:.1f} %"
        findings = "" if some.lint is None else f", {some.lint.findings} lint findings"
        rows.append([name, f"{share} of MACs in INT8{findings}" if share else "full precision", *[""] * 5])
        for task, one in some.accuracy.items():
            before, after = (written(one.judged_by, scores[one.judged_by]) for scores in (one.fp32, one.scores))
            between = f"{100 * one.cost:+.2f}{one.unit} ({100 * one.low:+.2f} to {100 * one.high:+.2f})"
            offs = ", ".join(f"{way} {by[task]:.4f}" for way, by in some.parity.items())
            rows.append(["", task, one.judged_by, before, after, between, offs])
    tuned = [f"{name}: {_tuned(some.qat)}" for name, some in report.dialects.items() if some.qat]
    return [*table(rows), *tuned, f"quantized: {out}"]


def _tuned(qat: DenseTuning) -> str:
    """What fine-tuning did, and what moved what all tasks share."""
    gained, before = (min(some.values()) for some in (qat.gained, qat.gained_by_calibration))
    worst = f"the worst task's score {100 * gained:+.2f} points against FP32, after calibration {100 * before:+.2f}"
    kept = f"QAT kept epoch {qat.kept_epoch} of {qat.epochs}; on {qat.val_pictures} validation pictures {worst}"
    return f"{kept}; gradient: {said({'share': qat.gradients})}"


@command("quantize.dense")
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m quantize.dense",
        description="Quantize a run of one camera to INT8 and prove it, task by task.",
        epilog="example: python -m quantize.dense out/bddrun --data out/bdd --out out/bddq",
    )
    parser.add_argument("run", type=Path, help="of training.train --task-set")
    parser.add_argument("--data", type=Path, required=True, help="the data set that the run was trained on")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--dialect", action="append", choices=list(DIALECTS), help=f"repeat for several; default: {', '.join(DEFAULT)}"
    )
    defaults = DenseOptions()
    parser.add_argument("--pictures", type=int, default=defaults.calibration, help="to calibrate on")
    parser.add_argument("--golden", type=int, default=defaults.golden, help="pictures recorded as golden vectors")
    parser.add_argument("--check", type=int, default=defaults.check, help="validation pictures to compare every way on")
    parser.add_argument("--test", type=int, default=defaults.test, help="test pictures, at most, to judge INT8 on")
    parser.add_argument(
        "--qat",
        type=int,
        default=defaults.qat,
        metavar="EPOCHS",
        help="fine-tune each dialect so long on the training pictures, AFD-Loss at work (0)",
    )
    parser.add_argument("--json", action="store_true", help="print the report")
    args = parser.parse_args(argv)
    options = DenseOptions(
        calibration=args.pictures, golden=args.golden, check=args.check, test=args.test, qat=args.qat
    )
    report = quantize_dense(args.run, args.data, args.out, args.dialect or DEFAULT, options)
    text = json.dumps(encode(report)) if args.json else "\n".join(lines_of(report, args.out))
    sys.stdout.write(f"{text}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
