"""What so few clips, or steps, can show: intervals, and tests of two models on the same clips. scipy defines them.

Shares are shares, not percent; intervals are (low, high) and hold with CONFIDENCE. Bootstraps are in resampling.
scipy is imported where it is used: it takes a second, which a --help should not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from workshop.resampling import (
    CONFIDENCE,
    RESAMPLES,
    BootstrapConfig,
    Classes,
    Interval,
    interval,
    macro_f1_of,
    resample,
)

Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
Right = NDArray[np.bool_]  # (n,) clips that a model got right


def wilson(hits: int, n: int) -> Interval:
    """Of a share of n clips (Wilson 1927): keeps within 0..1 and has a width at 0 and at n, unlike the usual one."""
    from scipy.stats import binomtest

    if not n:
        return 0.0, 1.0
    found = binomtest(hits, n).proportion_ci(CONFIDENCE, "wilson")
    return float(found.low), float(found.high)


def paired_interval(gained: int, lost: int, n: int) -> Interval:
    """Of the difference of two shares of the same n clips (Bonett and Price 2012, adjusted Wald).

    gained, lost: clips that only the second, only the first got right. Without any such clip it still has a width:
    n equal answers do not prove that all are.
    """
    up, down = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    half = Z * math.sqrt((up + down - (up - down) ** 2) / (n + 2))
    return up - down - half, up - down + half


def student_half(values: Sequence[float]) -> float:
    """Half the width of the interval of a mean (Student's t); at least two values, taken to be normal."""
    from scipy.stats import t

    error = np.std(values, ddof=1) / math.sqrt(len(values))
    return float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * error)


def quantile_interval(values: Sequence[float], share: float) -> Interval:
    """Of a quantile, from the order of the values alone; no distribution is assumed, only that they are independent.

    An end is infinite where there are too few values to bound it: the upper one of p99, below 368.
    """
    from scipy.stats import quantile_test

    found = quantile_test(values, p=share).confidence_interval(CONFIDENCE)  # nan where it cannot say
    low, high = float(found.low), float(found.high)
    return -math.inf if math.isnan(low) else low, math.inf if math.isnan(high) else high


def f1_interval(labels: Classes, predictions: Classes, classes: int, seed: int = 0) -> Interval:
    """Of the macro-F1, bootstrap over clips: percentiles of RESAMPLES draws.

    predictions: -1 where there was no answer. Clips of one label and one answer are exchangeable, so that drawing how
    often each pair occurs is drawing the clips.
    """
    n, columns = len(labels), classes + 1  # the first column: no answer
    pairs = np.bincount(labels * columns + predictions + 1, minlength=classes * columns)
    drawn = np.random.default_rng(seed).multinomial(n, pairs / n, RESAMPLES).reshape(RESAMPLES, classes, columns)
    f1 = macro_f1_of(np.roll(drawn, -1, axis=2).astype(np.float64))
    low, high = np.quantile(f1, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return float(low), float(high)


def f1_difference(
    labels: Classes, first: Classes, second: Classes, classes: int, seed: int = 0
) -> tuple[float, Interval]:
    """Of two models' macro-F1 on the same clips, second less first: value and interval, bootstrap over clips.

    A clip is drawn with both answers, so that what is hard for both cancels. first, second: -1 without an answer.
    """
    config = BootstrapConfig(seed=seed)
    weights = np.vstack([np.ones(len(labels)), resample(len(labels), config)])  # the clips themselves come first
    columns = classes + 1  # the last one: no answer
    f1 = []
    for answers in (first, second):
        pairs = np.eye(classes * columns)[labels * columns + answers % columns]  # -1 is the last column
        f1.append(macro_f1_of((weights @ pairs).reshape(-1, classes, columns)))
    apart = f1[1] - f1[0]
    return float(apart[0]), interval(apart[1:], config)


@dataclass(frozen=True, kw_only=True)
class PairedTest:
    """Two models on the same clips, of which few may differ."""

    gained: int  # clips that only the second got right
    lost: int  # only the first
    p: float  # McNemar's exact test, two-sided
    p_holm: float  # corrected for being one of several tests


def paired_tests(pairs: Sequence[tuple[Right, Right]]) -> list[PairedTest]:
    """pairs: of what the first and the second got right, one for each question that is asked."""
    counts = [(int((after & ~before).sum()), int((before & ~after).sum())) for before, after in pairs]
    p_values = [mcnemar(gained, lost) for gained, lost in counts]
    return [
        PairedTest(gained=gained, lost=lost, p=p, p_holm=corrected)
        for (gained, lost), p, corrected in zip(counts, p_values, holm(p_values), strict=True)
    ]


def mcnemar(gained: int, lost: int) -> float:
    """Exact two-sided p (McNemar 1947): were both right equally often, each clip they differ on were a fair coin."""
    from scipy.stats import binomtest

    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values, corrected for being one of several tests (Holm 1979); scipy has no such correction."""
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(np.asarray(p_values)[order] * factors), 1.0)
    return [float(p) for p in corrected]
