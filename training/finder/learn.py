"""The finder's training loop: one process, one optimizer, a moving average of the weights, and checkpoints between.

An epoch's order and variation follow from the seed and the epoch alone, so a resumed run steps like one never stopped.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from codriver.errors import CodriverError, ConfigError
from training.data.batches import epoch_order, made_ahead
from training.finder.losses import finder_loss
from training.finder.model import SIZES, Finder
from training.finder.pictures import FinderVaryConfig, Pictures
from training.trainer import checkpoint
from training.trainer.checkpoint import METRICS
from training.trainer.optimizer import groups, warming_average
from training.trainer.signals import Signals, noted_signals
from workshop.artifacts import add_line
from workshop.command import Preempted


@dataclass(frozen=True, kw_only=True)
class FinderTrainConfig:
    """All that shapes the weights, but for data and variation."""

    size: str = "demo"
    gesture: bool = False  # also look for the hands' 42 points, which are worth under a point on drawn footage
    epochs: int = 10
    batch: int = 32  # frames in a step
    frames_per_clip: int = 8  # of every clip, spread evenly over it
    learning_rate: float = 4e-3  # peak, after warm-up
    warm_up: float = 0.15  # share of all steps
    weight_decay: float = 0.02
    clip_gradient: float = 5.0  # norm
    ema: float = 0.99  # decay of the weights' moving average, which is kept
    folds: int = 0  # finders that are trained beside it, each without a part of the clips; see lookout.py
    seed: int = 0

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise ConfigError(f"size is {self.size!r}, expected one of {', '.join(SIZES)}")
        for name in ("epochs", "batch", "frames_per_clip"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected 1 or more")
        if self.folds < 0 or self.folds == 1:
            raise ConfigError(f"folds is {self.folds}, expected 0 or from 2 on: one fold leaves nothing to learn from")
        if not 0.0 < self.ema < 1.0:
            raise ConfigError(f"ema is {self.ema}, expected above 0 to below 1, for example 0.99")


@dataclass
class Learner:
    """A finder under way. `epoch` and `records` say what is done."""

    config: FinderTrainConfig
    vary: FinderVaryConfig
    pictures: Pictures
    epoch: int = 0
    records: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        config = self.config
        steps = math.ceil(len(self.pictures) / config.batch) * config.epochs
        torch.manual_seed(config.seed)
        self.model = Finder(replace(SIZES[config.size], gesture=config.gesture))
        self.pictures = self.pictures.of(self.model.points)
        self.average = AveragedModel(self.model, multi_avg_fn=warming_average(config.ema), use_buffers=True)
        shrunk = groups(torch.nn.ModuleDict({"model": self.model}), config.weight_decay)
        self.optimizer = torch.optim.AdamW(shrunk, lr=config.learning_rate, fused=True)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, config.learning_rate, total_steps=steps + 1, pct_start=config.warm_up, cycle_momentum=False
        )

    @property
    def kept(self) -> Finder:
        kept: Finder = self.average.module
        return kept

    def run_epoch(self, on_step: Callable[[float], None] = lambda _: None) -> dict[str, Any]:
        """One pass over all frames; returns the epoch's record."""
        config, started, losses = self.config, time.perf_counter(), []
        self.model.train()
        order = epoch_order(len(self.pictures), config.seed, self.epoch)
        rows = np.array_split(order, math.ceil(len(order) / config.batch))
        seed = (config.seed, self.epoch)
        for batch in made_ahead(lambda some: self.pictures.batch(some, self.vary, seed), rows, 1):
            losses.append(self._step(batch))
            on_step(losses[-1])
        self.epoch += 1
        record = {
            "epoch": self.epoch,
            "loss": round(float(np.mean(losses)), 4),
            "learning_rate": self.schedule.get_last_lr()[0],
            "seconds": round(time.perf_counter() - started, 2),
        }
        self.records.append(record)
        return record

    def _step(self, batch: tuple[torch.Tensor, ...]) -> float:
        pixels, points, weights, presence = batch
        loss = finder_loss(self.model(pixels), points, weights, presence)
        if not torch.isfinite(loss):
            raise CodriverError(f"the loss is {loss.item()} in epoch {self.epoch + 1}; lower --learning-rate")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_gradient)
        self.optimizer.step()
        self.schedule.step()
        self.average.update_parameters(self.model)
        return float(loss.detach())

    def state(self) -> dict[str, Any]:
        """All that the next epoch depends on."""
        parts = {name: getattr(self, name).state_dict() for name in ("model", "average", "optimizer", "schedule")}
        return {"epoch": self.epoch, "records": self.records, **parts}

    def load_state(self, state: dict[str, Any]) -> None:
        self.epoch, self.records = state["epoch"], state["records"]
        for name in ("model", "average", "optimizer", "schedule"):
            getattr(self, name).load_state_dict(state[name])


def fit(learner: Learner, partial: Path, began: dict[str, Any]) -> None:
    """Train to the last epoch, with a checkpoint after each. Raises Stopped after a signal, at the end of an epoch."""
    config = learner.config
    steps = math.ceil(len(learner.pictures) / config.batch)
    bar = tqdm(total=steps * config.epochs, initial=steps * learner.epoch, desc="train", unit="step", disable=None)
    with bar, noted_signals() as signals:
        while learner.epoch < config.epochs:
            record = learner.run_epoch(lambda loss: _show(bar, loss))
            add_line(partial / METRICS, record)
            checkpoint.save_checkpoint(partial, {"began": began, **learner.state()})
            _stop_if(signals)


def _show(bar: Any, loss: float) -> None:
    bar.update()
    bar.set_postfix(loss=f"{loss:.2f}")


def _stop_if(signals: Signals) -> None:
    if signals.number is not None:
        raise Preempted(signals.number)


def identity(config: FinderTrainConfig, vary: FinderVaryConfig, data: dict[str, str]) -> dict[str, Any]:
    """All that a run must have in common with the one it resumes, as JSON values."""
    return dict(json.loads(json.dumps({"train": asdict(config), "vary": asdict(vary), "data": data})))
