"""How good answers are: pure functions on arrays. Shares, not percent; n clips, K classes, R resamples.

scikit-learn defines the metrics. Resampling needs them a thousand times over, so there they are computed from all
resamples' confusion matrices at once; a test holds the two to the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codriver.tasks import Task, TaskSet
from training.data.clips import Clip, labels_of

BINS = 15  # of confidence, as Guo et al. use
Interval = tuple[float, float]


@dataclass(frozen=True)
class Scores:
    """One task on one split; shares, not percent."""

    accuracy: float
    macro_f1: float  # over the classes that occur in the labels, unrounded
    majority: float  # accuracy of always answering the class that training saw most
    balanced_accuracy: float = math.nan  # mean recall of the classes that occur in the labels
    ece: float = math.nan  # expected calibration error of the top class


@dataclass(frozen=True, kw_only=True)
class Coarse:
    """A task with some of its classes merged, as AIDE reports them ("CG"; reference/model.md 2.5)."""

    task: str
    title: str
    labels: tuple[str, ...]
    members: tuple[tuple[str, ...], ...]  # of each coarse class, by the fine classes' names

    def merge(self, indices: NDArray[np.int64], task: Task) -> NDArray[np.int64]:
        """Fine class indices -> coarse ones, any shape. An answer is the fine answer, seen coarsely."""
        coarse_of = {fine: index for index, some in enumerate(self.members) for fine in some}
        return np.array([coarse_of[label] for label in task.labels], dtype=np.int64)[indices]


COARSE = (
    Coarse(
        task="driver_emotion",
        title="Driver emotion, 3 classes",
        labels=("Negative", "Neutral", "Positive"),
        members=(("Anxiety", "Weariness", "Anger"), ("Peace",), ("Happiness",)),
    ),
    Coarse(
        task="driver_behavior",
        title="Driver behaviour, 2 classes",
        labels=("Abnormal", "Normal"),
        members=(
            ("Smoking", "Making Phone", "Looking Around", "Dozing Off", "Talking", "Body Movement"),
            ("Normal Driving",),
        ),
    ),
)


def score(
    probabilities: Mapping[str, NDArray[np.float64]],
    clips: Sequence[Clip],
    task_set: TaskSet,
    class_counts: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, Scores]:
    """probabilities: task -> (clips, K). class_counts: of the training split; without them, of these clips."""
    labels = labels_of(clips)
    scores = {}
    for k, task in enumerate(task_set.tasks):
        counts = class_counts[task.name] if class_counts else np.bincount(labels[:, k], minlength=task.classes)
        scores[task.name] = task_scores(labels[:, k], probabilities[task.name], int(np.argmax(counts)))
    return scores


def task_scores(truth: NDArray[np.int64], probabilities: NDArray[np.float64], majority: int) -> Scores:
    """truth: (n,). probabilities: (n, K). majority: index of the class that training saw most."""
    answer = probabilities.argmax(axis=1)
    calibration = reliability(truth, probabilities)
    return plain_scores(truth, answer, majority, ece=calibration.ece)


def plain_scores(truth: NDArray[np.int64], answer: NDArray[np.int64], majority: int, ece: float = math.nan) -> Scores:
    """Scores of answers without probabilities; both (n,)."""
    from sklearn.metrics import accuracy_score, f1_score, recall_score  # takes a second, which a --help should not

    occurring = np.unique(truth)
    return Scores(
        accuracy=float(accuracy_score(truth, answer)),
        macro_f1=float(f1_score(truth, answer, labels=occurring, average="macro", zero_division=0)),
        majority=float((truth == majority).mean()),
        # sklearn's balanced_accuracy_score is this number, but warns of an answer that no label has
        balanced_accuracy=float(recall_score(truth, answer, labels=occurring, average="macro", zero_division=0)),
        ece=ece,
    )


def table(scores: Mapping[str, Scores], task_set: TaskSet) -> str:
    """The scores for people, in percent."""
    lines = [f"{'task':20} {'accuracy':>9} {'macro-F1':>9} {'majority':>9}"]
    for name, result in scores.items():
        values = (result.accuracy, result.macro_f1, result.majority)
        lines.append(f"{task_set[name].title:20} " + " ".join(f"{100 * value:9.1f}" for value in values))
    return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """Clips by the confidence of their top class, in equal bins of (0, 1]; empty bins hold zeros."""

    counts: NDArray[np.int64]  # (bins,)
    confidence: NDArray[np.float64]  # (bins,) mean
    accuracy: NDArray[np.float64]  # (bins,)

    @property
    def ece(self) -> float:
        """Expected calibration error: mean distance of accuracy and confidence (Guo et al. 2017, equation 3)."""
        return float(self.counts @ np.abs(self.accuracy - self.confidence) / self.counts.sum())


def reliability(truth: NDArray[np.int64], probabilities: NDArray[np.float64], bins: int = BINS) -> Reliability:
    """truth: (n,). probabilities: (n, K)."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    filled = np.maximum(counts, 1)
    return Reliability(
        counts=counts,
        confidence=np.bincount(place, confidence, bins) / filled,
        accuracy=np.bincount(place, right, bins) / filled,
    )


