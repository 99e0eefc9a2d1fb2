"""What INT8 cost: accuracy and macro-F1 with intervals, and paired tests on the same clips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codriver.console import table
from codriver.tasks import TaskSet
from quantize.parity.runners import FP32
from training.evaluate import Predictions
from training.report.metrics import plain_scores
from workshop.resampling import BootstrapConfig, confusions, intervals, paired_difference, resample
from workshop.statistics import paired_tests

METRICS = ("accuracy", "macro_f1")
Answers = Mapping[str, Mapping[str, NDArray[np.float64]]]  # name -> task -> (n, K) probabilities


def accuracies(
    answers: Answers, labels: NDArray[np.int64], task_set: TaskSet, bootstrap: BootstrapConfig
) -> dict[str, Any]:
    """Name -> its score per task, and its paired differences to what it came from.

    answers: "fp32", "<dialect> PTQ" and, where there is one, "<dialect> QAT". labels: (n, tasks).
    """
    found = {name: Predictions((), labels, dict(some)) for name, some in answers.items()}
    weights = resample(len(labels), bootstrap)
    return {
        name: {
            "tasks": _scores(some, task_set, bootstrap, weights),
            "against": {
                other: paired(found[other].right, some.right, task_set, bootstrap, weights)
                for other in (FP32, name.replace(" QAT", " PTQ"))
                if other != name and other in found
            },
        }
        for name, some in found.items()
    }


def _scores(
    found: Predictions, task_set: TaskSet, bootstrap: BootstrapConfig, weights: NDArray[np.float64]
) -> dict[str, Any]:
    rows = {}
    for k, task in enumerate(task_set.tasks):
        truth, answer = found.labels[:, k], found.answers[:, k]
        score = asdict(plain_scores(truth, answer, int(np.bincount(truth).argmax())))
        between = intervals(confusions(truth, answer, task.classes, weights), bootstrap)
        rows[task.name] = {key: score[key] for key in (*METRICS, "majority")} | {
            "intervals": {key: between[key] for key in METRICS}
        }
    return rows


def paired(
    before: NDArray[np.bool_],
    after: NDArray[np.bool_],
    task_set: TaskSet,
    bootstrap: BootstrapConfig,
    weights: NDArray[np.float64],
) -> dict[str, Any]:
    """Per task: accuracy after minus before with its interval, and McNemar's exact test, Holm-corrected over tasks.

    before, after: (n, tasks), what each got right.
    """
    tests = paired_tests([(before[:, k], after[:, k]) for k in range(len(task_set.tasks))])
    return {
        task.name: paired_difference(before[:, k].astype(float), after[:, k].astype(float), weights, bootstrap)
        | {"only_before": test.lost, "only_after": test.gained, "p": test.p, "p_holm": test.p_holm}
        for k, (task, test) in enumerate(zip(task_set.tasks, tests, strict=True))
    }


def accuracy_table(rows: Mapping[str, Any], task_set: TaskSet) -> list[str]:
    """Accuracy in percent with the difference to full precision in points, for people."""
    lines = [("accuracy %", *(task.title for task in task_set.tasks))]
    for name, row in rows.items():
        cells = []
        for task in task_set.names:
            change = row["against"].get(FP32)
            text = f"{100 * row['tasks'][task]['accuracy']:.1f}"
            cells.append(text if change is None else f"{text} ({100 * change[task]['difference']:+.1f})")
        lines.append((name, *cells))
    return table(lines, numbers_from=1)
