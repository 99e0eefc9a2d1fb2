"""How weights move: which of them shrink, at what rate over a run, and their moving average."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR
from torch.optim.swa_utils import get_ema_multi_avg_fn

from training.trainer.config import TrainConfig
from training.trainer.learner import ModelWithLoss

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class SharedMoments:
    """A step as everybody takes it: one gradient of all, clipped. See adatask.py for the other way."""

    def __init__(self, fabric: Fabric, learner: ModelWithLoss, optimizer: Any, clip: float) -> None:
        """optimizer: as fabric wraps it."""
        self.fabric, self.learner, self.optimizer, self.clip = fabric, learner, optimizer, clip
        self.raw: torch.optim.Optimizer = optimizer.optimizer

    def backward(self, total: Tensor, factor: float) -> None:
        """Add a part's gradients. total: what the learner's newest batch gave; factor: of this part."""
        self.fabric.backward(total * factor)

    def step(self) -> None:
        """Move by what was added, and forget it."""
        self._move(self.optimizer)

    def _move(self, optimizer: Any) -> None:
        self.fabric.clip_gradients(self.learner, self.optimizer, clip_val=self.clip)
        optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        return dict(self.raw.state_dict())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.raw.load_state_dict(state)


def one_cycle(learner: nn.Module, config: TrainConfig, steps: int) -> tuple[torch.optim.Optimizer, LRScheduler]:
    """AdamW, and a rate that rises to its peak and falls to nothing over all steps."""
    # One kernel for hundreds of small tensors: a tenth of a step. It unscales float16's gradients itself, and then
    # they cannot be clipped.
    fused = config.precision != "16-mixed"
    optimizer = torch.optim.AdamW(groups(learner, config.weight_decay), lr=config.learning_rate, fused=fused)
    peak, share = config.learning_rate, config.warm_up
    return optimizer, OneCycleLR(optimizer, peak, total_steps=steps + 1, pct_start=share, cycle_momentum=False)


def groups(learner: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay on the model's matrices and kernels only: biases, norms, scalars and the loss are not shrunk."""
    named = list(learner.named_parameters())
    shrunk = {name for name, parameter in named if parameter.ndim > 1 and name.startswith("model.")}
    return [
        {"params": [parameter for name, parameter in named if name in shrunk], "weight_decay": weight_decay},
        {"params": [parameter for name, parameter in named if name not in shrunk], "weight_decay": 0.0},
    ]


def warming_average(decay: float) -> Callable[[Any, Any, Any], None]:
    """Moving average whose decay rises as min(decay, (1 + n) / (10 + n)) with the number n of steps.

    Without that a short run would keep much of its random beginning: 0.999 ** 500 is 0.6. The formula is TensorFlow's
    (tf.train.ExponentialMovingAverage, num_updates). Whole numbers are counters and settings: they are copied.
    """

    def average(averaged: Any, current: Any, count: Any) -> None:
        n = int(count)
        if not averaged[0].is_floating_point():
            torch._foreach_copy_(averaged, current)
            return
        get_ema_multi_avg_fn(min(decay, (1 + n) / (10 + n)))(averaged, current, count)

    return average
