"""A dense model on a split: answers, scores by the name of each definition, intervals, baselines."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from codriver.tasks import Task, TaskSet
from training.dense.geometry import LabelLetterbox
from training.dense.model import KINDS, DenseUVM3TL
from training.dense.scene import Scene
from workshop.resampling import BootstrapConfig, Interval, interval, resample

SAMPLED_PX = 320
CURVED = ("detection", "edges")  # kinds that are judged along a threshold
Answers = dict[str, Any]  # task -> what its kind answers, in the camera's pixels
Answer = Callable[[Scene], Answers]


@dataclass(frozen=True)
class TaskScores:
    """One task on one split."""

    scores: dict[str, float]  # by the name of the definition
    chosen_by: str  # the one that a run is chosen by
    redrawn: NDArray[np.float64]  # (R,) that one on pictures drawn again; the same draws whoever is judged
    pictures: NDArray[np.float64]  # each picture's own score; NaN where it has no truth
    curve: tuple[NDArray[np.float64], NDArray[np.float64]] | None = (
        None  # recalls and precisions, of kinds that have one
    )

    @property
    def main(self) -> float:
        return self.scores[self.chosen_by]

    @property
    def interval(self) -> Interval:
        """Of the main score, 95 %, over pictures."""
        return interval(self.redrawn, BootstrapConfig()) if np.isfinite(self.redrawn).any() else (0.0, 1.0)

    def ahead_of(self, other: TaskScores) -> Interval:
        """Of how much better the main score is than another's on the same pictures, 95 %."""
        apart = self.redrawn - other.redrawn
        return interval(apart, BootstrapConfig()) if np.isfinite(apart).any() else (-1.0, 1.0)


@torch.inference_mode()
def answers_of(model: DenseUVM3TL, scene: Scene) -> Answers:
    """The model's answers to one picture, at the picture's size."""
    model.eval()
    box = LabelLetterbox(scene.image.shape[:2], (model.config.height, model.config.width))
    device = next(model.parameters()).device
    outputs = model(torch.from_numpy(box.image(scene.image))[None].to(device)).outputs
    found: Answers = {}
    for task in model.task_set.tasks:
        raw = outputs[task.name]
        arrays = [m[0].cpu().numpy() for m in raw] if isinstance(raw, list) else raw[0].cpu().numpy()
        found[task.name] = KINDS[task.kind].answer(arrays, box)
    return found


def scored(
    task_set: TaskSet,
    scenes: Iterable[Scene],
    answer: Answer,
    seen: Callable[[Scene, Answers, list[float]], None] | None = None,
) -> dict[str, TaskScores]:
    """Score whatever answers. seen: is shown each picture with its answers and its own score by each task."""
    metrics = {task.name: KINDS[task.kind].Metric(task) for task in task_set.tasks}
    for scene in scenes:
        found = answer(scene)
        marks = [metrics[name].add(found[name], scene.truth[name]) for name in task_set.names]
        if seen is not None:
            seen(scene, found, marks)
    return {task.name: _task_scores(task, metrics[task.name]) for task in task_set.tasks}


def _task_scores(task: Task, metric: Any) -> TaskScores:
    pictures = metric.examples()
    curve = metric.curve() if task.kind in CURVED else None
    chosen_by = KINDS[task.kind].main_score(task)
    redrawn = metric.resampled(resample(len(pictures), BootstrapConfig()))[chosen_by]
    return TaskScores(metric.scores(), chosen_by, redrawn, pictures, curve)


def is_error(name: str) -> bool:
    """Whether less is better, by the name of a definition."""
    return name.endswith(("_px", "_m", "_deg")) or "abs_err" in name


def constant_answer(task_set: TaskSet, scenes: Iterable[Scene]) -> Answer:
    """The best answer that does not look: what training pictures have at each place of a coarse grid, and no boxes.

    Of each picture every so many pixels are kept, so that hundreds fit into memory.
    """
    kept: dict[str, list[Any]] = {name: [] for name in task_set.names}
    for scene in scenes:
        for name, truths in kept.items():
            truths.append(sampled(scene.truth[name]))
    made = {task.name: KINDS[task.kind].constant(task, kept[task.name]) for task in task_set.tasks}
    return lambda scene: {name: make(scene.image.shape[:2]) for name, make in made.items()}


def sampled(truth: Any) -> Any:
    """Every so many pixels of a map, so that SAMPLED_PX or a little more remain of its width; records stay."""
    if not isinstance(truth, np.ndarray):
        return truth
    step = max(1, truth.shape[1] // SAMPLED_PX)
    return truth[::step, ::step].copy()


def written(name: str, value: float) -> str:
    """A score for people: its unit stands at the end of its name, all others are shares, in percent."""
    if "abs_err" in name:  # of inverse depth, which has no unit
        return f"{value:.4f}"
    return f"{value:.2f}" if name.endswith(("_px", "_m", "_deg")) else f"{100 * value:.1f}"
