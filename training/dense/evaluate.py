"""Score a dense run on one split, beside an answer that does not look, and show its best and worst pictures."""

from __future__ import annotations

import heapq
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file
from tqdm import tqdm

from codriver.errors import SourceError
from codriver.tasks import TaskSet
from training.dense.kinds.segmentation import mean_of_known
from training.dense.model import KINDS, DenseConfig, DenseUVM3TL
from training.dense.scene import Scene
from training.dense.scores import Answers, answers_of, constant_answer, scored
from training.dense.train import KIND, LOADERS, to_json
from training.trainer.checkpoint import MARKER, WEIGHTS
from workshop.artifacts import provenance, whole_folder, write_json

REPORT, SHEET = "report.json", "pictures.png"
SHOWN = 4  # pictures at each end
GUESSED_FROM = 200  # training pictures that the constant answer is made from
FULL_PX = 40.0  # disparity that is drawn brightest
COLORS = np.array(  # BGR
    [(60, 160, 60), (170, 110, 40), (40, 40, 220), (40, 200, 220), (200, 60, 200), (120, 160, 200), (200, 200, 60)],
    dtype=np.uint8,
)


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
    worst: list[tuple[float, int, NDArray[np.uint8]]] = field(default_factory=list)
    best: list[tuple[float, int, NDArray[np.uint8]]] = field(default_factory=list)
    count: int = 0

    def see(self, scene: Scene, found: Answers) -> None:
        self.count += 1
        marks = []
        for task in self.task_set.tasks:
            metric = KINDS[task.kind].Metric(task)
            metric.add(found[task.name], scene.truth[task.name])
            marks.append(float(metric.examples()[0]))
        mark, shown = mean_of_known(np.array(marks)), side_by_side(scene, found, self.task_set)
        for heap, key in ((self.best, mark), (self.worst, -mark)):
            (heapq.heappush if len(heap) < SHOWN else heapq.heappushpop)(heap, (key, self.count, shown))

    def sheet(self) -> NDArray[np.uint8]:
        """The worst on the left, the worst of all on top; the best on the right. Each: truth, answer."""
        columns = [np.vstack([shown for *_, shown in sorted(heap, reverse=True)]) for heap in (self.worst, self.best)]
        return np.hstack(columns)


def side_by_side(scene: Scene, found: Answers, task_set: TaskSet) -> NDArray[np.uint8]:
    """Truth and answer over the picture, 320 pixels wide each."""
    pictures = [drawn(scene.image, some, task_set) for some in (scene.truth, found)]
    measured = [task.name for task in task_set.tasks if task.kind == "disparity"]
    pictures += [coloured(some[name]) for name in measured for some in (scene.truth, found)]
    height = round(320 * scene.image.shape[0] / scene.image.shape[1])
    return np.hstack([cv2.resize(p, (320, height), interpolation=cv2.INTER_AREA) for p in pictures])


def drawn(image: NDArray[np.uint8], some: Any, task_set: TaskSet) -> NDArray[np.uint8]:
    """Maps tinted in, boxes outlined. A thin map's background is its first class, another's its last, if it has one."""
    out = image.copy()
    color = 0
    for task in task_set.tasks:
        if task.kind == "segmentation":
            foreground = range(1, task.classes) if task.thin else range(task.classes - ("background" in task.labels))
            for label in foreground:
                at = some[task.name] == label
                out[at] = (out[at] * 0.45 + COLORS[color % len(COLORS)] * 0.55).astype(np.uint8)
                color += 1
    for task in task_set.tasks:
        if task.kind == "detection":
            answer = some[task.name]
            boxes = answer[0][answer[1] >= 0.3] if isinstance(answer, tuple) else answer.boxes[~answer.ignored]
            for x1, y1, x2, y2 in boxes.astype(int).tolist():
                cv2.rectangle(out, (x1, y1), (x2, y2), tuple(COLORS[3].tolist()), max(1, image.shape[1] // 400))
    return out


def coloured(disparity: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Near is bright, unknown is black; on a scale of roots, as most of a street is far."""
    shades = np.clip(255 * np.sqrt(disparity / FULL_PX), 0, 255).astype(np.uint8)
    return np.asarray(cv2.applyColorMap(shades, cv2.COLORMAP_INFERNO), dtype=np.uint8)


def evaluate_dense(run: Path, data: Path, split: str, out: Path) -> dict[str, Any]:
    """Leave report.json and pictures.png in `out`; returns the report."""
    model = load_dense_run(run)
    loader = LOADERS[model.config.task_set]
    refs = loader.index(data, split)
    extremes = Extremes(model.task_set)
    with whole_folder(out, marker=REPORT) as folder:
        scenes = (loader.read(ref) for ref in tqdm(refs, desc=split, unit="picture", disable=None))
        results = scored(model.task_set, scenes, lambda scene: answers_of(model, scene), extremes.see)
        known = loader.index(data, "train")[:GUESSED_FROM]
        guess = constant_answer(model.task_set, lambda: (loader.read(ref) for ref in known))
        guessed = scored(model.task_set, (loader.read(ref) for ref in refs), guess)
        report = {
            "schema": 1,
            "kind": "dense evaluation",
            **provenance(("torch", "pycocotools", "opencv-python-headless"), None),
            "run": run.name,
            "task_set": model.config.task_set,
            "split": split,
            "pictures": len(refs),
            "tasks": {task: to_json(result) for task, result in results.items()},
            "without_looking": {task: to_json(result) for task, result in guessed.items()},
        }
        write_json(folder / REPORT, report)
        done, png = cv2.imencode(".png", extremes.sheet())
        assert done
        (folder / SHEET).write_bytes(png.tobytes())
    return report


def for_people(report: dict[str, Any], out: Path) -> str:
    """A definition a line, beside the answer that does not look."""
    lines = [f"{report['pictures']} pictures of {report['split']}, %          model   without looking"]
    for task, result in report["tasks"].items():
        for name, value in result["scores"].items():
            guess = report["without_looking"][task]["scores"].get(name, float("nan"))
            mark = "  <- chosen by" if name == result["chosen_by"] else ""
            lines.append(f"{task:16} {name:26} {100 * value:6.1f} {100 * guess:10.1f}{mark}")
        low, high = result["interval"]
        lines.append(f"{task:16} {'mean over pictures, 95 %':26} {100 * low:6.1f} to {100 * high:.1f}")
    return "\n".join(
        [*lines, f"{out / SHEET}: truth beside answer, the worst pictures on the left, the best on the right"]
    )
