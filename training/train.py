"""Train: one process, or as many as torchrun starts.

python -m training.train --data DATA --out RUN --size demo --epochs 18
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tqdm import tqdm

from codriver.dense_tasks import DENSE_TASK_SETS
from codriver.errors import ConfigError
from codriver.files.decode import decode, encode
from codriver.tasks import TASK_SETS
from training.data.augment import AugmentConfig
from training.data.batches import predict
from training.data.clips import Clip, class_counts, found
from training.dense import train as dense
from training.dense.lessons import VaryConfig
from training.dense.model import DENSE_SIZES, sized
from training.finder.lookout import FinderLookout, make_lookout
from training.losses.afd import DECOUPLINGS, WEIGHTINGS, AFDLoss, LossConfig
from training.losses.shares import KEY, of_records
from training.model.uvm3tl import SIZES, UVM3TL
from training.report.metrics import Scores, score, table
from training.trainer import checkpoint
from training.trainer.checkpoint import BEST, LAST, MARKER, Run, save_run
from training.trainer.config import KEPT, MOMENTS, PRECISIONS, SAMPLINGS, TrainConfig
from training.trainer.kept import MOTIONS
from training.trainer.processes import freed_memory_kept, leave, make_fabric
from training.trainer.record import LearnedFrom, RunRecord
from training.trainer.run_log import RunLog, RunOptions
from training.trainer.split_clips import clips_by_split
from training.trainer.trainer import Trainer
from workshop.aide_splits import ClipRef, read_split, split_digest
from workshop.artifacts import provenance, whole_folder
from workshop.command import command

EXAMPLES = """examples:
  python -m training.train --data out/data --out out/run --size demo --epochs 18
  with a finder, as bundles have one (training.finder makes it):
    python -m training.train --data out/data --out out/run --size demo --finder out/finder
  go on after a stop, or start if there is nothing to go on from:
    python -m training.train --data out/data --out out/run --resume
  two GPUs of one machine (the batch is shared among them):
    torchrun --nproc-per-node 2 -m training.train --data out/data --out out/run --batch 32 --precision bf16-mixed
  two machines of four GPUs; the same line on both, --out on a disk that both see:
    torchrun --nnodes 2 --nproc-per-node 4 --rdzv-backend c10d --rdzv-endpoint first-machine:29500 \\
      -m training.train --data out/data --out out/run --batch 64 --precision bf16-mixed

