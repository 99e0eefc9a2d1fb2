"""Run labelled clips through a Perceiver and count how often it is right, in plain numpy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codriver.bundle.manifest import TaskSpec
from codriver.errors import ConfigError
from codriver.perceiver import Perceiver
from codriver.percept import Percept, TaskResult
from codriver.verify.golden import Step

NO_ANSWER = -1  # prediction where an answer was invalid; counts as wrong

Labels = Mapping[str, "str | int"]  # task -> class, by name or index; any of the tasks
LabelledClip = tuple[Iterable[Step], Labels]


@dataclass(frozen=True, kw_only=True)
class TaskScore:
    """One task over all clips that are labelled for it: n of them."""

    task: str
    classes: tuple[str, ...]  # K names
    labels: NDArray[np.int64]  # (n,)
    predictions: NDArray[np.int64]  # (n,), NO_ANSWER where the answer was invalid
    probabilities: NDArray[np.float64]  # (n, K), zeros where the answer was invalid

    @property
    def n(self) -> int:
        return len(self.labels)

    @property
    def answered(self) -> int:
        return int((self.predictions != NO_ANSWER).sum())

    @property
    def accuracy(self) -> float:
        """Share of clips that are right, unrounded; NaN without clips."""
        return float((self.predictions == self.labels).mean()) if self.n else float("nan")

    @property
    def macro_f1(self) -> float:
        return macro_f1(self.labels, self.predictions)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready summary, without the single clips; numbers that do not exist are None."""
        accuracy, f1 = (value if self.n else None for value in (self.accuracy, self.macro_f1))
        return {"accuracy": accuracy, "macro_f1": f1, "n": self.n, "answered": self.answered}


def macro_f1(labels: NDArray[np.int64], predictions: NDArray[np.int64]) -> float:
    """Mean of the classes' F1 over all classes that occur in the labels, unrounded; NaN without labels.

    A class that is never predicted has F1 0. A class that is predicted but never labelled is not averaged; it
    shows in the recall of the others.
    """
    scores = []
    for index in np.unique(labels):
        hits = int(((labels == index) & (predictions == index)).sum())
        scores.append(2 * hits / int((labels == index).sum() + (predictions == index).sum()))
    return float(np.mean(scores)) if scores else float("nan")


def evaluate(
    perceiver: Perceiver, clips: Iterable[LabelledClip], watch: Callable[[Percept], None] | None = None
) -> dict[str, TaskScore]:
    """Step through each clip from a fresh start and compare its last answers with its labels.

    clips: (steps, labels). steps: (frames, t, driver), as `Perceiver.step` takes them, read one by one, so a
    generator keeps one frame in memory. watch: called with every percept as it comes.
    The perceiver is reset before each clip and at the end.
    """
    found: dict[str, list[tuple[int, TaskResult]]] = {task.name: [] for task in perceiver.manifest.tasks}
    tasks = {task.name: task for task in perceiver.manifest.tasks}
    for number, (steps, labels) in enumerate(clips):
        indices = {name: _index(tasks, name, label, number) for name, label in labels.items()}
        answers = _last_answers(perceiver, steps, number, watch)
        for name, index in indices.items():
            found[name].append((index, answers[name]))
    perceiver.reset()
    return {name: _score(tasks[name], pairs) for name, pairs in found.items()}


def _last_answers(
    perceiver: Perceiver, steps: Iterable[Step], number: int, watch: Callable[[Percept], None] | None
) -> Mapping[str, TaskResult]:
    perceiver.reset()
    percept = None
    for frames, t, driver in steps:
        percept = perceiver.step(frames, t, driver)
        if watch is not None:
            watch(percept)
    if percept is None:
        raise ConfigError(f"clip {number}: got no step, expected at least one; leave empty clips out")
    return percept.tasks


def _index(tasks: Mapping[str, TaskSpec], name: str, label: str | int, number: int) -> int:
    if name not in tasks:
        raise ConfigError(f"clip {number}: label for {name!r}, but the bundle answers {', '.join(tasks)}")
    names = tasks[name].labels
    if isinstance(label, str):
        if label not in names:
            raise ConfigError(f"clip {number}: {name} is {label!r}, expected one of {', '.join(names)}")
        return names.index(label)
    if not 0 <= label < len(names):
        raise ConfigError(f"clip {number}: {name} is {label}, expected 0 to {len(names) - 1}")
    return int(label)


def _score(task: TaskSpec, pairs: list[tuple[int, TaskResult]]) -> TaskScore:
    predictions = [NO_ANSWER if result.index is None else result.index for _, result in pairs]
    rows = [[result.probabilities.get(label, 0.0) for label in task.labels] for _, result in pairs]
    return TaskScore(
        task=task.name,
        classes=task.labels,
        labels=np.array([label for label, _ in pairs], dtype=np.int64),
        predictions=np.array(predictions, dtype=np.int64),
        probabilities=np.array(rows, dtype=np.float64).reshape(len(pairs), len(task.labels)),
    )
