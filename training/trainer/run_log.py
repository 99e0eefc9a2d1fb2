"""What happens around the steps of a training: progress, validation, records, curves, checkpoints, and stopping."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from training.data.batches import predict
from training.losses.shares import KEY, said
from training.report.curves import draw_curves
from training.report.metrics import score
from training.trainer import checkpoint
from training.trainer.checkpoint import BEST, CURVES, METRICS
from training.trainer.processes import agreed
from training.trainer.signals import Signals, noted_signals
from training.trainer.trainer import Trainer
from workshop.artifacts import add_line
from workshop.command import Preempted


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How to train, as far as it does not shape the weights."""

    device: str = "auto"  # cpu, cuda, or auto: cuda if there is one
    cache: Path | None = None  # folder of `training.data cache`; without, all clips are decoded into memory
    workers: int = 1  # threads that make batches while the model computes
    checkpoint_every: int = 1  # epochs
    resume: bool = False
    overwrite: bool = False  # start anew over an unfinished run
    tensorboard: bool = False


class RunLog:
    """What is said and written while a trainer runs, in each of its processes; the first alone writes."""

    def __init__(
        self, trainer: Trainer, val: Sequence[Any], partial: Path, began: dict[str, Any], run_options: RunOptions
    ) -> None:
        """val: what `judge` looks at, clips here."""
        self.trainer, self.val, self.partial, self.began, self.run_options = trainer, val, partial, began, run_options
        self.first = trainer.fabric.is_global_zero
        self.board = _tensorboard(partial) if run_options.tensorboard and self.first else None

    def fit(self, augment: Any, workers: int) -> None:
        """Train to the end, or to a signal, and leave a checkpoint either way."""
        trainer = self.trainer
        done = trainer.steps // trainer.config.epochs * trainer.progress.epoch + trainer.progress.batch
        bar = tqdm(total=trainer.steps, initial=done, desc="train", unit="step", disable=None if self.first else True)
        with bar, noted_signals() as signals:
            try:
                trainer.run(augment, self._on_step(bar, signals), self._on_epoch, workers)
                self._stop_if(signals)  # asked for during the last validation
            except Preempted:
                self._checkpoint()
                raise
            finally:
                if self.board:
                    self.board.close()

    def _on_step(self, bar: Any, signals: Signals) -> Callable[[float, float], None]:
        def on_step(total: float, decoupling: float) -> None:
            bar.update()
            bar.set_postfix(loss=f"{total:.2f}", decoupling=f"{decoupling:.2f}")
            self._stop_if(signals)

        return on_step

    def _stop_if(self, signals: Signals) -> None:
        number = agreed(self.trainer.fabric, signals.number)
        if number:
            raise Preempted(number)

    def _on_epoch(self, record: dict[str, Any]) -> None:
        config, epoch = self.trainer.config, record["epoch"]
        last = epoch == config.epochs
        if self.first and (last or epoch % config.validate_every == 0):
            self._validate(record)
        if self.first:
            if KEY in record:
                tqdm.write(f"epoch {epoch}  gradient at the encoders: {said(record[KEY])}", sys.stderr)
            add_line(self.partial / METRICS, record)
            if "val" in record:
                self.draw()
            if self.board:
                _to_board(self.board, record, self.trainer.model.task_set.names)
        if last or epoch % self.run_options.checkpoint_every == 0:
            self._checkpoint()

    def draw(self) -> None:
        draw_curves(self.trainer.progress.records, self.partial / CURVES, self.trainer.model.task_set)

    def _validate(self, record: dict[str, Any]) -> None:
        """Score the validation split in full precision, and keep the weights if they are the best so far."""
        model, progress = self.trainer.kept, self.trainer.progress
        record["val"], accuracies = self.judge(model)
        mean = sum(accuracies.values()) / len(accuracies)
        if mean > progress.best:
            progress.best, progress.best_epoch = mean, record["epoch"]
            checkpoint.save_weights(self.partial / BEST, model)
        told = "  ".join(f"{task} {100 * share:.0f}" for task, share in accuracies.items())
        tqdm.write(f"epoch {record['epoch']}/{self.trainer.config.epochs}  val accuracy %: {told}", sys.stderr)

    def judge(self, model: Any) -> tuple[dict[str, Any], dict[str, float]]:
        """What to record of the validation split, and of each task the share that a run is chosen by."""
        scores = score(predict(model, self.val), self.val, model.task_set)
        return {task: asdict(r) for task, r in scores.items()}, {task: r.accuracy for task, r in scores.items()}

    def _checkpoint(self) -> None:
        state = self.trainer.state()
        if self.first:
            checkpoint.save_checkpoint(self.partial, {"began": self.began, **state})


def _tensorboard(partial: Path) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(partial / "tensorboard")


def _to_board(board: Any, record: dict[str, Any], names: Sequence[str]) -> None:
    for k, name in enumerate(names):
        board.add_scalar(f"loss/{name}", record["task_losses"][k], record["epoch"])
        board.add_scalar(f"weight/{name}", record["task_weights"][k], record["epoch"])
        if "val" in record:
            board.add_scalar(f"val_accuracy/{name}", record["val"][name]["accuracy"], record["epoch"])
    for name in ("learning_rate", "decoupling", "clips_per_s"):
        board.add_scalar(name, record[name], record["epoch"])