After SIGTERM or Ctrl-C the current step ends, a checkpoint is written, and the exit status is 143 or 130.
"""


@freed_memory_kept()
def train(
    data: Path,
    out: Path,
    config: TrainConfig,
    loss_config: LossConfig,
    augment: AugmentConfig,
    run_options: RunOptions,
    finder: Path | None = None,
    start: Path | None = None,
) -> dict[str, Scores]:
    """Train, evaluate on the validation split now and then, and leave a run folder. Returns the test scores.

    finder: of training.finder, in whose eyes lessons are seen too. start: weights to begin with, as safetensors.
    Raises Stopped after a signal, with a checkpoint written. Processes but the first return no scores.
    """
    partial = checkpoint.partial_folder(out)
    checkpoint.check_start(partial, run_options.resume, run_options.overwrite)
    fabric = make_fabric(config.precision, run_options.device)
    refs = {split: read_split(data, split) for split in ("train", "val", "test")}
    eyes = make_lookout(finder, refs["val"], TASK_SETS["aide"], progress=_bar("look")) if finder else None
    began = _identity(config, loss_config, augment, refs) | _describe_helpers(eyes, start)
    if run_options.resume and (out / MARKER).is_file() and not (partial / LAST).is_file():
        return _finished(out, began)
    began |= {"processes": {"count": fabric.world_size}}
    saved = _saved(partial, began) if run_options.resume else None
    torch.manual_seed(config.seed)
    model = checkpoint.begun_with(UVM3TL(SIZES[config.size]), start)
    with ExitStack() as stack:
        folder = stack.enter_context(whole_folder(out, marker=MARKER)) if fabric.is_global_zero else None
        clips = clips_by_split(refs, model, fabric, eyes, run_options.cache)
        counts = class_counts(clips["train"], model.task_set)
        trainer = Trainer(fabric, model, AFDLoss(model.task_set, loss_config, counts), clips["train"], config, partial)
        if saved:
            trainer.load_state(saved)
        fabric.barrier()  # all have looked at the partial folder before it changes
        if fabric.is_global_zero:
            checkpoint.prepare(partial, trainer.progress.records, keep=saved is not None)
        RunLog(trainer, found(clips.get("val", [])), partial, began, run_options).fit(augment, run_options.workers)
        if folder is None:
            return {}
        shutil.copytree(partial, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MOTIONS))
        learned = {"data": encode(LearnedFrom.of(data, refs)), "class_counts": counts}
        scores = _tested(folder, trainer, clips["test"], _describe_training(trainer, began) | learned)
    checkpoint.clear(partial)
    return scores


def _saved(partial: Path, began: dict[str, Any]) -> dict[str, Any] | None:
    """The checkpoint to go on from, if there is one; a ConfigError if it began otherwise."""
    if not (partial / LAST).is_file():
        return None
    saved = checkpoint.load_checkpoint(partial)
    checkpoint.check_same(saved["began"], began, partial)
    return saved


def _tested(folder: Path, trainer: Trainer, clips: Sequence[Clip], about: dict[str, Any]) -> dict[str, Scores]:
    """Score the weights that are kept, and save them. folder: holds those of the best epoch. about: for the record."""
    kept, counts = trainer.kept, about["class_counts"]
    if trainer.config.keep == "best":
        kept.load_state_dict(load_file(str(folder / BEST)))
    ways = {"test": clips} | ({"test_frames_alone": found(clips)} if about["finder"]["id"] else {})
    scores = {
        name: score(predict(kept, some, progress=_bar(name)), some, kept.task_set, counts)
        for name, some in ways.items()
    }
    tested = {name: {task: asdict(result) for task, result in some.items()} for name, some in scores.items()}
    save_run(folder, Run(kept, decode(RunRecord, encode(about | tested | {"test_clips": len(clips)}))))
    return scores["test"]


def _identity(
    config: TrainConfig, loss: LossConfig, augment: AugmentConfig, refs: dict[str, list[ClipRef]]
) -> dict[str, Any]:
    """All that a run must have in common with the one it resumes, as JSON values."""
    digests = {split: split_digest(some) for split, some in refs.items()}
    groups = {"train": encode(config), "loss": encode(loss), "augment": encode(augment), "data": digests}
    return dict(json.loads(json.dumps(groups)))


def _describe_helpers(eyes: FinderLookout | None, start: Path | None) -> dict[str, Any]:
    """What else shapes the weights: in whose eyes lessons are seen too, and what they begin with."""
    return {"finder": eyes.describe() if eyes else {"id": None}, "start": checkpoint.describe_weights(start)}


def _finished(out: Path, began: dict[str, Any]) -> dict[str, Scores]:
    """The scores of a run that has nothing left to resume, so that a queue may start the same command again."""
    record = checkpoint.load_run(out).record
    checkpoint.check_same(record.began(), began, out)
    sys.stderr.write(f"{out} is complete; nothing to resume\n")
    return dict(record.test)


def _bar(name: str):  # type: ignore[no-untyped-def]
    return lambda items: tqdm(items, desc=name, leave=False, disable=None)


def _describe_training(trainer: Trainer, began: dict[str, Any]) -> dict[str, Any]:
    """How a run came to its weights. began: what it was started with, see `_identity`."""
    config, best_epoch = trainer.config, trainer.progress.best_epoch
    return {
        **provenance(("torch", "lightning-fabric", "opencv-python-headless", "safetensors"), config.seed),
        "size": config.size,
        **{group: began[group] for group in ("train", "loss", "augment", "processes", "finder", "start")},
        "kept_epoch": best_epoch if config.keep == "best" else config.epochs,
        "best_epoch": best_epoch,
        "loss_state": trainer.loss.state_for_meta(),
        KEY: of_records(trainer.progress.records),
    }


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.train",
        description="Train UV-M3TL in full precision and leave a run folder.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    defaults, run_options = TrainConfig(), RunOptions()
    parser.add_argument("--data", type=Path, required=True, help="data set in AIDE's layout")
    parser.add_argument("--out", type=Path, required=True, help="run folder to write; OUT.partial until it is whole")
    shape = parser.add_argument_group("what shapes the weights (a resumed run must be given the same)")
    shape.add_argument("--task-set", choices=(*TASK_SETS, *DENSE_TASK_SETS), default="aide", help="what it learns")
    sizes = f"{', '.join(SIZES)} of aide (default {defaults.size}), {', '.join(DENSE_SIZES)} of others (default toy)"
    shape.add_argument("--size", help=sizes)
    shape.add_argument("--tasks", nargs="+", default=(), metavar="TASK", help="of a benchmark, these alone")
    shape.add_argument("--finder", type=Path, metavar="RUN", help="of training.finder: lessons as a device sees them")
    shape.add_argument("--start", type=Path, metavar="FILE", help="a run's model.safetensors: weights to begin with")
    shape.add_argument("--zoom", type=float, default=1.0, help="of a benchmark: most that a part is enlarged")
    _add_lessons(shape, defaults)
    shape.add_argument("--learning-rate", type=float, default=defaults.learning_rate, help="at its peak")
    shape.add_argument("--precision", choices=PRECISIONS, default=defaults.precision)
    shape.add_argument("--ema", type=float, default=defaults.ema, help="decay of the weights' average; 0 none")
    shape.add_argument("--keep", choices=KEPT, default=defaults.keep, help="epoch whose weights become the run")
    shape.add_argument("--validate-every", type=int, default=defaults.validate_every, help="epochs")
    shape.add_argument("--no-sync-norm", action="store_true", help="each GPU normalises its own share of the batch")
    loss = LossConfig()
    shape.add_argument("--weighting", choices=WEIGHTINGS, default=loss.weighting, help="of the tasks (equal)")
    shape.add_argument("--task-weights", type=float, nargs="+", default=[], metavar="W", help="of --weighting fixed")
    shape.add_argument("--decoupling", choices=DECOUPLINGS, default=loss.decoupling, help="of features (none)")
    shape.add_argument("--beta", type=float, default=loss.beta, help="weight of the decoupling term (%(default)s)")
    shape.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default=run_options.device)
    parser.add_argument("--cache", type=Path, help="folder made by `training.data cache`: nothing is decoded again")
    parser.add_argument("--workers", type=int, default=run_options.workers, help="threads that make batches ahead")
    parser.add_argument("--checkpoint-every", type=int, default=run_options.checkpoint_every, help="epochs")
    parser.add_argument("--resume", action="store_true", help="go on with OUT.partial if it is there")
    parser.add_argument("--overwrite", action="store_true", help="start anew over OUT.partial")
    parser.add_argument("--tensorboard", action="store_true", help="also write events for TensorBoard")
    parser.add_argument("--json", action="store_true", help="print the test scores as JSON")
    return parser


def _add_lessons(shape: Any, defaults: TrainConfig) -> None:
    shape.add_argument("--epochs", type=int, default=defaults.epochs)
    share = "share of epochs, the first, whose"
    shape.add_argument("--sparse", type=float, default=defaults.sparse, help=f"{share} lessons see a few moments alone")
    shape.add_argument("--sparse-runs", type=int, default=defaults.sparse_runs, help="moments that these see of a clip")
    shape.add_argument("--half", type=float, default=defaults.half, help=f"{share} images have half their side")
    rest = "share of epochs, the last, in which encoders rest: whole lessons of what they saw once"
    shape.add_argument("--rest", type=float, default=defaults.rest, help=rest)
    shape.add_argument("--batch", type=int, default=defaults.batch, help="clips in a step, over all processes")
    shape.add_argument("--accumulate", type=int, default=defaults.accumulate, help="parts that a process takes it in")
    shape.add_argument("--sampling", choices=SAMPLINGS, default=defaults.sampling)
    shape.add_argument("--moments", choices=MOMENTS, default=defaults.moments, help="Adam's; task: AdaTask")


def _configs(args: argparse.Namespace) -> tuple[TrainConfig, LossConfig, RunOptions]:
    if args.workers < 0 or args.checkpoint_every < 1:
        raise ConfigError("--workers must be 0 or more, and --checkpoint-every 1 or more")
    if args.tensorboard:
        try:
            import tensorboard  # noqa: F401
        except ImportError as error:
            raise ConfigError("tensorboard is not installed: pip install tensorboard") from error
    lessons = {"epochs", "sparse", "sparse_runs", "half", "rest", "batch", "accumulate", "sampling", "validate_every"}
    shared = {"size", "learning_rate", "precision", "ema", "keep", "seed", "moments"} | lessons
    of_maps = args.task_set in DENSE_TASK_SETS
    sizes: Collection[str] = DENSE_SIZES if of_maps else SIZES
    args.size = args.size or ("toy" if of_maps else TrainConfig().size)
    if args.size not in sizes:
        raise ConfigError(f"--size {args.size}: expected one of {', '.join(sizes)} for {args.task_set}")
    if args.zoom < 1 or (args.zoom > 1 and not of_maps):
        raise ConfigError(f"--zoom {args.zoom}: expected 1 or more, and a benchmark's --task-set")
    if args.half and of_maps:
        raise ConfigError(f"--half {args.half}: expected 0 for {args.task_set}; maps are learnt at their own size")
    if args.start and of_maps:
        raise ConfigError(f"--start {args.start}: expected none for {args.task_set}")
    if args.tasks and not of_maps:
        raise ConfigError("--tasks picks among a benchmark's tasks; the four answers are trained together")
    shaped = {name: getattr(args, name) for name in shared}
    ways = ("device", "cache", "workers", "checkpoint_every", "resume", "overwrite", "tensorboard")
    config = TrainConfig(**shaped, sync_norm=not args.no_sync_norm)
    loss = LossConfig(
        weighting=args.weighting, fixed=tuple(args.task_weights), decoupling=args.decoupling, beta=args.beta
    )
    return config, loss, RunOptions(**{name: getattr(args, name) for name in ways})


def _for_people(scores: dict[str, Scores], out: Path) -> str:
    alone = checkpoint.load_run(out).record.test_frames_alone
    shown = {"with annotations": scores, "frames alone": dict(alone or {})}
    return "\n".join(f"{name}\n{table(some, TASK_SETS['aide'])}" for name, some in shown.items() if some)


def _dense(args: argparse.Namespace, config: TrainConfig, loss: LossConfig, run_options: RunOptions) -> int:
    size = sized(args.size, args.task_set, tuple(args.tasks))
    results = dense.train_dense(
        args.data, args.out, replace(config, sparse=0.0), size, loss, VaryConfig(zoom=args.zoom), run_options
    )
    if results:
        found = {task: dense.to_json(result) for task, result in results.items()}
        sys.stdout.write((json.dumps(found) if args.json else dense.table(results)) + "\n")
    return 0


@command("training.train", stopped="the same command with --resume goes on, or starts if nothing was learnt yet")
def main(argv: Sequence[str] | None = None) -> int:
    args = make_parser().parse_args(argv)
    try:
        config, loss, run_options = _configs(args)
        if args.task_set in DENSE_TASK_SETS:
            return _dense(args, config, loss, run_options)
        scores = train(args.data, args.out, config, loss, AugmentConfig(), run_options, args.finder, args.start)
    finally:
        leave()
    if scores:  # the first process alone has them
        text = json.dumps({task: asdict(result) for task, result in scores.items()})
        sys.stdout.write((text if args.json else _for_people(scores, args.out)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
