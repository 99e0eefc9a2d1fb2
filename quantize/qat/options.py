"""QAT on the command line, the same words wherever it is offered."""

from __future__ import annotations

import argparse
from pathlib import Path

from codriver.errors import ConfigError
from quantize.qat.losses import LOSSES, QATConfig
from training.trainer.run_log import RunOptions


def add_qat_options(parser: argparse.ArgumentParser, with_loss: bool = True) -> None:
    defaults = QATConfig()
    group = parser.add_argument_group("quantization-aware training")
    group.add_argument("--qat", type=int, metavar="EPOCHS", help="fine-tune each INT8 dialect for so many epochs")
    if with_loss:
        text = "afd: the run's own loss goes on (default); frozen: its task weights stay; equal: each task weighs 1"
        group.add_argument("--qat-loss", choices=LOSSES, default=defaults.loss, help=text)
    group.add_argument("--qat-rate", type=float, default=defaults.learning_rate, help="share of the run's own")
    group.add_argument("--qat-range-rate", type=float, default=defaults.range_rate, help="share of that, for ranges")
    group.add_argument("--qat-teacher", type=float, default=defaults.teacher, help="weight of FP32's answers; 0 none")
    group.add_argument("--qat-temperature", type=float, default=defaults.temperature, help="of FP32's answers")
    group.add_argument("--qat-sparse", type=float, default=defaults.sparse, help="share of epochs on a few slots")
    group.add_argument("--qat-ema", type=float, default=defaults.ema, help="decay of the kept average; 0 none")
    group.add_argument("--qat-clips", type=int, default=defaults.clips, help="training clips, even over classes; 0 all")
    group.add_argument("--qat-budget", type=float, default=defaults.budget, help="accuracy a task may lose, a share")
    group.add_argument("--qat-patience", type=int, default=defaults.patience, help="epochs beyond it until it ends")
    group.add_argument("--qat-seed", type=int, default=defaults.seed, help="of lessons")
    group.add_argument("--cache", type=Path, help="folder made by `training.data cache`: nothing is decoded again")
    group.add_argument("--workers", type=int, default=1, help="threads that make batches ahead")
    group.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    group.add_argument("--resume", action="store_true", help="go on with what an interrupted call left")
    group.add_argument("--overwrite", action="store_true", help="start anew over it")


def qat_config(args: argparse.Namespace) -> QATConfig | None:
    """None where no QAT is asked for."""
    if args.qat is None:
        return None
    return QATConfig(
        epochs=args.qat,
        loss=getattr(args, "qat_loss", QATConfig().loss),
        learning_rate=args.qat_rate,
        range_rate=args.qat_range_rate,
        teacher=args.qat_teacher,
        temperature=args.qat_temperature,
        sparse=args.qat_sparse,
        ema=args.qat_ema,
        clips=args.qat_clips,
        budget=args.qat_budget,
        patience=args.qat_patience,
        seed=args.qat_seed,
    )


def run_options(args: argparse.Namespace) -> RunOptions:
    if args.workers < 0:
        raise ConfigError(f"--workers is {args.workers}, expected 0 or more")
    ways = ("device", "cache", "workers", "resume", "overwrite")
    return RunOptions(**{name: getattr(args, name) for name in ways})
