"""Score a dense run on one split, beside answers that look little or not, and show its best and worst pictures."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file
from tqdm import tqdm

from codriver.errors import SourceError
from codriver.tasks import TaskSet
from training.dense.drawing import Drawn, drawn
from training.dense.kinds.segmentation import mean_of_known
from training.dense.model import DenseConfig, DenseUVM3TL
from training.dense.page import page
from training.dense.probe import fitted_probe
from training.dense.scene import Scene, SceneRef
from training.dense.scores import Answers, TaskScores, answers_of, constant_answer, scored, written
from training.dense.train import KIND, LOADERS, to_json
from training.trainer.checkpoint import MARKER, WEIGHTS
from workshop.artifacts import provenance, whole_folder, write_json, write_text

REPORT, PAGE = "report.json", "report.html"
SHOWN = 4  # pictures at each end
GUESSED_FROM = 200  # training pictures that the constant answer is made from


def load_dense_run(folder: Path) -> DenseUVM3TL:
    """The model of a run of `training.train --task-set`, in evaluation mode."""
    meta = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    try:
        model = DenseUVM3TL(DenseConfig.from_dict(meta["model"]))
        model.load_state_dict(load_file(str(folder / WEIGHTS)))
    except (KeyError, TypeError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise SourceError(f"{folder} holds no whole run of a benchmark: {reason}; train it again") from error
    model.eval()
    return model


def is_dense(folder: Path) -> bool:
    """Whether a run folder is a benchmark's."""
    path = folder / MARKER
    return path.is_file() and json.loads(path.read_text(encoding="utf-8")).get("kind") == KIND


@dataclass
class Extremes:
    """The pictures that a model answers worst and best, by the mean of their tasks' own scores."""

    task_set: TaskSet
    worst: list[tuple[float, int, Drawn]] = field(default_factory=list)  # heaps
    best: list[tuple[float, int, Drawn]] = field(default_factory=list)
    count: int = 0

    def see(self, scene: Scene, found: Answers, marks: list[float]) -> None:
        self.count += 1
        mark = mean_of_known(np.array(marks))
        for heap, key in ((self.best, mark), (self.worst, -mark)):
            if len(heap) < SHOWN or key > heap[0][0]:
                shown = (key, self.count, drawn(scene, found, self.task_set, mark))
                (heapq.heappush if len(heap) < SHOWN else heapq.heappushpop)(heap, shown)

    def sorted(self) -> tuple[list[Drawn], list[Drawn]]:
        """Worst and best, the extreme one first."""
        worst, best = ([shown for *_, shown in sorted(heap, reverse=True)] for heap in (self.worst, self.best))
        return worst, best


def evaluate_dense(run: Path, data: Path, split: str, out: Path) -> dict[str, Any]:
    """Leave report.json and report.html in `out`; returns the report."""
    model = load_dense_run(run)
    loader = LOADERS[model.config.task_set]
    refs = loader.index(data, split)
    extremes = Extremes(model.task_set)
    with whole_folder(out, marker=REPORT) as folder:
        scenes = (loader.read(ref) for ref in tqdm(refs, desc=split, unit="picture", disable=None))
        results = scored(model.task_set, scenes, lambda scene: answers_of(model, scene), extremes.see)
        beside = baselines(model.task_set, loader, loader.index(data, "train")[:GUESSED_FROM], refs)
        report = {
            "schema": 1,
            "kind": "dense evaluation",
            **provenance(("torch", "pycocotools", "opencv-python-headless"), None),
            "run": run.name,
            "task_set": model.config.task_set,
            "split": split,
            "pictures": len(refs),
            "tasks": {task: to_json(result) for task, result in results.items()},
            **{name: {task: to_json(result) for task, result in some.items()} for name, some in beside.items()},
            "ahead": {name: ahead(results, some) for name, some in beside.items()},
            "curves": {
                task: {name: values.tolist() for name, values in zip(("recall", "precision"), some.curve, strict=True)}
                for task, some in results.items()
                if some.curve is not None
            },
        }
        write_json(folder / REPORT, report)
        write_text(folder / PAGE, page(report, model.task_set, *extremes.sorted()))
    return report


def baselines(
    task_set: TaskSet, loader: Any, known: Sequence[SceneRef], refs: Sequence[SceneRef]
) -> dict[str, dict[str, TaskScores]]:
    """Scores of the constant answer, and of a linear probe. known: pictures to learn from."""

    def read(some: Sequence[SceneRef]) -> Iterator[Scene]:
        return (loader.read(ref) for ref in some)

    constant = constant_answer(task_set, read(known))
    return {
        "without_looking": scored(task_set, read(refs), constant),
        "linear_probe": scored(task_set, read(refs), fitted_probe(task_set, read(known))),
    }


def ahead(results: dict[str, TaskScores], others: dict[str, TaskScores]) -> dict[str, list[float]]:
    """Task -> interval, 95 %, of how much better the chosen score is than the other's on the same pictures."""
    return {task: list(results[task].ahead_of(other)) for task, other in others.items()}


def for_people(report: dict[str, Any], out: Path) -> str:
    """A definition a line, beside the answers that look little or not."""
    title = f"{report['pictures']} pictures of {report['split']}, % or unit"
    lines = [f"{title:45}{'model':>6}{'not looking':>14}{'linear probe':>14}"]
    for task, result in report["tasks"].items():
        for name, value in result["scores"].items():
            others = [report[other].get(task, {}).get("scores", {}).get(name) for other in report["ahead"]]
            beside = "".join(f"{written(name, some) if some is not None else '-':>14}" for some in others)
            mark = "  <- chosen by" if name == result["chosen_by"] else ""
            lines.append(f"{task:16} {name:26} {written(name, value):>8}{beside}{mark}")
        low, high = result["interval"]
        lines.append(f"{task:16} {'  its interval, 95 %':26} {100 * low:6.1f} to {100 * high:.1f}")
        for other, some in report["ahead"].items():
            if task in some:
                low, high = some[task]
                lines.append(f"{task:16} {'  ahead of ' + other:26} {100 * low:6.1f} to {100 * high:.1f}")
    return "\n".join([*lines, f"{out / PAGE}: truth, answer and error of the worst and the best pictures"])
