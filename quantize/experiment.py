"""Does QAT earn its place? FP32, PTQ and QAT with each form of AFD-Loss, on the same held-out clips.

python -m quantize.experiment RUN --data DATA --out OUT --qat 4 --setting ort-x86-7bit --setting tensorrt

OUT/<name>.json holds every number, OUT/<name>.md the same for people. The fake-quantized torch model stands for the
graphs: ONNX Runtime without optimisation gives its answers (reference/int8.md 1.6, 8), and so do tests here.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from codriver.console import say
from codriver.errors import ConfigError
from codriver.files.atomic import sha256
from codriver.files.decode import encode
from codriver.tasks import TASK_SETS
from quantize.graphs.dialects import dialect
from quantize.graphs.fold import folded
from quantize.graphs.graphs import EncoderGraph, FuserGraph, ModulePair
from quantize.ptq.calibration import CALIBRATION_SLOTS, CONTEXT_CLIPS, calibration_clips, encoder_steps, fuser_contexts
from quantize.ptq.convolutions import quantized_convolutions
from quantize.ptq.quantizers import quantized_encoder, quantizers
from quantize.qat.clip_model import Tunable
from quantize.qat.finetune import ClipSets, clip_sets, finetune
from quantize.qat.losses import LOSSES, QATConfig
from quantize.report.experiment_page import page
from training.compare import Evaluation, compare
from training.data.batches import predict
from training.data.clips import found, labels_of, load_clips
from training.evaluate import Predictions
from training.finder.lookout import FinderLookout, driver_by, make_lookout
from training.model.uvm3tl import UVM3TL
from training.trainer.checkpoint import Run, load_run
from training.trainer.record import RunRecord
from training.trainer.run_log import RunOptions
from workshop.aide_splits import read_split, split_digest
from workshop.artifacts import provenance, write_json, write_text
from workshop.command import command
from workshop.resampling import BootstrapConfig, interval, resample

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One way to quantize that is tried."""

    dialect: str
    weight_bits: int = 0  # 0: as the dialect has it; fewer are a stress test that no runtime here takes

    @property
    def name(self) -> str:
        return f"{self.dialect}, {self.weight_bits}-bit weights" if self.weight_bits else self.dialect

    @property
    def slug(self) -> str:
        return f"{self.dialect}-w{self.weight_bits}" if self.weight_bits else self.dialect

    @classmethod
    def from_text(cls, text: str) -> Setting:
        """DIALECT or DIALECT:BITS."""
        name, _, bits = text.partition(":")
        if not dialect(name).weight_bits < 32 or (bits and bits not in "23456"):
            raise ConfigError(f"--setting {text}: expected an INT8 dialect, or one with 2 to 6 bits, as ort-x86:4")
        return cls(dialect=name, weight_bits=int(bits or 0))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to compare, and on what."""

    settings: tuple[Setting, ...]
    losses: tuple[str, ...]
    qat: QATConfig
    calibration: int = 64  # clips
    split: str = "test"
    finder: Path | None = None  # clips are as it sees them, lessons vary with it; None: as annotated


def experiment(
    run_folder: Path, data: Path, work: Path, plan: Plan, run_options: RunOptions
) -> Iterator[dict[str, Any]]:
    """Quantize, fine-tune and score; what is known so far after each setting, JSON-ready.

    `work` keeps checkpoints, so that run_options.resume goes on.
    """
    run = load_run(run_folder)
    model, origin = folded(run.model), sha256((run_folder / "model.safetensors").read_bytes())
    say("reading clips")
    lookout = _lookout_of(plan, data, model)
    calibration = calibration_clips(read_split(data, "train"), model, plan.calibration, plan.qat.seed, lookout)
    steps = list(encoder_steps(model, calibration.clips, CALIBRATION_SLOTS))
    contexts = list(fuser_contexts(model, calibration.clips[:CONTEXT_CLIPS]))
    lessons = clip_sets(data, run, plan.qat, run_options.cache, lookout)
    judge = judge_of(data, model, plan, run_options, lookout)
    judge.see("FP32", model)
    head = _head(plan, run, origin, lessons, len(judge.clips))  # before a result makes the tree another one
    rows = []
    for setting in plan.settings:
        say(f"{setting.name}: PTQ")
        pair = calibrated(model, (steps, contexts), setting)
        judge.see("PTQ", Tunable(pair))
        row: dict[str, Any] = {"setting": setting.name, "PTQ": judge.against("FP32", "PTQ")}
        for loss in plan.losses:
            say(f"{setting.name}: QAT, {loss}")
            started, config = time.monotonic(), replace(plan.qat, loss=loss)
            place = work / setting.slug / loss, {"run": {"weights_sha256": origin}, "setting": asdict(setting)}
            tuned = finetune(copy.deepcopy(pair), model, run, lessons, config, place, run_options)
            judge.see(loss, tuned.model)
            row[loss] = judge.against("FP32", loss) | {"against_ptq": judge.against("PTQ", loss)}
            row[loss] |= {"record": tuned.record, "seconds": round(time.monotonic() - started, 1)}
        rows.append(row)
        yield {**head, "driver": driver_by(lookout), "rows": rows}


def _head(plan: Plan, run: Run, origin: str, lessons: ClipSets, n: int) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "kind": "qat-experiment",
        **provenance(("torch", "nncf"), plan.qat.seed),
        "machine": {"processor": processor(), "threads": torch.get_num_threads(), "cuda": torch.cuda.is_available()},
        "run": {"weights_sha256": origin, **_trained(run.record)},
        "n": n,
        "split": plan.split,
        "qat": asdict(plan.qat),
        "clips": {"train": len(lessons.train), "val": len(lessons.val), "calibration": plan.calibration},
    }


def _trained(record: RunRecord) -> dict[str, Any]:
    return {key: encode(getattr(record, key)) for key in ("size", "data", "train", "loss")}


def _lookout_of(plan: Plan, data: Path, model: UVM3TL) -> FinderLookout | None:
    return make_lookout(plan.finder, read_split(data, "val"), model.task_set) if plan.finder else None


def judge_of(data: Path, model: UVM3TL, plan: Plan, run_options: RunOptions, lookout: FinderLookout | None) -> Judge:
    refs, eyes = read_split(data, plan.split), lookout and lookout.undisturbed
    bar = _bar("decode", len(refs))
    clips = found(load_clips(refs, model.config, model.task_set, bar, cache=run_options.cache, lookout=eyes))
    return Judge(tuple(ref.id for ref in refs), clips, {"split": plan.split, "clips_sha256": split_digest(refs)})


def calibrated(model: UVM3TL, seen: tuple[list[Any], list[Any]], setting: Setting) -> ModulePair:
    """Both graphs after PTQ, their weights cut to fewer bits where the setting says so."""
    some = dialect(setting.dialect)
    pair = ModulePair(
        quantized_encoder(EncoderGraph(model).eval(), seen[0], some),
        quantized_convolutions(FuserGraph(model), seen[1], some),
    )
    if setting.weight_bits:
        for quantizer in (*quantizers(pair.encoder).values(), *quantizers(pair.fuser).values()):
            if quantizer.per_channel:  # weights alone are
                quantizer.num_bits = setting.weight_bits
    pair.eval()
    return pair


class Judge:
    """Answers on the held-out clips, compared clip by clip."""

    def __init__(self, ids: tuple[str, ...], clips: Sequence[Any], report: Mapping[str, Any]) -> None:
        self.ids, self.clips, self.report = ids, clips, dict(report)
        self.bootstrap = BootstrapConfig()
        self.found: dict[str, Predictions] = {}

    def see(self, name: str, model: Any) -> None:
        answers = predict(model, self.clips, progress=_bar(f"test {name}"))
        self.found[name] = Predictions(self.ids, labels_of(self.clips), answers)

    def against(self, a: str, b: str) -> dict[str, Any]:
        """Accuracies with their paired differences and tests, and how far the probabilities have moved."""
        first, second = (Evaluation(Path(n), self.report | {"run": n}, self.found[n]) for n in (a, b))
        tasks = compare(first, second, TASK_SETS["aide"], self.bootstrap)
        return {"tasks": tasks["tasks"], "mean_accuracy": tasks["mean_accuracy"], "moved": self._moved(b)}

    def _moved(self, name: str) -> dict[str, Any]:
        """Per task, mean over clips and classes of |probability - FP32's| with its interval, and answers kept."""
        weights = resample(len(self.ids), self.bootstrap)
        full, some = self.found["FP32"], self.found[name]
        moved = {}
        for task, probabilities in some.probabilities.items():
            away = np.abs(probabilities - full.probabilities[task]).mean(axis=1)  # (n,)
            same = probabilities.argmax(axis=1) == full.probabilities[task].argmax(axis=1)
            spread = interval(weights @ away / len(away), self.bootstrap)
            moved[task] = {"mean": float(away.mean()), "interval": spread, "same_answer": float(same.mean())}
        return moved


