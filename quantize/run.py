"""Quantize a run: calibrate, quantize, export, one emission per dialect.

python -m quantize.run RUN --data DATA --out Q
python -m quantize.run RUN --data DATA --out Q --qat 6

With --qat each INT8 dialect learns on after calibration: Q/<dialect>/ holds what came of it, Q/<dialect>/ptq/ what
calibration alone gives, so that the two and FP32 can be compared from files.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from codriver.console import say
from codriver.files.atomic import sha256
from codriver.tasks import JOINTS, STREAMS
from quantize.checks import check_dialects
from quantize.export.dialect_folder import Model, emit_all
from quantize.export.golden import write_golden_clips
from quantize.export.temperature import confidence
from quantize.graphs.dialects import DEFAULT, DIALECTS, Dialect, dialect
from quantize.graphs.fold import folded, with_joints_in_half
from quantize.graphs.graphs import EncoderGraph
from quantize.precision.bench import validation_clips
from quantize.precision.layers import keep_float
from quantize.precision.ranges import BEST, CLIPS, best_ranges
from quantize.ptq.calibration import calibration_clips, encoder_steps
from quantize.ptq.quantizers import RANGES, quantized_encoder
from quantize.qat.finetune import finetune, lessons_of
from quantize.qat.losses import QATConfig
from quantize.qat.options import add_qat_options, habits_of, qat_config
from training.data.batches import predict
from training.data.clips import CONTEXT, labels_of, load_clips
from training.model.uvm3tl import POINTS_OF, UVM3TL
from training.trainer.checkpoint import Run, clear, load_run, partial_folder
from training.trainer.run_log import Habits
from workshop.aide_splits import ClipRef, read_split
from workshop.artifacts import provenance, whole_folder, write_json
from workshop.command import command

EXAMPLES = """examples:
  python -m quantize.run out/run --data out/data --out out/quantized
  fine-tune each INT8 dialect for six epochs; after a stop, the same with --resume goes on:
    python -m quantize.run out/run --data out/data --out out/quantized --qat 6 --cache out/cache
"""
SCHEMA = 2
MARKER = "report.json"
CALIBRATION_SLOTS = (3, 7, 11, 15)  # of each clip: spread over its time


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to quantize."""

    clips: int = 64  # to calibrate on
    seed: int = 0
    golden: int = 2  # clips that are recorded as golden vectors
    ranges: str = RANGES[0]  # or BEST, which tries them all
    keep_float: tuple[str, ...] = ()  # layers, as quantize.sensitivity names them
    check: int = 8  # validation clips to compare every runtime on
    qat: QATConfig | None = None  # None: calibration alone
    habits: Habits = Habits()  # noqa: RUF009 (frozen); of QAT


def quantize(
    run_folder: Path, data: Path, out: Path, dialects: Sequence[str], options: Options | None = None
) -> dict[str, Any]:
    """Leave a folder with graphs, golden vectors and report.json; returns the report.

    With QAT, OUT.partial/ holds checkpoints until the folder is whole. Raises Stopped after a signal, with one written.
    """
    options = options or Options()
    chosen = [dialect(name) for name in dialects]
    run = load_run(run_folder)
    model, origin = folded(run.model), _origin(run_folder, run)
    with whole_folder(out, marker=MARKER) as folder:
        calibrated, calibration = _calibrated(model, data, chosen, options)
        tuned = _tuned(calibrated, run, origin, (data, partial_folder(out)), options) if options.qat else {}
        models = {name: tuned.get(name, Model(encoder)) for name, encoder in calibrated.items()}
        held_out = read_split(data, "val")
        report = {
            "schema": SCHEMA,
            "kind": "quantized",
            **provenance(("torch", "nncf", "onnx", "openvino"), options.seed),
            **_contract(model),
            "run": origin,
            **_held_out_facts(folder, model, models, held_out, options.golden),
            "dialects": emit_all(folder, chosen, calibrated, models),
            "calibration": calibration,
            "keep_float": options.keep_float,
        }
        say("linting, auditing and comparing what was written")
        for name, found in check_dialects(folder, report, model, held_out[: options.check]).items():
            report["dialects"][name] |= found
        write_json(folder / MARKER, report)
        from quantize.report.page import write_page  # matplotlib takes a second

        write_page(folder)
    if options.qat:
        clear(partial_folder(out))
    return report


