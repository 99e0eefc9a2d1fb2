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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from codriver.console import say
from codriver.errors import ConfigError, SourceError
from codriver.files.atomic import sha256
from codriver.files.decode import Fault, decode, encode
from codriver.tasks import JOINTS, STREAMS
from quantize.calibrated import CalibrationConfig, calibrate
from quantize.checks import check_dialects
from quantize.export.dialect_folder import Model, emit_all
from quantize.export.golden import write_golden_clips
from quantize.export.golden_nobody import write_golden_nobody
from quantize.export.held_out import held_out_facts
from quantize.finder import Finders, make_finders, with_finder
from quantize.graphs.dialects import DEFAULT, DIALECTS, dialect
from quantize.graphs.fold import folded
from quantize.graphs.graphs import ModulePair
from quantize.precision.ranges import BEST
from quantize.ptq.quantizers import RANGES
from quantize.qat.finetune import clip_sets, finetune
from quantize.qat.losses import QATConfig
from quantize.qat.options import add_qat_options, qat_config, run_options
from training.data.clips import CONTEXT
from training.finder.lookout import FinderLookout, make_lookout
from training.model.uvm3tl import POINTS_OF, UVM3TL, ModelConfig
from training.trainer.checkpoint import Run, clear, load_run, partial_folder
from training.trainer.processes import freed_memory_kept
from training.trainer.run_log import RunOptions
from workshop.aide_splits import ClipRef, read_split
from workshop.artifacts import provenance, whole_folder
from workshop.command import command
from workshop.emitted_dialect import EmittedDialect
from workshop.quantized_report import (
    REPORT,
    CalibrationRecord,
    ContextShape,
    FittedTemperature,
    QuantizedReport,
    RunOrigin,
    StreamShape,
)

EXAMPLES = """examples:
  python -m quantize.run out/run --data out/data --out out/quantized
  fine-tune each INT8 dialect for six epochs; after a stop, the same with --resume goes on:
    python -m quantize.run out/run --data out/data --out out/quantized --qat 6 --cache out/cache
"""
GOLDEN = "golden/golden.json"


@dataclass(frozen=True, kw_only=True)
class QuantizeOptions(CalibrationConfig):
    """How to quantize."""

    golden: int = 2  # clips that are recorded as golden vectors
    check: int = 8  # validation clips to compare every runtime on
    qat: QATConfig | None = None  # None: calibration alone
    run_options: RunOptions = RunOptions()  # noqa: RUF009 (frozen); of QAT
    finder: Path | None = None  # run of training.finder; None: the bundle will have none


@freed_memory_kept()
def quantize(
    run_folder: Path, data: Path, out: Path, dialects: Sequence[str], options: QuantizeOptions | None = None
) -> QuantizedReport:
    """Leave a folder with graphs, golden vectors and the report, which it returns.

    With QAT, OUT.partial/ holds checkpoints until the folder is whole. After a signal: Preempted, with one written.
    """
    options = options or QuantizeOptions()
    chosen = [dialect(name) for name in dialects]
    run = load_run(run_folder)
    if run.model.config.dbscme.tokens:
        raise ConfigError(f"{run_folder}: its model reads by task tokens, expected none; train one without to quantize")
    model, origin = folded(run.model), _origin(run_folder, run, options.finder)
    with whole_folder(out, marker=REPORT) as folder:
        held_out, lookout = read_split(data, "val"), None
        if options.finder:
            say("looking at clips as the finder does")
            lookout = make_lookout(options.finder, held_out if options.qat else (), model.task_set)
        calibrated, calibration = calibrate(model, data, chosen, options, lookout)
        places = (data, partial_folder(out))
        tuned = _tuned(calibrated, (run, origin), places, options, lookout) if options.qat else {}
        models = {name: tuned.get(name, Model(pair)) for name, pair in calibrated.items()}
        eyes = lookout.undisturbed if lookout else None
        fitted, origin = held_out_facts(model, held_out, origin, eyes)
        finders = make_finders(options.finder, data, chosen, options) if options.finder else None
        _write_golden(folder, model, models, held_out[: options.golden], fitted, finders)
        written = emit_all(folder, chosen, calibrated, models)
        report = _report(model, origin, fitted, written, calibration, options)
        say("linting, auditing and comparing what was written")
        report = replace(report, dialects=check_dialects(folder, report, model, held_out[: options.check]))
        if finders:
            report = with_finder(folder, report, finders)
        report.write(folder)
        from quantize.report.page import write_page  # matplotlib takes a second

        write_page(folder)
    if options.qat:
        clear(partial_folder(out))
    return report


