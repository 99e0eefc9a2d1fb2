"""Random batches for AFD-Loss, with what its formulas in NumPy make of them, step by step and epoch by epoch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from codriver.tasks import AIDE, STREAMS, VIEW_OF
from tests.formulas import afd as formulas
from training.losses.afd import AFD, AFDLoss, LossConfig, LossParts
from training.model.uvm3tl import Fused

CLIPS, WIDTH, SLOTS, TASKS = 6, 8, 5, len(AIDE.tasks)
CONFIG = LossConfig(
    **AFD,
    beta=0.3,
    auxiliary=0.4,
    label_smoothing=0.1,
    class_balance=0.7,
    gradnorm_alpha=0.4,
    dynamics_alpha=0.8,
    dynamics_steps=3,
    fixed=(1, 2, 5, 1.5),
)
RANDOM = np.random.default_rng(0)
COUNTS = {task.name: RANDOM.integers(1, 50, task.classes).tolist() for task in AIDE.tasks}
ABLE = {task.name: [s for s in STREAMS if VIEW_OF[s] in task.needs_any] for task in AIDE.tasks}


@dataclass
class Example:
    """A batch and what a model may have made of it."""

    shared: np.ndarray  # (N, D)
    heads: dict[str, np.ndarray]  # task -> (D, K); logits are shared @ head
    specific: np.ndarray  # (N, tasks, D)
    guesses: dict[str, dict[str, np.ndarray]]  # stream -> task -> (N, T, K)
    labels: np.ndarray  # (N, tasks)
    mask: np.ndarray  # (N, streams, T)
    fused: Fused = field(init=False)

    def __post_init__(self) -> None:
        shared = torch.tensor(self.shared, dtype=torch.float32, requires_grad=True)
        logits = {name: shared @ torch.tensor(head, dtype=torch.float32) for name, head in self.heads.items()}
        guesses = {s: {t: torch.tensor(g) for t, g in some.items()} for s, some in self.guesses.items()}
        self.fused = Fused(logits, torch.tensor(self.specific, dtype=torch.float32), shared, guesses)

    def by(self, loss: AFDLoss) -> LossParts:
        return loss(self.fused, torch.tensor(self.labels), torch.tensor(self.mask, dtype=torch.float32))


def example(seed: int, spread: float = 1.0) -> Example:
    """Random numbers; a third of the labels and of the slots are missing, one stream altogether."""
    random = np.random.default_rng(seed)
    heads = {task.name: spread * random.normal(size=(WIDTH, task.classes)) for task in AIDE.tasks}
    guesses = {
        s: {t.name: random.normal(size=(CLIPS, SLOTS, t.classes)) for t in AIDE.tasks if s in ABLE[t.name]}
        for s in STREAMS
    }
    labels = np.stack([random.integers(0, task.classes, CLIPS) for task in AIDE.tasks], axis=1)
    labels[random.random(labels.shape) < 0.3] = -1
    labels[0] = 0  # every task has a label
    mask = (random.random((CLIPS, len(STREAMS), SLOTS)) < 0.7).astype(np.float64)
    mask[:, random.integers(len(STREAMS))] = 0
    shared, specific = random.normal(size=(CLIPS, WIDTH)), random.normal(size=(CLIPS, TASKS, WIDTH))
    return Example(shared, heads, specific, guesses, labels, mask)


def task_losses(some: Example, config: LossConfig) -> np.ndarray:
    return np.array([formulas.task_loss(some.shared @ some.heads[t.name], *_of(some, k, config)) for k, t in _tasks()])


def _tasks() -> Any:
    return enumerate(AIDE.tasks)


def _of(some: Example, k: int, config: LossConfig) -> tuple[Any, ...]:
    weights = formulas.class_weights(COUNTS[AIDE.names[k]], config.class_balance)
    return some.labels[:, k], weights, config.label_smoothing


def auxiliary_losses(some: Example, config: LossConfig) -> np.ndarray:
    """A slot is remembered where the frame is there and the one a slot before it."""
    asked = np.zeros(some.mask.shape, bool)
    asked[:, :, 1:] = (some.mask[:, :, 1:] > 0) & (some.mask[:, :, :-1] > 0)
    losses = []
    for k, task in _tasks():
        guesses = [some.guesses[s][task.name] for s in ABLE[task.name]]
        there = [asked[:, STREAMS.index(s)] for s in ABLE[task.name]]
        losses.append(formulas.auxiliary_loss(guesses, there, *_of(some, k, config)))
    return np.array(losses)


def gradient_norms(some: Example, config: LossConfig) -> np.ndarray:
    """Of each task's loss by the shared embedding."""
    slopes = [
        formulas.task_slope(some.shared @ some.heads[t.name], *_of(some, k, config)) @ some.heads[t.name].T
        for k, t in _tasks()
    ]
    return np.array([np.linalg.norm(slope) for slope in slopes])


