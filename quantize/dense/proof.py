"""Per task: how far each way to run a dialect is off the fake-quantized model, and what INT8 costs against FP32."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codriver.dense.golden import off
from codriver.dense.letterbox import Letterbox
from codriver.dense.results import DenseResult, read_outputs
from codriver.dense.spec import DenseSpec, outputs_of
from codriver.tasks import Task
from quantize.dense.ways import DenseWays, Way
from quantize.parity.runners import FAKE_QUANT
from training.dense.geometry import LabelLetterbox
from training.dense.model import KINDS
from training.dense.scene import Scene
from training.dense.scores import is_error
from workshop.dense_report import DenseChange
from workshop.resampling import BootstrapConfig, interval, resample


def results_of(way: Way, scene: Scene, spec: DenseSpec) -> dict[str, DenseResult]:
    """As a device answers."""
    box = Letterbox(scene.image.shape[:2], (spec.height_px, spec.width_px))
    return read_outputs(spec, way(box.image(scene.image)), box, 0.0)


def parity(ways: DenseWays, scenes: Iterable[Scene], spec: DenseSpec) -> dict[str, dict[str, float]]:
    """Way -> task -> how far off in the mean over pictures."""
    others = {name: way for name, way in ways.open.items() if name != FAKE_QUANT}
    found: dict[str, dict[str, list[float]]] = {name: {task: [] for task in spec.tasks} for name in others}
    for scene in scenes:
        expected = results_of(ways.open[FAKE_QUANT], scene, spec)
        for name, way in others.items():
            answers = results_of(way, scene, spec)
            for task in spec.tasks:
                found[name][task].append(off(expected[task], answers[task]))
    return {name: {task: float(np.mean(some)) for task, some in by.items()} for name, by in found.items()}


def metrics_of(ways: Mapping[str, Way], scenes: Iterable[Scene], spec: DenseSpec) -> dict[str, dict[str, Any]]:
    """Way -> task -> its kind's metric over all scenes, each of which is read once."""
    metrics = {name: {task.name: KINDS[task.kind].Metric(task) for task in spec.asked} for name in ways}
    for scene in scenes:
        box = LabelLetterbox(scene.image.shape[:2], (spec.height_px, spec.width_px))
        pixels = box.image(scene.image)
        for name, way in ways.items():
            outputs = way(pixels)
            for task in spec.asked:
                maps = [outputs[output][0] for output in outputs_of(task)]
                answer = KINDS[task.kind].answer(maps if task.kind == "detection" else maps[0], box)
                metrics[name][task.name].add(answer, scene.truth[task.name])
    return metrics


def change(task: Task, metric: Any, fp32: Any) -> DenseChange:
    """What INT8 costs one task, paired: the same pictures, and the same draws of them for the interval."""
    name = KINDS[task.kind].judged_by(task)
    scores, full = finite(metric.scores()), finite(fp32.scores())
    config, pictures = BootstrapConfig(), metric.examples()
    weights = resample(len(pictures), config)
    drawn = cost(name, metric.resampled(weights)[name], fp32.resampled(weights)[name])
    low, high = interval(drawn, config) if np.isfinite(drawn).any() else (-1.0, 1.0)
    return DenseChange(
        judged_by=name,
        scores=scores,
        fp32=full,
        is_error=is_error(name),
        cost=float(cost(name, np.array(scores.get(name, 0.0)), np.array(full.get(name, 0.0)))),
        low=low,
        high=high,
        pictures=int(np.isfinite(pictures).sum()),
    )


def finite(scores: Mapping[str, float]) -> dict[str, float]:
    """Without what is NaN, as JSON has no number for it: the IoU of a class in neither truth nor answer."""
    return {name: value for name, value in scores.items() if np.isfinite(value)}


def cost(name: str, int8: NDArray[np.float64], full: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much worse: of a share the difference, of an error the share by which it grew."""
    return (int8 - full) / np.maximum(full, 1e-12) if is_error(name) else full - int8
