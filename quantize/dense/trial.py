"""A bundle on one camera's pictures, as a device answers: Perceiver's own results, scored in the camera's pixels."""

from __future__ import annotations

import math
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from codriver import Perceiver
from codriver.dense.results import Boxes, DenseResult, Map
from codriver.dense.spec import DenseSpec
from codriver.errors import ConfigError
from training.dense.kinds.segmentation import mean_of_known
from training.dense.model import KINDS
from training.dense.scene import Scene

FULL = "fp32"  # how the names of variants in full precision end


class DenseTrial:
    """One bundle and what it answered so far. Close it."""

    def __init__(self, bundle: Path, threads: int | None = None) -> None:
        """A ConfigError if the bundle has neither maps nor boxes."""
        self.perceiver = Perceiver.open(bundle, threads=threads)
        spec = self.perceiver.manifest.dense
        if spec is None:
            self.perceiver.close()
            raise ConfigError(f"{bundle} has no maps and no boxes; expected a bundle that quantize.dense had a part in")
        self.spec: DenseSpec = spec
        self.metrics: dict[str, Any] = {task.name: KINDS[task.kind].Metric(task) for task in spec.asked}
        self.step_ms: list[float] = []  # of each picture
        self.marks: list[float] = []  # of each picture the mean of its tasks' own scores; NaN: it was not answered
        self.unanswered: Counter[str] = Counter()  # reason -> pictures

    def close(self) -> None:
        self.perceiver.close()

    @property
    def key(self) -> str:
        return f"{self.perceiver.manifest.id}/{self.perceiver.variant}"

    @property
    def is_full_precision(self) -> bool:
        return self.perceiver.variant.endswith(FULL)

    def answers(self, scene: Scene) -> dict[str, Any] | str:
        """Task -> what a metric of its kind takes; or why a task has no answer."""
        self.perceiver.reset()  # a benchmark's pictures are no drive: none is held beside the one before
        began = time.perf_counter()
        found = self.perceiver.step({self.spec.view: scene.image}, 0.0).dense
        self.step_ms.append(1e3 * (time.perf_counter() - began))
        reasons = [f"{name}: {found[name].reason}" for name in self.spec.tasks if not found[name].valid]
        return reasons[0] if reasons else {name: over(found[name], scene) for name in self.spec.tasks}

    def see(self, scene: Scene) -> None:
        """Answer a picture, and count it."""
        found = self.answers(scene)
        if isinstance(found, str):
            self.unanswered[found] += 1
            self.marks.append(math.nan)
            return
        own = [self.metrics[name].add(found[name], scene.truth[name]) for name in self.spec.tasks]
        self.marks.append(mean_of_known(np.array(own)))


def over(result: DenseResult, scene: Scene) -> Any:
    """Boxes with their scores, or a map of the picture's own size."""
    if isinstance(result, Boxes):
        return result.boxes_px, result.scores
    assert isinstance(result, Map)
    return result.on(*scene.image.shape[:2])
