"""How a quantizer's ranges are trained beside the weights: slower, never shrunk, and not to the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from training.trainer.optimizer import groups

if TYPE_CHECKING:
    from training.trainer.trainer import Trainer

    Base = Trainer
else:
    Base = object


class MovingRanges(Base):
    """Of a trainer whose model has `ranges()` and whose `qat` says how they move. It stands before Trainer."""

    qat: Any  # range_rate and hold_ranges, see QATConfig
    ranges: list[nn.Parameter]

    def make_optimizer(self, learner: Any) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
        """Weights as in training; ranges in a group of their own, slower and never shrunk. Cosine to zero."""
        rate = self.config.learning_rate
        self.ranges = self.model.ranges()
        own = {id(parameter) for parameter in self.ranges}
        parts = groups(learner, self.config.weight_decay)
        for part in parts:
            part["params"] = [p for p in part["params"] if p.is_floating_point() and id(p) not in own]
        parts.append({"params": self.ranges, "weight_decay": 0.0, "lr": rate * self.qat.range_rate})
        optimizer = torch.optim.AdamW(parts, lr=rate, fused=True)
        return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=self.steps)

    def _step(self, lessons: list[Any]) -> tuple[float, float]:
        """Ranges move in the first part of the steps, and stay in the rest."""
        done = self.progress.epoch * (self.steps // self.config.epochs) + self.progress.batch
        moving = done < (1.0 - self.qat.hold_ranges) * self.steps
        for parameter in self.ranges:
            parameter.requires_grad_(moving)
        return super()._step(lessons)
