"""AFD-Loss from its formulas: task losses, weightings, three decoupling terms, the slots' own guesses.

N clips · K classes · D width of an embedding. Class weights, task names and states are given as plain arrays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
LEAST = 1e-4  # of a loss in logarithms and quotients


def softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def held(values: Floats, least: float, most: float) -> Floats:
    """c * values within bounds, with the c, found by halving, that makes their mean 1."""
    low, high = 0.0, most / values.min()
    for _ in range(200):
        c = (low + high) / 2
        low, high = (c, high) if np.clip(c * values, least, most).mean() < 1 else (low, c)
    return np.asarray(np.clip(c * values, least, most))


def class_weights(counts: Sequence[int], power: float) -> Floats:
    """(1 / share) ** power, divided so that a clip drawn at random weighs 1 on average; unseen classes: 1 before."""
    share = np.array(counts) / sum(counts)
    raw = np.array([s**-power if s else 1.0 for s in share])
    return np.asarray(raw / (raw * share).sum())


def targets(labels: Ints, weights: Floats, smoothing: float) -> Floats:
    """(N, K): what multiplies -log p in each clip. A clip without a label (-1) has zeros."""
    classes = len(weights)
    wanted = np.zeros((len(labels), classes))
    for row, label in enumerate(labels):
        if label >= 0:
            wanted[row] = smoothing / classes * weights
            wanted[row, label] += (1 - smoothing) * weights[label]
    return wanted


def task_loss(logits: Floats, labels: Ints, weights: Floats, smoothing: float) -> float:
    """Cross-entropy, the mean weighted by the labels' classes, in units of guessing evenly."""
    if (labels < 0).all():
        return 0.0
    cost = -(targets(labels, weights, smoothing) * np.log(softmax(logits))).sum()
    return float(cost / weights[labels[labels >= 0]].sum() / math.log(logits.shape[1]))


def task_slope(logits: Floats, labels: Ints, weights: Floats, smoothing: float) -> Floats:
    """(N, K): the derivative of `task_loss` by the logits."""
    wanted = targets(labels, weights, smoothing)
    slope = wanted.sum(axis=1, keepdims=True) * softmax(logits) - wanted
    return np.asarray(slope / max(weights[labels[labels >= 0]].sum(), 1e-6) / math.log(logits.shape[1]))


def auxiliary_loss(
    guesses: Sequence[Floats], asked: Sequence[NDArray[np.bool_]], labels: Ints, weights: Floats, smoothing: float
) -> float:
    """One task's: the mean, over the streams that remember anything in this batch, of the loss of all their slots.

    guesses: by stream that can know of the task, (N, T, K). asked: by stream, (N, T), the slots that are remembered.
    """
    losses = []
    for guess, there in zip(guesses, asked, strict=True):
        if there.any():
            rows = [(clip, slot) for clip in range(len(labels)) for slot in np.flatnonzero(there[clip])]
            logits = np.array([guess[row] for row in rows])
            losses.append(task_loss(logits, np.array([labels[clip] for clip, _ in rows]), weights, smoothing))
    return sum(losses) / len(losses) if losses else 0.0


# Decoupling. specific: (N, tasks, D). shared: (N, D).


def _angles(rows: Floats) -> Floats:
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(unit @ unit.T)


def cosine(specific: Floats, shared: Floats) -> float:
    """The mean squared cosine of all pairs among the tasks' embeddings and the shared one."""
    squares = []
    for own, common in zip(specific, shared, strict=True):
        angles = _angles(np.vstack([own, common]))
        squares += [angles[i, j] ** 2 for i in range(len(angles)) for j in range(i)]
    return float(np.mean(squares))


def gram(specific: Floats, shared: Floats) -> float:
    """|| Z Z^T - I ||_F^2 with rows of unit length, mean over clips."""
    return float(np.mean([np.linalg.norm(_angles(own) - np.eye(len(own))) ** 2 for own in specific]))


