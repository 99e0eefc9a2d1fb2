"""One camera's picture through the dense graph: how often, and how long its answers count."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from codriver.arrays import Arrays, Image
from codriver.dense.letterbox import Letterbox
from codriver.dense.results import DenseResult, no_answers, read_outputs
from codriver.dense.spec import PIXELS, DenseSpec
from codriver.engines.base import Engine
from codriver.errors import EngineError
from codriver.percept import ViewStatus

EPSILON_S = 1e-6
POSTPONED = "the step's deadline was over before it"


class DenseSight:
    """Answers about the newest picture looked at, until it is too old or the camera is not to be trusted.

    swap: red and blue change places.
    """

    def __init__(self, spec: DenseSpec, engine: Engine, *, swap: bool) -> None:
        self._spec, self._engine, self._swap = spec, engine, swap
        self._pixels: Arrays = {PIXELS: np.zeros((1, spec.height_px, spec.width_px, 3), np.uint8)}
        self.clear()

    def clear(self) -> None:
        self._last: dict[str, DenseResult] = {}
        self._looked_s: float | None = None

    def step(
        self,
        frames: Mapping[str, Image],
        times_s: Mapping[str, float],
        views: Mapping[str, ViewStatus],
        masked: Collection[str],
        t: float,
        *,
        late: bool = False,
    ) -> dict[str, DenseResult]:
        """Every task's result in a step of time `t`.

        frames: (H, W, 3) uint8 by view. times_s: when those were taken that are to be trusted. masked: the other ones.
        late: there is no time left in this step.
        """
        view = self._spec.view
        if view in masked:  # what it showed before may not have been the world either
            self.clear()
        due = view in times_s and self._is_due(times_s[view])
        if due and not late:
            self._look(frames[view], times_s[view])
        if self._last and self._looked_s is not None and t - self._looked_s <= self._spec.hold_s + EPSILON_S:
            return self._last
        status = views[view]
        reason = POSTPONED if due and late else status.reason or f"no picture looked at for {self._spec.hold_s:g} s"
        return no_answers(self._spec, f"{view}: {reason}")

    def _is_due(self, t: float) -> bool:
        return self._looked_s is None or t - self._looked_s >= self._spec.every_s - EPSILON_S

    def _look(self, frame: Image, t: float) -> None:
        box = Letterbox(frame.shape[:2], (self._spec.height_px, self._spec.width_px))
        pixels = box.image(frame, self._pixels[PIXELS][0])
        if self._swap:
            pixels[...] = pixels[..., ::-1]
        self._last, self._looked_s = {}, None  # an engine that fails leaves no answer of before
        outputs = self._engine.infer(self._pixels)
        for name, values in outputs.items():
            if not np.isfinite(values).all():
                raise EngineError(f"the dense graph gave NaN or infinity in {name}; run `codriver verify` on it")
        self._last, self._looked_s = read_outputs(self._spec, outputs, box, t), t
