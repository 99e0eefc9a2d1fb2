"""The metrics from their definitions, clip by clip and class by class. Shares, not percent."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def accuracy(truth: Ints, answer: Ints) -> float:
    return sum(int(t == a) for t, a in zip(truth, answer, strict=True)) / len(truth)


def recall(truth: Ints, answer: Ints, label: int) -> float:
    return accuracy(truth[truth == label], answer[truth == label])


def f1(truth: Ints, answer: Ints, label: int) -> float:
    """2 hits / (labelled + answered)"""
    hits = sum(int(t == a == label) for t, a in zip(truth, answer, strict=True))
    return 2 * hits / (int((truth == label).sum()) + int((answer == label).sum()))


def macro_f1(truth: Ints, answer: Ints) -> float:
    """Over the classes that have a label."""
    return float(np.mean([f1(truth, answer, label) for label in sorted(set(truth.tolist()))]))


def balanced_accuracy(truth: Ints, answer: Ints) -> float:
    return float(np.mean([recall(truth, answer, label) for label in sorted(set(truth.tolist()))]))


def ece(truth: Ints, probabilities: Floats, bins: int) -> float:
    """Guo et al. 2017, equation 3: clips by the confidence of their answer, in bins (i / M, (i + 1) / M]."""
    total, sure, answer = 0.0, probabilities.max(axis=1), probabilities.argmax(axis=1)
    for i in range(bins):
        inside = (sure > i / bins) & (sure <= (i + 1) / bins)
        if inside.any():
            right = accuracy(truth[inside], answer[inside])
            total += inside.sum() / len(truth) * abs(right - sure[inside].mean())
    return float(total)


def mcnemar_p(only_a: int, only_b: int) -> float:
    """Exact and two-sided: twice the smaller tail of a fair coin."""
    n, least = only_a + only_b, min(only_a, only_b)
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(least + 1)) / 2**n)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm 1979: the i-th smallest times (m - i + 1), never less than one before it, never above 1."""
    corrected, least = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = least
    return corrected


def percentile_interval(values: Sequence[float], level: float) -> tuple[float, float]:
    """The values between which the middle `level` of them lie, interpolated linearly."""

    def quantile(q: float) -> float:
        ordered = sorted(values)
        place = q * (len(ordered) - 1)
        low = math.floor(place)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (place - low) * (ordered[high] - ordered[low])

    return quantile((1 - level) / 2), quantile((1 + level) / 2)


def temperature_nll(labels: Ints, probabilities: Floats, temperature: float) -> float:
    """Mean -log of the true class after every logit was divided by the temperature."""
    total = 0.0
    for label, row in zip(labels, probabilities, strict=True):
        powers = row ** (1 / temperature)
        total -= math.log(powers[label] / powers.sum())
    return total / len(labels)