def difference(specific: Floats, shared: Floats) -> float:
    """|| H_0^T H_k / N ||_F^2 of centred embeddings with rows of unit length, mean over tasks."""

    def ready(embedding: Floats) -> Floats:
        centred = embedding - embedding.mean(axis=0)
        return np.asarray(centred / np.linalg.norm(centred, axis=1, keepdims=True))

    common = ready(shared)
    parts = [np.linalg.norm(common.T @ ready(specific[:, k]) / len(shared)) ** 2 for k in range(specific.shape[1])]
    return float(np.mean(parts))


DECOUPLING = {"none": lambda specific, shared: 0.0, "cosine": cosine, "gram": gram, "difference": difference}


# Weightings. losses: (K,), all labelled.


@dataclass
class Adam:
    """Kingma and Ba 2015 with L2 decay, betas 0.9 and 0.999."""

    rate: float
    decay: float = 0.0
    eps: float = 1e-8
    first: Floats = field(default_factory=lambda: np.zeros(1))
    second: Floats = field(default_factory=lambda: np.zeros(1))
    steps: int = 0

    def step(self, values: Floats, slope: Floats) -> Floats:
        slope = slope + self.decay * values
        self.steps += 1
        self.first = 0.9 * self.first + 0.1 * slope
        self.second = 0.999 * self.second + 0.001 * slope**2
        first, second = self.first / (1 - 0.9**self.steps), self.second / (1 - 0.999**self.steps)
        return np.asarray(values - self.rate * first / (np.sqrt(second) + self.eps))


def dwa(history: Sequence[Sequence[float]], tasks: int, temperature: float) -> Floats:
    """Liu et al. 2019: K softmax(r / T), r the ratio of the two epochs before; 1 until there are two."""
    if len(history) < 2:
        return np.ones(tasks)
    return tasks * softmax(np.array(history[-1]) / np.array(history[-2]) / temperature)


def geometric(losses: Floats) -> Floats:
    """Chennupati et al. 2019: K (prod L)^(1/K) has the slope w_k = (prod L)^(1/K) / L_k."""
    return np.asarray(np.prod(losses) ** (1 / len(losses)) / losses)


def famo(losses: Floats, scores: Floats) -> Floats:
    """Liu et al. 2023: proportional to z_k / L_k, z = softmax(scores); here K in sum."""
    parts = softmax(scores) / losses
    return np.asarray(len(losses) * parts / parts.sum())


def famo_slope(before: Floats, after: Floats, scores: Floats) -> Floats:
    """d/dscores of sum_k z_k (log L_k - log L_k')."""
    shares, fall = softmax(scores), np.log(before) - np.log(after)
    jacobian = np.diag(shares) - np.outer(shares, shares)
    return np.asarray(jacobian @ fall)


def gradnorm_slope(losses: Floats, norms: Floats, scores: Floats, alpha: float) -> Floats:
    """d/dscores of sum_k | w_k g_k - mean(w g) r_k^alpha |, the second term constant; w = K softmax(scores)."""
    tasks, shares = len(losses), softmax(scores)
    lengths = tasks * shares * norms
    rates = losses / losses.mean()
    side = np.sign(lengths - lengths.mean() * rates**alpha)
    jacobian = tasks * (np.diag(shares) - np.outer(shares, shares))
    return np.asarray(jacobian @ (side * norms))


def uncertainty(losses: Floats, log_variances: Floats) -> float:
    """Kendall et al. 2018, as LibMTL has it: sum_k L_k / (2 exp s_k) + s_k / 2."""
    return float((losses / (2 * np.exp(log_variances)) + log_variances / 2).sum())


def distance(student: Sequence[Floats], teacher: Sequence[Floats], temperature: float) -> float:
    """sum_k T^2 KL(teacher_k / T || student_k / T) / ln K_k, mean over clips. Each (N, K)."""
    total = 0.0
    for own, wanted in zip(student, teacher, strict=True):
        p, q = softmax(wanted / temperature), softmax(own / temperature)
        total += temperature**2 * (p * np.log(p / q)).sum(axis=1).mean() / math.log(own.shape[1])
    return float(total)
