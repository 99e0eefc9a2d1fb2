"""Task weights that do not follow the usual papers: from how far each task still is, and fixed by hand.

The paper (arXiv 2602.01594) says that weights follow the learning dynamics; its equation is not public. Ours:

    l_k: moving average over about 50 steps of CE_k / ln K_k      1: no better than guessing
    w_k = l_k^alpha, scaled to a mean of 1 and held within [.5, 2]

A task that lags weighs more, at once and in every step, where DWA looks at the ratio of two epochs' means.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from codriver.errors import ConfigError
from training.losses.weighting import SMALL, Equal, Reduce

LEAST, MOST = 0.5, 2.0
SETTLES = 5  # weights wait for this part of the window: one batch of a few clips says little of a task
ROUNDS = 16  # of scaling and clipping; both hold to rounding after a few


class LearningDynamics(Equal):
    """w_k proportional to (moving average of L_k) ** alpha, mean 1, within LEAST and MOST. Our instantiation."""

    def __init__(self, trained: Tensor, alpha: float, steps: int) -> None:
        """steps: window of the moving average, in optimizer steps."""
        super().__init__(trained)
        if alpha < 0 or steps < 1:
            raise ConfigError(
                f"dynamics: got alpha {alpha} and {steps} steps, expected alpha 0 or more and 1 or more steps"
            )
        self.alpha, self.steps = alpha, steps
        self.register_buffer("level", torch.ones(trained.shape))
        self.register_buffer("seen", torch.zeros(trained.shape))  # steps of each task since the last `forget`

    def weigh(self, losses: Tensor, here: Tensor, shared: Tensor | None) -> Tensor:
        if self.training:
            fresh = losses.detach().float()
            here = here & torch.isfinite(fresh)
            self.seen += here
            moved = self.level + (torch.nan_to_num(fresh) - self.level) / self.seen.clamp(1, self.steps)
            self.level.copy_(torch.where(here, moved, self.level))
        return self.now()

    def now(self) -> Tensor:
        if self.seen.max() * SETTLES < self.steps:
            return self.used
        return held(self.level.clamp(min=SMALL) ** self.alpha, self.trained)

    def forget(self) -> None:
        """What other lessons cost says nothing of these; until enough is seen the weights stay as they were."""
        self.seen.zero_()

    def synchronise(self, reduce: Reduce) -> None:
        self.level.copy_(reduce(self.level.clone()) / reduce(torch.ones_like(self.level)))


class Fixed(Equal):
    """Weights chosen beforehand, scaled to a mean of 1 over the trained tasks."""

    def __init__(self, trained: Tensor, weights: Sequence[float]) -> None:
        super().__init__(trained)
        if len(weights) != len(trained) or min(weights) < 0 or not any(weights):
            raise ConfigError(
                f"fixed weights: got {tuple(weights)}, expected {len(trained)} numbers of 0 or more, one a task"
            )
        chosen = torch.tensor(weights, dtype=torch.float32) * trained
        self.used.copy_(chosen * trained.sum() / chosen.sum())


def held(values: Tensor, taking_part: Tensor) -> Tensor:
    """(K,) in proportion to the values, mean 1 over those taking part, within LEAST and MOST; 0 for the others."""
    weights = torch.where(taking_part, values, torch.zeros_like(values))
    for _ in range(ROUNDS):
        weights = weights * (taking_part.sum() / weights.sum())
        weights = torch.where(taking_part, weights.clamp(LEAST, MOST), weights)
    return weights