@dataclass(frozen=True, kw_only=True)
class BootstrapConfig:
    confidence: float = 0.95  # level of the intervals
    resamples: int = 2000
    seed: int = 0


def resample(n: int, config: BootstrapConfig) -> NDArray[np.float64]:
    """(R, n): how often each clip is in each resample. One draw serves all tasks and both runs of a pair."""
    rng = np.random.default_rng(config.seed)
    return rng.multinomial(n, np.full(n, 1 / n), size=config.resamples).astype(np.float64)


def interval(values: NDArray[np.float64], config: BootstrapConfig) -> Interval:
    """Percentile interval of a statistic over the resamples, (R,); resamples without a number do not count."""
    tail = (1 - config.confidence) / 2
    low, high = np.nanquantile(values, (tail, 1 - tail))
    return float(low), float(high)


def confusions(
    truth: NDArray[np.int64], answer: NDArray[np.int64], classes: int, weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Confusion matrix of every resample, (R, K, K): rows are the labels, columns the answers. weights: (R, n)."""
    cells = np.eye(classes * classes)[truth * classes + answer]
    return (weights @ cells).reshape(-1, classes, classes)


def accuracy_of(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """(R, K, K) -> (R,)"""
    return np.asarray(np.trace(matrices, axis1=1, axis2=2) / matrices.sum(axis=(1, 2)))


def macro_f1_of(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """(R, K, K) -> (R,), over the classes that occur in each resample."""
    hits, labelled, answered = _diagonal(matrices), matrices.sum(axis=2), matrices.sum(axis=1)
    return _mean_where(2 * hits / np.maximum(labelled + answered, 1), labelled > 0)


def balanced_accuracy_of(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """(R, K, K) -> (R,), over the classes that occur in each resample."""
    labelled = matrices.sum(axis=2)
    return _mean_where(_diagonal(matrices) / np.maximum(labelled, 1), labelled > 0)


def _diagonal(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.diagonal(matrices, axis1=1, axis2=2)


def _mean_where(values: NDArray[np.float64], there: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.asarray((values * there).sum(axis=1) / there.sum(axis=1))


def intervals(matrices: NDArray[np.float64], config: BootstrapConfig) -> dict[str, Interval]:
    """Interval of each metric of one task. None for calibration: resampling itself adds to that error."""
    return {
        "accuracy": interval(accuracy_of(matrices), config),
        "macro_f1": interval(macro_f1_of(matrices), config),
        "balanced_accuracy": interval(balanced_accuracy_of(matrices), config),
    }


def mean_accuracy(right: NDArray[np.bool_]) -> float:
    """Plain mean of the tasks' accuracies (MMTL-UniAD equation 12). right: (n, tasks)."""
    return float(right.mean(axis=0).mean())


def mean_accuracy_interval(right: NDArray[np.bool_], weights: NDArray[np.float64], config: BootstrapConfig) -> Interval:
    """A clip is drawn with all its answers, because a hard clip is hard for several tasks. right: (n, tasks)."""
    return interval(weights @ right.mean(axis=1) / len(right), config)


@dataclass(frozen=True, kw_only=True)
class McNemar:
    """Two runs on the same clips."""

    only_a: int  # clips that only the first got right
    only_b: int
    p: float  # exact, two-sided


def mcnemar(right_a: NDArray[np.bool_], right_b: NDArray[np.bool_]) -> McNemar:
    """McNemar's exact test: were the runs equal, each clip they differ on would be a fair coin. Both (n,)."""
    from scipy.stats import binomtest  # as slow as sklearn

    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    p = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    return McNemar(only_a=only_a, only_b=only_b, p=float(p))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction for asking several questions at once; in the order given."""
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(np.asarray(p_values)[order] * factors), 1.0)
    return corrected.tolist()
