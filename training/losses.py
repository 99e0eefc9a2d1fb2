"""AFD-Loss: adaptive weights from learning dynamics, and feature decoupling. Our instantiation.

The paper (arXiv 2602.01594) names both parts; their equations are not public. Ours:

    L = sum_k w_k(t) * CE_k / ln(K_k) + beta * L_dec

CE_k / ln(K_k) puts tasks of different class counts on one scale: guessing evenly costs 1 in each.
w_k(t) = n * exp(r_k / temperature) / sum_i exp(r_i / temperature), r_k = L_k(t-1) / L_k(t-2), the dynamic weight
average over epochs of Liu, Johns, Davison (CVPR 2019, "End-to-end multi-task learning with attention"); at first 1.
L_dec = mean squared cosine between the embeddings of every two tasks, and between each task's and the shared one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from codriver.tasks import STREAMS, TaskSet
from training.model import Fused


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    adaptive: bool = True  # False: every task weighs 1
    temperature: float = 2.0  # DWA's; higher is more even
    beta: float = 0.05  # of the decoupling term; 0 switches it off
    auxiliary: float = 1.0  # of the streams' own guesses; 0 switches them off
    label_smoothing: float = 0.05
    class_balance: float = 0.5  # class weight = (1 / share) ** this; 0 none, 1 fully balanced


@dataclass(frozen=True)
class LossParts:
    total: Tensor  # scalar, with gradient
    tasks: Tensor  # (tasks,) detached, CE_k / ln(K_k)
    decoupling: Tensor  # scalar, detached


class AFDLoss:
    """Holds the history that the weights come from; its state is saved with the checkpoint and goes on in QAT."""

    def __init__(self, task_set: TaskSet, config: LossConfig, class_counts: dict[str, list[int]]) -> None:
        self.task_set, self.config = task_set, config
        self.class_weights = [balanced_weights(class_counts[name], config.class_balance) for name in task_set.names]
        self.history: list[list[float]] = []  # mean loss of each task, epoch by epoch
        self._sum, self._seen = torch.zeros(len(task_set.tasks)), 0

    def __call__(self, fused: Fused, labels: Tensor, mask: Tensor) -> LossParts:
        """labels: (B, tasks) int64, -1 where a clip has no label for the task. mask: (B, S, T) of the clips."""
        names = self.task_set.names
        losses = torch.stack([self._task_loss(fused.logits[name], labels[:, k], k) for k, name in enumerate(names)])
        decoupling = decoupling_loss(fused.specific, fused.shared)
        weights = torch.tensor(self.weights, device=losses.device)
        total = (weights * losses).sum() + self.config.beta * decoupling
        if self.config.auxiliary and fused.guesses is not None:
            total = total + self.config.auxiliary * (weights * self._guess_losses(fused.guesses, labels, mask)).sum()
        self._sum += losses.detach().cpu().float() * len(labels)
        self._seen += len(labels)
        return LossParts(total, losses.detach(), decoupling.detach())

    def _guess_losses(self, guesses: dict[str, dict[str, Tensor]], labels: Tensor, mask: Tensor) -> Tensor:
        """(tasks,) loss of the streams' own guesses, averaged over the streams that are there and can know."""
        here = mask.any(dim=2)  # (B, S)
        losses = []
        for k, task in enumerate(self.task_set.names):
            parts = [
                self._task_loss(guesses[stream][task][here[:, index]], labels[here[:, index], k], k)
                for index, stream in enumerate(STREAMS)
                if task in guesses[stream] and here[:, index].any()
            ]
            losses.append(torch.stack(parts).mean() if parts else mask.new_zeros(()))
        return torch.stack(losses)

    def _task_loss(self, logits: Tensor, target: Tensor, k: int) -> Tensor:
        """CE_k / ln(K_k). logits: (N, K). target: (N,)."""
        if not (target >= 0).any():
            return logits.sum() * 0.0  # nothing to learn here, and no 0/0
        loss = F.cross_entropy(
            logits.float(),
            target,
            self.class_weights[k].to(logits.device),
            ignore_index=-1,
            label_smoothing=self.config.label_smoothing,
        )
        return loss / math.log(self.task_set.tasks[k].classes)

    @property
    def weights(self) -> list[float]:
        """One weight per task, their mean 1; constants for the gradient."""
        if not self.config.adaptive or len(self.history) < 2:
            return [1.0] * len(self.task_set.tasks)
        rates = [last / max(before, 1e-8) for last, before in zip(self.history[-1], self.history[-2], strict=True)]
        top = max(rates)
        powers = [math.exp((rate - top) / self.config.temperature) for rate in rates]
        return [len(powers) * power / sum(powers) for power in powers]

    def end_epoch(self) -> None:
        """Close an epoch: its mean losses join the history that sets the next weights."""
        if self._seen:
            self.history.append((self._sum / self._seen).tolist())
        self._sum, self._seen = torch.zeros_like(self._sum), 0

    def state_dict(self) -> dict[str, Any]:
        return {"history": self.history}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.history = [list(map(float, epoch)) for epoch in state["history"]]


def balanced_weights(counts: list[int], power: float) -> Tensor:
    """Class weights (1 / share) ** power, scaled so that the expected weight of a clip is 1. Unseen classes weigh 1."""
    share = torch.tensor(counts, dtype=torch.float32) / max(sum(counts), 1)
    weights = torch.where(share > 0, share.clamp(min=1e-6) ** -power, torch.ones_like(share))
    return weights / (weights * share).sum().clamp(min=1e-6)


def decoupling_loss(specific: Tensor, shared: Tensor) -> Tensor:
    """Mean squared cosine over task pairs and task-shared pairs, 0 (orthogonal) to 1.

    specific: (B, tasks, D). shared: (B, D).
    """
    unit = F.normalize(torch.cat([specific, shared[:, None]], dim=1).float(), dim=2, eps=1e-6)  # (B, n, D)
    cosine = unit @ unit.transpose(1, 2)  # (B, n, n)
    n = cosine.shape[1]
    pairs = torch.triu(torch.ones(n, n, dtype=torch.bool, device=cosine.device), diagonal=1)
    return cosine[:, pairs].square().mean()