def processor() -> str:
    """The processor's name, as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _bar(name: str, total: int | None = None) -> Any:
    def counted(items: Any) -> Iterator[Any]:
        yield from tqdm(items, desc=name, total=total, leave=False, disable=None)

    return counted


def make_parser() -> argparse.ArgumentParser:
    from quantize.qat.options import add_qat_options

    parser = argparse.ArgumentParser(
        prog="python -m quantize.experiment",
        description="Compare FP32, PTQ and QAT with each form of AFD-Loss on held-out clips.",
        epilog="example: python -m quantize.experiment out/run --data out/data --out docs/qat --name demo "
        "--setting ort-x86-7bit --setting tensorrt --qat 4; later: add --resume to go on after a stop",
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="the data set that the run was trained on")
    parser.add_argument("--out", type=Path, required=True, help="folder for NAME.json and NAME.md")
    parser.add_argument("--name", default="qat", help="of the two files")
    parser.add_argument("--work", type=Path, help="folder for checkpoints; default: OUT/NAME.work")
    text = "a dialect, or as a stress test a dialect with weights of 2 to 6 bits (ort-x86:4); repeat for several"
    parser.add_argument("--setting", action="append", required=True, metavar="DIALECT[:BITS]", help=text)
    parser.add_argument("--loss", action="append", choices=LOSSES, help="repeat for several; all if not given")
    parser.add_argument("--split", default="test", choices=("val", "test"))
    parser.add_argument("--calibration", type=int, default=64, help="clips to calibrate on")
    parser.add_argument("--finder", type=Path, metavar="RUN", help="of training.finder: clips are then as it sees them")
    parser.add_argument("--json", action="store_true", help="print the result")
    add_qat_options(parser, with_loss=False)
    return parser


@command("quantize.experiment", stopped="settings that ended stay; to go on, give the same command with --resume")
def main(argv: Sequence[str] | None = None) -> int:
    from quantize.qat.options import qat_config, run_options

    args = make_parser().parse_args(argv)
    config = qat_config(args)
    if config is None:
        raise ConfigError("--qat is missing; say for how many epochs, for example --qat 4")
    settings = tuple(map(Setting.from_text, args.setting))
    losses = tuple(args.loss or LOSSES)
    own = {"calibration": args.calibration, "split": args.split, "finder": args.finder}
    plan = Plan(settings=settings, losses=losses, qat=config, **own)
    work = args.work or args.out / f"{args.name}.work"
    for result in experiment(args.run, args.data, work, plan, run_options(args)):
        args.out.mkdir(parents=True, exist_ok=True)
        write_json(args.out / f"{args.name}.json", result)
        text = page(result, TASK_SETS["aide"])
        write_text(args.out / f"{args.name}.md", text)
    sys.stdout.write(json.dumps(result) + "\n" if args.json else f"{args.out / args.name}.md\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