class Reference:
    """The whole loss, step by step and epoch by epoch, in NumPy."""

    def __init__(self, config: LossConfig) -> None:
        self.config, self.history = config, list[list[float]]()
        self.scores = np.zeros(TASKS)
        self.log_variance = np.full(TASKS, -0.5)
        self.adam = formulas.Adam(config.famo_rate, config.famo_decay)
        if config.weighting == "gradnorm":
            self.adam = formulas.Adam(config.gradnorm_rate)
        self.sums, self.counts = np.zeros(TASKS), np.zeros(TASKS)
        self.level, self.seen = np.ones(TASKS), np.zeros(TASKS)

    def step(self, some: Example) -> tuple[float, np.ndarray, np.ndarray, float]:
        """Total, task losses, weights, decoupling."""
        config, losses = self.config, task_losses(some, self.config)
        if config.weighting == "gradnorm":
            norms = gradient_norms(some, config)
            slope = formulas.gradnorm_slope(losses, norms, self.scores, config.gradnorm_alpha)
            self.scores = self.adam.step(self.scores, slope)
        here = (some.labels >= 0).any(axis=0)
        self.seen += here
        pace = np.minimum(np.maximum(self.seen, 1), config.dynamics_steps)
        self.level += here * (losses - self.level) / pace
        weights = self._weights(losses)
        total = float(weights @ losses)
        if config.weighting == "uncertainty":
            total = formulas.uncertainty(losses, self.log_variance)
        decoupling = formulas.DECOUPLING[config.decoupling](some.specific, some.shared)
        total += config.beta * decoupling + config.auxiliary * float(weights @ auxiliary_losses(some, config))
        labelled = (some.labels >= 0).sum(axis=0)
        self.sums, self.counts = self.sums + losses * labelled, self.counts + labelled
        return total, losses, weights, decoupling

    def after_step(self, before: np.ndarray, after: np.ndarray) -> None:
        if self.config.weighting == "famo":
            self.scores = self.adam.step(self.scores, formulas.famo_slope(before, after, self.scores))

    def end_epoch(self) -> None:
        self.history.append((self.sums / self.counts).tolist())
        self.sums, self.counts = np.zeros(TASKS), np.zeros(TASKS)

    def _weights(self, losses: np.ndarray) -> np.ndarray:
        config = self.config
        return {
            "equal": lambda: np.ones(TASKS),
            "dwa": lambda: formulas.dwa(self.history, TASKS, self.config.temperature),
            "uncertainty": lambda: 1 / (2 * np.exp(self.log_variance)),
            "gradnorm": lambda: TASKS * formulas.softmax(self.scores),
            "famo": lambda: formulas.famo(losses, self.scores),
            "gls": lambda: formulas.geometric(losses),
            "dynamics": lambda: formulas.held(self.level**config.dynamics_alpha, 0.5, 2.0),
            "fixed": lambda: np.array(config.fixed) / np.mean(config.fixed),
        }[config.weighting]()


def configured(**changes: Any) -> LossConfig:
    return LossConfig(**{**CONFIG.__dict__, **changes})
