"""Per task: how far each way to run a dialect is off the fake-quantized model, and what INT8 costs against FP32."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from codriver.dense.golden import off
from codriver.dense.letterbox import Letterbox
from codriver.dense.results import DenseResult, read_outputs
from codriver.dense.spec import DenseSpec, outputs_of
from quantize.dense.ways import DenseWays, Way
from quantize.parity.runners import FAKE_QUANT
from training.dense.geometry import LabelLetterbox
from training.dense.model import KINDS
from training.dense.scene import Scene
from training.dense.scores import interval_of
from workshop.dense_report import DenseChange

# What a table of each kind is judged by; training.dense.kinds has the definitions.
JUDGED_BY = {
    **{"segmentation": "miou", "detection": "ap50_coco", "depth": "rmse_m", "disparity": "rmse_px"},
    "inverse_depth": "abs_err",
}
JUDGED_BY |= {"normals": "mean_deg", "edges": "ods_f", "saliency": "maxf"}


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


def change(task_kind: str, metric: Any, fp32: Any) -> DenseChange:
    """One task's, paired by picture."""
    apart = metric.examples() - fp32.examples()
    known = apart[np.isfinite(apart)]
    low, high = interval_of(apart)
    return DenseChange(
        judged_by=JUDGED_BY[task_kind],
        scores=metric.scores(),
        fp32=fp32.scores(),
        difference=float(known.mean()) if len(known) else 0.0,
        low=low,
        high=high,
        pictures=len(known),
    )