def _report(
    model: UVM3TL,
    origin: RunOrigin,
    fitted: Mapping[str, FittedTemperature],
    written: Mapping[str, EmittedDialect],
    calibration: CalibrationRecord,
    options: QuantizeOptions,
) -> QuantizedReport:
    made = provenance(("torch", "nncf", "onnx", "openvino"), options.seed)
    slots = model.config.slots
    return QuantizedReport(
        created=made["created"],
        tools=made["tools"],
        git_commit=made["git_commit"],
        seed=options.seed,
        task_set=model.task_set.name,
        color="bgr",
        streams=tuple(_stream(name, model.config) for name in STREAMS),
        context=ContextShape(slots=slots, slot_s=CONTEXT.slot_s, tolerance_s=CONTEXT.tolerance_s),
        run=origin,
        golden=GOLDEN,
        confidence=fitted,
        dialects=written,
        calibration=calibration,
        keep_float=options.keep_float,
    )


def _stream(name: str, config: ModelConfig) -> StreamShape:
    joints = name in JOINTS
    return StreamShape(
        name=name,
        kind="joints" if joints else "image",
        size=POINTS_OF[name] if joints else config.size_px(name),
        feature=config.feature_shape(name),
        slot=config.slot_shape(name),
    )


def _write_golden(
    folder: Path,
    model: UVM3TL,
    models: Mapping[str, Model],
    refs: Sequence[ClipRef],
    fitted: Mapping[str, FittedTemperature],
    finders: Finders | None,
) -> None:
    say("writing golden vectors from validation clips")
    temperatures = {task: some.temperature for task, some in fitted.items()}
    graphs = {name: (some.pair.encoder, some.pair.fuser) for name, some in models.items()}
    golden = (folder / GOLDEN).parent
    write_golden_clips(golden, refs, model, graphs, temperatures, finders.modules if finders else {})
    if finders and refs:
        write_golden_nobody(golden, finders.full, list(finders.modules), cabins=finders.origin.knows_absence)


def _tuned(
    calibrated: dict[str, ModulePair],
    of_run: tuple[Run, RunOrigin],
    places: tuple[Path, Path],
    options: QuantizeOptions,
    lookout: FinderLookout | None,
) -> dict[str, Model]:
    """By dialect, the fine-tuned model; those that share calibrated graphs share them. places: data, checkpoints."""
    assert options.qat
    (run, origin), (data, partial) = of_run, places
    lessons = clip_sets(data, run, options.qat, options.run_options.cache, lookout)
    made: dict[int, Model] = {}
    for name, pair in calibrated.items():
        if id(pair) in made or not dialect(name).is_int8:
            continue
        say(f"fine-tuning {name}: {options.qat.epochs} epochs on {len(lessons.train)} clips")
        identity = {"run": {"weights_sha256": origin.weights_sha256}, "dialect": {"name": name}}
        place = partial / name, identity | {"calibration": {"clips": options.clips, "ranges": options.ranges}}
        teacher = folded(run.model)
        done = finetune(copy.deepcopy(pair), teacher, run, lessons, options.qat, place, options.run_options)
        made[id(pair)] = Model(done.model.pair, done.record)
    return {name: made[id(pair)] for name, pair in calibrated.items() if id(pair) in made}


def _scores_alone(run: Run, finder: Path | None) -> Mapping[str, object]:
    """The run's scores with frames alone; none if another finder than the bundle's saw for them."""
    if finder and sha256((finder / "model.safetensors").read_bytes())[:16] not in str(run.record.finder["id"]):
        return {}
    return run.record.test_frames_alone or {}


def _origin(folder: Path, run: Run, finder: Path | None) -> RunOrigin:
    weights = sha256((folder / "model.safetensors").read_bytes())
    kept = ("size", "data", "class_counts", "train", "test", "test_clips", "git_commit", "created")
    facts = {
        "weights_sha256": weights,
        "subsets": [],
        "frames_alone": {"test": encode(_scores_alone(run, finder)), "without": {}},
        **{key: encode(getattr(run.record, key)) for key in kept},
    }
    try:
        return decode(RunOrigin, facts)
    except Fault as error:
        raise SourceError(f"{folder / 'meta.json'}: {error}; train the model again") from error


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
    parser.add_argument("--finder", type=Path, metavar="RUN", help="of training.finder: bundles then need no driver=")
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
    options = QuantizeOptions(
        **own,
        keep_float=tuple(args.keep_float),
        qat=qat_config(args),
        run_options=run_options(args),
        finder=args.finder,
    )
    report = quantize(args.run, args.data, args.out, names, options)
    sys.stdout.write(json.dumps(report.to_json()) + "\n" if args.json else f"quantized: {args.out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
