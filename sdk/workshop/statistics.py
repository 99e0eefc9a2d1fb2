"""What so few clips, or steps, can show: intervals and an exact paired test, in numpy and the standard library.

Shares are shares, not percent; intervals are (low, high) and hold with CONFIDENCE.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
Z = 1.959963984540054  # of the standard normal distribution, two-sided at CONFIDENCE
RESAMPLES = 2000  # of a bootstrap
Interval = tuple[float, float]
Classes = NDArray[np.int64]  # (n,) class indices


def wilson(hits: int, n: int) -> Interval:
    """Of a share of n clips (Wilson 1927): keeps within 0..1 and has a width at 0 and at n, unlike the usual one."""
    if not n:
        return 0.0, 1.0
    share, extra = hits / n, Z * Z / n
    middle = (share + extra / 2) / (1 + extra)
    half = Z / (1 + extra) * math.sqrt(share * (1 - share) / n + extra / (4 * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def paired_interval(gained: int, lost: int, n: int) -> Interval:
    """Of the difference of two shares of the same n clips (Bonett and Price 2012, adjusted Wald).

    gained, lost: clips that only the second, only the first got right. Without any such clip it still has a width:
    n equal answers do not prove that all are.
    """
    up, down = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    half = Z * math.sqrt((up + down - (up - down) ** 2) / (n + 2))
    return up - down - half, up - down + half


def mcnemar(gained: int, lost: int) -> float:
    """Exact two-sided p that both are right equally often (McNemar 1947), from the clips that only one got right."""
    n, few = gained + lost, min(gained, lost)
    tail = sum(math.comb(n, k) for k in range(few + 1)) / 2**n
    return float(min(1.0, 2 * tail))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values, corrected for being one of several tests (Holm 1979)."""
    order = np.argsort(p_values, kind="stable")
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, at in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[at]))
        corrected[at] = highest
    return corrected


def f1_interval(labels: Classes, predictions: Classes, classes: int, seed: int = 0) -> Interval:
    """Of the macro-F1, bootstrap over clips: percentiles of RESAMPLES draws.

    predictions: -1 where there was no answer. Clips of one label and one answer are exchangeable, so that drawing how
    often each pair occurs is drawing the clips.
    """
    n = len(labels)
    pairs = np.bincount(labels * (classes + 1) + predictions + 1, minlength=classes * (classes + 1))
    drawn = np.random.default_rng(seed).multinomial(n, pairs / n, RESAMPLES)
    counts = drawn.reshape(RESAMPLES, classes, classes + 1)  # (draw, label, answer + 1)
    labelled, answered = counts.sum(axis=2), counts.sum(axis=1)[:, 1:]
    hits = np.diagonal(counts[:, :, 1:], axis1=1, axis2=2)
    there = labelled > 0  # as codriver.evaluate.macro_f1: over the classes that occur
    f1 = np.where(there, 2 * hits / np.maximum(labelled + answered, 1), 0.0).sum(axis=1) / there.sum(axis=1)
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(f1, (tail, 100 - tail))
    return float(low), float(high)


def quantile_interval(values: Sequence[float], share: float) -> Interval:
    """Of a quantile, from the order of the values alone; no distribution is assumed, only that they are independent.

    high is infinite where there are too few values to bound it: for p99, below 368.
    """
    ordered, n, tail = sorted(values), len(values), (1 - CONFIDENCE) / 2
    below = np.cumsum([_binomial(k, n, share) for k in range(n + 1)])  # P(at most k values lie below the quantile)
    low = int(np.searchsorted(below, tail, side="right"))  # ranks from 1; 0: none
    high = int(np.searchsorted(below, 1 - tail)) + 1
    return ordered[low - 1] if low else -math.inf, ordered[high - 1] if high <= n else math.inf


def _binomial(k: int, n: int, p: float) -> float:
    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(ways + k * math.log(p) + (n - k) * math.log1p(-p))
