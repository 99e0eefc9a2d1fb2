"""The trainer: one process or many, the same steps. Lightning Fabric does the distribution and the precision.

    global batch --cut into processes x accumulate parts--> each process: its parts, one after the other --> one step

All that is random in a part follows from (seed, epoch, batch, part): two processes step like one that accumulates two
parts, and a resumed run steps like one never interrupted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from codriver.errors import CodriverError, ConfigError
from training.data.batches import Batch, balance, epoch_order, epoch_parts, made_ahead, varied_batch
from training.data.clips import Clip, labels_of
from training.losses import instruments
from training.losses.afd import AFDLoss
from training.losses.shares import KEY, gradients_at
from training.model.uvm3tl import UVM3TL
from training.trainer.adatask import make_moments
from training.trainer.config import TrainConfig
from training.trainer.kept import KeptMotions
from training.trainer.learner import ModelWithLoss, laid_out
from training.trainer.optimizer import one_cycle, warming_average
from training.trainer.processes import average, of_all

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass
class TrainingState:
    """Where a run stands. `epoch` and `batch` count what is done; `records` are the lines of metrics.jsonl."""

    epoch: int = 0
    batch: int = 0  # of the epoch that is under way
    seconds: float = 0.0  # spent on these batches
    decoupling: float = 0.0  # sum over these batches
    gradients: dict[str, Any] = field(default_factory=dict)  # see losses/shares.py, of the epoch's first batch
    instruments: dict[str, Any] = field(default_factory=dict)  # see losses/instruments.py, likewise
    best: float = -1.0  # mean validation accuracy
    best_epoch: int = 0
    records: list[dict[str, Any]] = field(default_factory=list)


class Trainer:
    """Model, loss, optimizer, schedule and average, and where they stand; `run` goes on from there."""

    def __init__(
        self,
        fabric: Fabric,
        model: UVM3TL,
        loss: AFDLoss,
        clips: Sequence[Clip],
        config: TrainConfig,
        keep_in: Path | None = None,
    ) -> None:
        """keep_in: where epochs at rest keep what was seen; see TrainConfig.rest."""
        self.fabric, self.config, self.clips, self.loss = fabric, config, clips, loss
        self.sampling = balance(labels_of(clips)) if config.sampling == "balanced" else None
        self.parts, self.keep_in = fabric.world_size * config.accumulate, keep_in
        self.motions: KeptMotions | None = None
        if config.rest and (fabric.world_size > 1 or keep_in is None):
            raise ConfigError(
                f"rest is {config.rest}: expected 0 for {fabric.world_size} processes; one alone can rest"
            )
        steps = len(self._epoch_parts(0))
        if not steps:
            raise ConfigError(
                f"{len(clips)} training clips and a batch of {config.batch} do not give {fabric.world_size} processes "
                f"x {config.accumulate} parts 2 clips each; raise --batch, or take fewer processes or parts"
            )
        self.steps = steps * config.epochs
        if config.sync_norm and fabric.world_size > 1 and fabric.device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        self.model = fabric.to_device(laid_out(model, config.precision))
        moving = warming_average(config.ema)
        self.ema = AveragedModel(self.model, multi_avg_fn=moving, use_buffers=True) if config.ema else None
        self.raw_learner = self.make_learner()
        self.raw_optimizer, self.schedule = self.make_optimizer(self.raw_learner)
        self.learner, optimizer = fabric.setup(self.raw_learner, self.raw_optimizer)
        self.moments = make_moments(fabric, self.raw_learner, optimizer, config)
        self.progress = TrainingState()

    def make_learner(self) -> ModelWithLoss:
        """What a step calls. QAT adds a teacher."""
        return ModelWithLoss(self.model, self.loss)

    def make_optimizer(
        self, learner: ModelWithLoss
    ) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
        """The optimizer and its schedule over all steps. QAT has groups and a schedule of its own."""
        return one_cycle(learner, self.config, self.steps)

    @property
    def kept(self) -> UVM3TL:
        """The weights to evaluate and to keep: the moving average if there is one."""
        kept: UVM3TL = self.ema.module if self.ema else self.model
        return kept

    def run(
        self,
        augment: Any,
        on_step: Callable[[float, float], None],
        on_epoch: Callable[[dict[str, Any]], None],
        workers: int = 1,
    ) -> None:
        """Train from where the progress stands to the last epoch.

        on_step: called with loss and decoupling after each step; raising Stopped there leaves a state to go on from.
        on_epoch: called with the epoch's record after each epoch, and may add to it.
        """
        while self.progress.epoch < self.config.epochs:
            self._epoch(augment, on_step, workers)
            on_epoch(self._end_epoch())

    def _epoch(self, augment: Any, on_step: Callable[[float, float], None], workers: int) -> None:
        epoch, progress, config = self.progress.epoch, self.progress, self.config
        kind = config.lessons(epoch)
        if epoch and not progress.batch and kind != config.lessons(epoch - 1):
            self.loss.forget()
        self.learner.train()  # evaluation of the epoch before has put normalisation to rest
        varied = self.variation(augment, epoch)
        if kind.rest:
            self._rest(augment)
        mine = slice(self.fabric.global_rank * config.accumulate, (self.fabric.global_rank + 1) * config.accumulate)
        batches = self._epoch_parts(epoch)[progress.batch :]  # those done before an interruption are not even made
        keys = [(rows, sum(map(len, parts))) for parts in batches for rows in parts[mine]]
        ahead = made_ahead(lambda key: (self.make_batch(key[0], epoch, varied), key[1]), keys, workers)
        try:
            for _ in batches:
                start = time.perf_counter()
                total, decoupling = self._step([next(ahead) for _ in range(config.accumulate)])
                progress.batch += 1
                progress.decoupling += decoupling
                progress.seconds += time.perf_counter() - start
                on_step(total, decoupling)
        finally:
            ahead.close()  # type: ignore[attr-defined]

    def _step(self, lessons: list[tuple[Batch, int]]) -> tuple[float, float]:
        """Parts of one batch, each with the size of the whole batch -> loss and decoupling, this process's means."""
        fabric, results = self.fabric, []
        for number, (batch, whole) in enumerate(lessons):
            self._seed(number)
            share = self.size_of(batch) / whole  # parts may differ by a clip
            with fabric.no_backward_sync(self.learner, enabled=number + 1 < len(lessons)):
                total, _, decoupling = self.learner(*fabric.to_device(batch))
                self._measure(number)
                self.moments.backward(total, share * fabric.world_size)  # the mean over processes is taken on the way
            self.raw_learner.terms, self.raw_learner.parts = {}, None  # and with them the graph
            results.append(share * torch.stack([total.detach(), decoupling.detach()]))
        self.moments.step()
        self.schedule.step()
        if self.ema:
            self.ema.update_parameters(self.model)
        self.loss.after_step(lambda: self._losses_after(lessons))
        total, decoupling = (fabric.world_size * sum(results)).tolist()
        if not math.isfinite(total):
            where = f"epoch {self.progress.epoch + 1}, step {self.progress.batch + 1}"
            raise CodriverError(f"the loss is {total} at {where}; lower --learning-rate or take --precision 32-true")
        return total, decoupling

    def _measure(self, part: int) -> None:
        """In the first batch of an epoch, what moves the encoders: each task, and in the first and the last each term.

        A backward pass for each costs time."""
        learner, progress = self.raw_learner, self.progress
        last = max(epoch for epoch in range(self.config.epochs) if not self.config.lessons(epoch).rest)
        terms, parts = learner.terms, learner.parts
        if progress.batch or part or parts is None or progress.epoch > last:
            return
        if progress.epoch in (0, last):
            progress.gradients = gradients_at(self.encoders().parameters(), terms)
        if self.config.measure_every and (progress.epoch % self.config.measure_every == 0 or progress.epoch == last):
            found = instruments.task_gradients(self.common(), parts.each)
            progress.instruments = found | {"likeness": instruments.likeness(parts.embeddings)}

    @torch.no_grad()
    def _losses_after(self, lessons: list[tuple[Batch, int]]) -> Tensor:
        """(tasks,) losses of the same batch with the stepped weights, the mean over this process's parts."""
        losses = []
        for number, (batch, _) in enumerate(lessons):
            self._seed(number)
            losses.append(self.losses_of(self.fabric.to_device(batch)))
        return torch.stack(losses).mean(dim=0)

    def variation(self, augment: Any, epoch: int) -> Any:
        """How this epoch varies its clips."""
        kind = self.config.lessons(epoch)
        return replace(augment, runs=self.config.sparse_runs if kind.sparse else 0, half=kind.half)

    def _rest(self, augment: Any) -> None:
        """From here on the encoders see nothing more: clips are seen once, unless that was before an interruption."""
        self.model.rest()
        self.raw_learner.recalls = True
        if not self.motions:
            self.motions = KeptMotions(self.model, self.clips, self.keep_in or Path(), self.config.seed)
            self.motions.make(augment, self.fabric.autocast())

    def encoders(self) -> nn.Module:
        """What all tasks share; the loss's gradients are measured there."""
        return self.model.encoders

    def common(self) -> dict[str, nn.Module]:
        """Where tasks meet: there their gradients are compared."""
        return {"encoders": self.encoders(), "dbscme": self.model.dbscme}

    def make_batch(self, rows: Any, epoch: int, augment: Any) -> Any:
        """The clips of these rows as this epoch varies them; what `make_learner`'s module is called with."""
        if self.motions:
            return self.motions.batch(rows, epoch, augment)
        return varied_batch(self.clips, rows, self.config.seed, epoch, augment)

    def size_of(self, batch: Any) -> int:
        """Clips in a batch."""
        return len(batch[-1])

    def losses_of(self, batch: Any) -> Tensor:
        """(tasks,) losses of a batch with the weights as they are."""
        frames, mask, labels = batch
        with self.fabric.autocast():
            fused = self.model(frames, mask)
        return self.loss.task_losses(fused, labels)

    def _seed(self, number: int) -> None:
        """Dropout of a part is the same wherever and whenever it is computed."""
        part = self.fabric.global_rank * self.config.accumulate + number
        entropy = [self.config.seed, self.progress.epoch, self.progress.batch, part]
        torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> 1))

    def _epoch_parts(self, epoch: int) -> list[list[np.ndarray[Any, Any]]]:
        order = epoch_order(len(self.clips), self.config.seed, epoch, self.sampling)
        return epoch_parts(order, self.config.batch, self.parts)

    def _end_epoch(self) -> dict[str, Any]:
        """Close the epoch on all processes alike, and say how it went."""
        progress, weights = self.progress, self.loss.weights
        average(self.fabric, self._buffers())
        self.loss.end_epoch(self._sum)
        record = {
            "epoch": progress.epoch + 1,
            **asdict(self.config.lessons(progress.epoch)),
            "learning_rate": self.schedule.get_last_lr()[0],
            "task_weights": weights,
            "task_losses": self.loss.history[-1],
            "decoupling": progress.decoupling / max(progress.batch, 1),
            "seconds": round(progress.seconds, 3),
            "clips_per_s": round(len(self.clips) / max(progress.seconds, 1e-9), 2),
        }
        if progress.gradients:
            record[KEY], progress.gradients = progress.gradients, {}
        if progress.instruments:
            record[instruments.KEY], progress.instruments = progress.instruments, {}
        progress.records.append(record)
        progress.epoch, progress.batch, progress.seconds, progress.decoupling = progress.epoch + 1, 0, 0.0, 0.0
        return record

    def _sum(self, tensor: Tensor) -> Tensor:
        return self.fabric.all_reduce(tensor, reduce_op="sum")

    def _buffers(self) -> list[Tensor]:
        return [*self.model.buffers(), *(self.ema.module.buffers() if self.ema else ())]

    def state(self) -> dict[str, Any]:
        """All that the next step depends on; every process must call this."""
        own = {"loss": self.loss.state_dict(), "buffers": [buffer.cpu() for buffer in self._buffers()]}
        return {
            "progress": asdict(self.progress),
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict() if self.ema else {},
            "optimizer": self.moments.state_dict(),
            "schedule": self.schedule.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "processes": of_all(self.fabric, own),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from `state`, which as many processes made."""
        own = state["processes"][self.fabric.global_rank]
        self.progress = TrainingState(**state["progress"])
        self.model.load_state_dict(state["model"])
        if self.ema:
            self.ema.load_state_dict(state["ema"])
        self.moments.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        self.loss.load_state_dict(own["loss"])
        for buffer, saved in zip(self._buffers(), own["buffers"], strict=True):
            buffer.copy_(saved)