def _calibrated(
    model: UVM3TL, data: Path, chosen: Sequence[Dialect], options: Options
) -> tuple[dict[str, nn.Module], dict[str, Any]]:
    """By dialect, the calibrated encoder; and for the report, what it was calibrated on. model: folded."""
    say(f"calibrating on {options.clips} training clips, stratified by every task's labels")
    say("NNCF compiles its quantizers at its first call on a machine: about a minute")
    calibration = calibration_clips(read_split(data, "train"), model, options.clips, options.seed)
    steps = list(encoder_steps(model, calibration.clips, CALIBRATION_SLOTS))
    measured = _measured_ranges(model, steps, chosen, data, options) if options.ranges == BEST else {}
    ranges = {some.name: measured.get(some.name, {}).get("chosen", options.ranges) for some in chosen}
    used = {"slots": CALIBRATION_SLOTS, "used": len(steps), "ranges": options.ranges, "measured_ranges": measured}
    return encoders_of(model, steps, chosen, ranges, options.keep_float), calibration.record | used


def _held_out_facts(
    folder: Path, model: UVM3TL, models: Mapping[str, Model], held_out: Sequence[ClipRef], golden: int
) -> dict[str, Any]:
    """For the report, what validation clips say: temperatures, and the golden vectors written into the folder."""
    say(f"fitting temperatures on {len(held_out)} validation clips")
    known = _confidence(model, held_out)
    say("writing golden vectors from validation clips")
    temperatures = {task: some["temperature"] for task, some in known.items()}
    graphs = {name: (some.encoder, some.fuser) for name, some in models.items()}
    write_golden_clips(folder / "golden", held_out[:golden], model, graphs, temperatures)
    return {"golden": "golden/golden.json", "confidence": known}


def encoders_of(
    model: UVM3TL,
    steps: list[Any],
    chosen: Sequence[Dialect],
    ranges: Mapping[str, str],
    floats: Sequence[str] = (),
) -> dict[str, nn.Module]:
    """By dialect, the encoder as it wants it; those that differ in emission alone share one.

    model: folded. ranges: INT8 dialect -> estimator.
    """
    made: dict[tuple[str, int], nn.Module] = {}
    for some in chosen:
        key = (some.recipe, some.weight_bits)
        if key not in made:
            made[key] = encoder_of(model, steps, some, ranges.get(some.name, RANGES[0]))
            if floats and some.is_int8:
                keep_float(made[key], floats, steps[0])
    return {some.name: made[some.recipe, some.weight_bits] for some in chosen}


def _tuned(
    calibrated: dict[str, nn.Module], run: Run, origin: dict[str, Any], places: tuple[Path, Path], options: Options
) -> dict[str, Model]:
    """By dialect, the fine-tuned model; those that share a calibrated encoder share it. places: data, checkpoints."""
    assert options.qat
    data, partial = places
    lessons = lessons_of(data, run, options.qat, options.habits.cache)
    made: dict[int, Model] = {}
    for name, encoder in calibrated.items():
        if id(encoder) in made or not dialect(name).is_int8:
            continue
        say(f"fine-tuning {name}: {options.qat.epochs} epochs on {len(lessons.train)} clips")
        identity = {"run": {"weights_sha256": origin["weights_sha256"]}, "dialect": {"name": name}}
        place = partial / name, identity | {"calibration": {"clips": options.clips, "ranges": options.ranges}}
        teacher = folded(run.model)
        done = finetune(copy.deepcopy(encoder), teacher, run, lessons, options.qat, place, options.habits)
        made[id(encoder)] = Model(done.model.encoder, done.record)
    return {name: made[id(encoder)] for name, encoder in calibrated.items() if id(encoder) in made}


def encoder_of(model: UVM3TL, steps: list[Any], some: Dialect, ranges: str) -> nn.Module:
    if not some.is_int8:
        return EncoderGraph(model).eval()
    say(f"quantizing for {some.name}: {some.why}")
    started = time.monotonic()
    quantized = quantized_encoder(EncoderGraph(with_joints_in_half(model)).eval(), steps, some, ranges)
    say(f"  {time.monotonic() - started:.0f} s")
    return quantized


