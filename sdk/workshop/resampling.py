"""Bootstrap over clips: how far a metric would move on other clips like these. n clips, K classes, R resamples.

A metric is needed thousands of times over, so it is computed from all resamples' confusion matrices at once; a test
holds it to scikit-learn's numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 2000
Interval = tuple[float, float]
Classes = NDArray[np.int64]  # (n,) class indices
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class BootstrapConfig:
    confidence: float = CONFIDENCE  # level of the intervals
    resamples: int = RESAMPLES
    seed: int = 0


def resample(n: int, config: BootstrapConfig) -> Floats:
    """(R, n): how often each clip is in each resample. One draw serves all tasks and both models of a pair."""
    rng = np.random.default_rng(config.seed)
    return rng.multinomial(n, np.full(n, 1 / n), size=config.resamples).astype(np.float64)


def interval(values: Floats, config: BootstrapConfig) -> Interval:
    """Percentile interval of a statistic over the resamples, (R,); resamples without a number do not count."""
    tail = (1 - config.confidence) / 2
    low, high = np.nanquantile(values, (tail, 1 - tail))
    return float(low), float(high)


def confusions(truth: Classes, answer: Classes, classes: int, weights: Floats) -> Floats:
    """Confusion matrix of every resample, (R, K, K): rows are the labels, columns the answers. weights: (R, n)."""
    cells = np.eye(classes * classes)[truth * classes + answer]
    return np.asarray(weights @ cells).reshape(-1, classes, classes)


def accuracy_of(matrices: Floats) -> Floats:
    """(R, K, K) -> (R,)"""
    return np.asarray(_diagonal(matrices).sum(axis=1) / matrices.sum(axis=(1, 2)))


def macro_f1_of(matrices: Floats) -> Floats:
    """(R, K, K or more columns) -> (R,), over the classes that occur in each resample. More columns: no answer."""
    hits, labelled = _diagonal(matrices), matrices.sum(axis=2)
    answered = matrices.sum(axis=1)[:, : matrices.shape[1]]
    return _mean_where(2 * hits / np.maximum(labelled + answered, 1), labelled > 0)


def balanced_accuracy_of(matrices: Floats) -> Floats:
    """(R, K, K) -> (R,), over the classes that occur in each resample."""
    labelled = matrices.sum(axis=2)
    return _mean_where(_diagonal(matrices) / np.maximum(labelled, 1), labelled > 0)


def _diagonal(matrices: Floats) -> Floats:
    return np.diagonal(matrices, axis1=1, axis2=2)


def _mean_where(values: Floats, there: NDArray[np.bool_]) -> Floats:
    return np.asarray((values * there).sum(axis=1) / there.sum(axis=1))


def intervals(matrices: Floats, config: BootstrapConfig) -> Mapping[str, Interval]:
    """Interval of each metric of one task. None for calibration: resampling itself adds to that error."""
    return {
        "accuracy": interval(accuracy_of(matrices), config),
        "macro_f1": interval(macro_f1_of(matrices), config),
        "balanced_accuracy": interval(balanced_accuracy_of(matrices), config),
    }


def mean_accuracy(right: NDArray[np.bool_]) -> float:
    """Plain mean of the tasks' accuracies (MMTL-UniAD equation 12). right: (n, tasks)."""
    return float(right.mean(axis=0).mean())


def mean_accuracy_interval(right: NDArray[np.bool_], weights: Floats, config: BootstrapConfig) -> Interval:
    """A clip is drawn with all its answers, because a hard clip is hard for several tasks. right: (n, tasks)."""
    return interval(weights @ right.mean(axis=1) / len(right), config)


def paired_difference(a: Floats, b: Floats, weights: Floats, config: BootstrapConfig) -> dict[str, Any]:
    """a, b: (n,) what each clip scored. A clip is drawn with both models' answers, so what is hard for both cancels."""
    return {
        "accuracy_a": float(a.mean()),
        "accuracy_b": float(b.mean()),
        "difference": float((b - a).mean()),
        "interval": interval(weights @ (b - a) / len(a), config),
    }
