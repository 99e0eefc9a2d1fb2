"""How good answers are: pure functions on arrays. Shares, not percent; n clips, K classes.

scikit-learn defines the metrics; workshop.resampling has their intervals.
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