def _measured_ranges(
    model: UVM3TL, steps: list[Any], chosen: Sequence[Dialect], data: Path, options: Options
) -> dict[str, Any]:
    say(f"trying {len(RANGES)} range estimators on {CLIPS} validation clips, for each dialect")
    clips, _ = validation_clips(data, model.config, CLIPS, options.seed)
    return best_ranges(model, chosen, clips, lambda some, ranges: encoder_of(model, steps, some, ranges))


def _confidence(model: UVM3TL, refs: Sequence[ClipRef]) -> dict[str, Any]:
    clips = load_clips(refs, model.config, model.task_set)
    return confidence(labels_of(clips), predict(model, clips))


def _contract(model: UVM3TL) -> dict[str, Any]:
    """What a device must know to feed the graphs and to read their answers."""
    config = model.config
    streams = [
        {
            "name": s,
            "kind": "joints" if s in JOINTS else "image",
            "size": POINTS_OF[s] if s in JOINTS else config.size_px(s),
            "feature": config.feature_shape(s),
            "slot": config.slot_shape(s),
        }
        for s in STREAMS
    ]
    context = {"slots": config.slots, "slot_s": CONTEXT.slot_s, "tolerance_s": CONTEXT.tolerance_s}
    return {"task_set": model.task_set.name, "color": "bgr", "streams": streams, "context": context}


def _origin(folder: Path, run: Run) -> dict[str, Any]:
    kept = ("size", "data", "class_counts", "train", "test", "test_clips", "git_commit", "created")
    weights = sha256((folder / "model.safetensors").read_bytes())
    return {
        "weights_sha256": weights,
        "subsets": _subsets(folder, weights),
        **{key: run.meta[key] for key in kept},
    }


def _subsets(folder: Path, weights_sha256: str) -> list[dict[str, Any]]:
    """Accuracy with each set of cameras, if `training.evaluate --subsets` measured these weights; else nothing."""
    path = folder / "evaluation-test" / "report.json"
    if not path.is_file():
        return []
    report = json.loads(path.read_text(encoding="utf-8"))
    if report["run"]["weights_sha256"] != weights_sha256:
        say(f"{path} is of other weights: accuracy by set of cameras is left out")
        return []
    return [
        {
            "views": row["views"],
            "answered": row["answered"],
            "accuracy": {task: round(row["tasks"][task]["accuracy"], 4) for task in row["answered"]},
            "clips": report["n"],
        }
        for row in report["subsets"]
    ]


@command("quantize.run", stopped="give the same command again, with --resume where --qat has learnt something")
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m quantize.run",
        description="Quantize a run to INT8 and export one graph pair per dialect.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="the data set that the run was trained on")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--dialect",
        action="append",
        choices=[*DIALECTS, "all"],
        help=f"repeat for several; default: {', '.join(DEFAULT)}",
    )
    parser.add_argument(
        "--ranges",
        choices=(*RANGES, BEST),
        default=RANGES[0],
        help=f"how activations' ranges are estimated ({RANGES[0]}); {BEST}: whichever costs the worst-off task "
        "least on validation clips, for each dialect: a minute or two each",
    )
    parser.add_argument("--keep-float", nargs="+", default=(), metavar="LAYER", help="what quantize.sensitivity chose")
    parser.add_argument("--check", type=int, default=8, help="validation clips to compare every runtime on")
    parser.add_argument("--clips", type=int, default=64, help="calibration clips")
    parser.add_argument("--golden", type=int, default=2, help="clips to record as golden vectors")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print the report")
    add_qat_options(parser)
    args = parser.parse_args(argv)
    names = list(DIALECTS) if "all" in (args.dialect or ()) else list(dict.fromkeys(args.dialect or DEFAULT))
    own = {name: getattr(args, name) for name in ("clips", "seed", "golden", "ranges", "check")}
    options = Options(**own, keep_float=tuple(args.keep_float), qat=qat_config(args), habits=habits_of(args))
    report = quantize(args.run, args.data, args.out, names, options)
    sys.stdout.write(json.dumps(report) + "\n" if args.json else f"quantized: {args.out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
