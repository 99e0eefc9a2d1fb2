"""One dialect's fine-tuning from start to end: validation task by task, checkpoints, resume, and what is kept.

OUT.partial/<dialect>/   last.pt, best.safetensors, metrics.jsonl, curves.png, as training leaves them
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from tqdm import tqdm

from quantize.graphs.fold import hold_vectors_in_half
from quantize.graphs.graphs import ModulePair
from quantize.ptq.calibration import choose
from quantize.ptq.convolutions import hold_seven_bits
from quantize.qat.clip_model import Tunable
from quantize.qat.losses import QATConfig, QATTrainer, loss_of, train_config
from training.data.batches import predict
from training.data.clips import Clip, ClipSet, labels_of, open_clips
from training.data.takes import FOUND
from training.finder.lookout import FinderLookout
from training.losses.shares import KEY, of_records
from training.model.uvm3tl import UVM3TL
from training.report.metrics import Scores, score
from training.trainer import checkpoint
from training.trainer.checkpoint import BEST, LAST, Run
from training.trainer.processes import make_fabric
from training.trainer.run_log import RunLog, RunOptions
from workshop.aide_splits import read_split, split_digest


@dataclass(frozen=True, kw_only=True)
class ClipSets:
    """What is learned from, and what is watched."""

    train: Sequence[Clip]
    val: Sequence[Clip]
    ids: dict[str, str]  # digest of the clips of each, so that a resumed fine-tuning sees the same


def clip_sets(
    data: Path, run: Run, config: QATConfig, cache: Path | None, lookout: FinderLookout | None = None
) -> ClipSets:
    """Clips to learn from and to watch; of the training split as many as the config says, evenly over classes.

    With a lookout lessons vary between annotations and what it sees, and what is watched is as it sees it.
    """
    task_set, model_config = run.model.task_set, run.model.config
    refs = {split: read_split(data, split) for split in ("train", "val")}
    eyes = {"train": lookout, "val": lookout and lookout.undisturbed}
    sets = {}
    for split, some in refs.items():
        bar = partial(tqdm, desc=f"read {split}", total=len(some), disable=None)
        sets[split] = open_clips(some, model_config, task_set, cache, progress=bar, lookout=eyes[split])
    chosen = list(range(len(sets["train"])))
    if config.clips:
        chosen = sorted(choose(labels_of(sets["train"]), config.clips, config.seed))
    train = ClipSet(
        tuple(sets["train"].refs[i] for i in chosen),
        model_config,
        task_set,
        sets["train"].labels[list(chosen)],
        files=tuple(sets["train"].files[i] for i in chosen) if cache else (),
        lookout=lookout,
    )
    kept = {"train": train, "val": replace(sets["val"], take=FOUND)}
    digests = {split: split_digest(some.refs) for split, some in kept.items()}
    if cache is None:  # decoding them once takes memory, decoding them in every epoch takes for ever
        return ClipSets(ids=digests, **{name: list(some) for name, some in kept.items()})
    return ClipSets(ids=digests, **kept)


@dataclass(frozen=True)
class Tuned:
    """A fine-tuned model and how it came about, JSON-ready."""

    model: Tunable
    record: dict[str, Any]


class BeyondBudget(Exception):
    """A task has lost more than its budget for too long: going on would not mend it."""


def finetune(
    pair: ModulePair,
    teacher: UVM3TL,
    run: Run,
    lessons: ClipSets,
    config: QATConfig,
    place: tuple[Path, dict[str, Any]],
    run_options: RunOptions,
) -> Tuned:
    """Train both quantized graphs; returns the epoch whose worst task is best.

    pair: of one dialect after PTQ; trained in place. teacher: the folded FP32 model. place: the folder for
    checkpoints, and what else tells this fine-tuning from others. Raises Stopped after a signal, with a checkpoint
    written; the same call with run_options.resume goes on.
    """
    folder, identity = place
    checkpoint.check_start(folder, run_options.resume, run_options.overwrite)
    began = json.loads(json.dumps({"qat": asdict(config), "data": lessons.ids, **identity}))
    saved = checkpoint.load_checkpoint(folder) if run_options.resume and (folder / LAST).is_file() else None
    if saved:
        checkpoint.check_same(saved["began"], began, folder)
    model, configs = Tunable(pair), (config, train_config(run.record, config))
    loss = loss_of(run.record, teacher, config)
    before = {name: score_of(some, lessons.val, name) for name, some in (("FP32", teacher), ("PTQ", model))}
    trainer = QATTrainer(make_fabric(device=run_options.device), model, teacher, loss, lessons.train, configs)
    if saved:
        trainer.load_state(saved)
    checkpoint.prepare(folder, trainer.progress.records, keep=saved is not None)
    watch = Watch(trainer, lessons.val, folder, began, run_options, before)
    ended = watch.tune(run.record.augment)
    model.load_state_dict(load_file(str(folder / BEST)))
    hold_vectors_in_half(model.core)
    return Tuned(model.eval(), {**asdict(config), **watch.summary(), "ended": ended})


def score_of(model: Any, clips: Sequence[Clip], name: str) -> dict[str, Scores]:
    bar = lambda items: tqdm(items, desc=f"validate {name}", leave=False, disable=None)  # noqa: E731
    return score(predict(model, clips, progress=bar), clips, model.task_set)


class Watch(RunLog):
    """Training's run log, which keeps by the worst task instead of the mean, and knows when to give up.

    Epoch 0 is PTQ: where learning on makes the worst task no better, PTQ's weights are kept.
    """

    trainer: QATTrainer

    def __init__(self, *of_run_log: Any) -> None:
        """of_run_log: what RunLog takes, then the scores of FP32 and PTQ on the validation clips."""
        *rest, before = of_run_log
        super().__init__(*rest)
        self.full, progress = before["FP32"], self.trainer.progress
        self.start: dict[str, Any] = {"epoch": 0}
        standing = self._judge(self.start, before["PTQ"])
        if not progress.records and not progress.batch:  # nothing has moved yet
            progress.best = standing
            checkpoint.save_weights(self.partial / BEST, self.trainer.model)

    def tune(self, augment: Any) -> str:
        """Train to the end, or until a task is beyond its budget for too long. Returns which."""
        try:
            self._give_up()
            self.fit(augment, self.run_options.workers)
        except BeyondBudget as reason:
            tqdm.write(f"  {reason}", sys.stderr)
            return str(reason)
        return "all epochs"

    def _validate(self, record: dict[str, Any]) -> None:
        progress, kept = self.trainer.progress, self.trainer.kept
        hold_seven_bits(kept.pair.fuser)  # the encoder's are NNCF's own, which cuts them off
        standing = self._judge(record, score_of(kept, self.val, f"epoch {record['epoch']}"))
        if standing > progress.best:
            progress.best, progress.best_epoch = standing, record["epoch"]
            checkpoint.save_weights(self.partial / BEST, kept)

    def _judge(self, record: dict[str, Any], scores: Mapping[str, Scores]) -> float:
        """Write down and say what each task gained or lost. Returns what the worst of them did; the mean decides
        between epochs where that is the same."""
        gained = {task: result.accuracy - self.full[task].accuracy for task, result in scores.items()}
        beyond = [task for task, value in gained.items() if value < -self.trainer.qat.budget - 1e-9]
        record |= {"val": {task: asdict(result) for task, result in scores.items()}}
        record |= {"gained": gained, "beyond_budget": beyond}
        name = f"epoch {record['epoch']}/{self.trainer.config.epochs}" if record["epoch"] else "PTQ"
        points = "  ".join(f"{task} {100 * value:+.1f}" for task, value in gained.items())
        flag = f"; beyond the budget: {', '.join(beyond)}" if beyond else ""
        tqdm.write(f"  {name}  validation accuracy against FP32, points: {points}{flag}", sys.stderr)
        return float(min(gained.values()) + 1e-3 * sum(gained.values()) / len(gained))

    def _on_epoch(self, record: dict[str, Any]) -> None:
        super()._on_epoch(record)
        self._give_up()

    def _give_up(self) -> None:
        patience = self.trainer.qat.patience
        last = [record["beyond_budget"] for record in self.trainer.progress.records][-patience:]
        lost = set.intersection(*map(set, last)) if len(last) == patience else set()
        if lost:
            raise BeyondBudget(f"{', '.join(sorted(lost))} beyond the budget for {patience} epochs: QAT ends here")

    def summary(self) -> dict[str, Any]:
        """JSON-ready: every epoch's task weights, losses and validation, and which epoch was kept."""
        progress = self.trainer.progress
        kept = [self.start, *progress.records][progress.best_epoch]
        return {
            "kept_epoch": progress.best_epoch,
            "beyond_budget": kept["beyond_budget"],
            "val_clips": len(self.val),
            "val_fp32": {task: asdict(result) for task, result in self.full.items()},
            "val_ptq": self.start["val"],
            "records": progress.records,
            KEY: of_records(progress.records),
            "loss_state": self.trainer.loss.state_for_meta(),
        }
