"""Looks for the driver in the in-car frame, once per frame or at a rate of its own, and remembers what makes surer."""

from __future__ import annotations

import numpy as np

from codriver.arrays import Arrays, Image
from codriver.bundle.manifest import FinderSpec
from codriver.engines.base import Engine
from codriver.errors import EngineError
from codriver.finder.peaks import Sight, in_a_mirror, read_sight
from codriver.finder.presence import Presence
from codriver.finder.smooth import Smoother
from codriver.finder.told import Found, certainties, driver_sight, is_whole
from codriver.finder_graph import HEIGHT_PX, PIXELS, PRESENCE, WIDTH_PX
from codriver.percept import Driver, DriverSight
from codriver.resize import resize_to

NOT_YET = DriverSight(reason="no in-car frame yet to look for the driver in")
RATE_TOLERANCE_S = 0.005  # frames come a little early at times


class DriverFinder:
    def __init__(self, spec: FinderSpec | None, engine: Engine | None, *, swap: bool = False) -> None:
        """engine: None: the bundle has none, and what is given is all there is. swap: channels of frames."""
        self._spec = spec or FinderSpec()
        self._engine = engine
        self._pixels: Arrays = {PIXELS: np.zeros((1, HEIGHT_PX, WIDTH_PX, 3), np.uint8)}
        self._swap = swap
        self._smoother = Smoother()
        delays_s = self._spec.present_s, self._spec.absent_s
        self._present = {name: Presence(*delays_s) for name in PRESENCE}
        self._present["driver"] = Presence(*delays_s, self._spec.present_from)
        self.clear()

    def clear(self) -> None:
        self._looked_s: float | None = None
        self._found: Found | None = None
        self._last = NOT_YET
        self._told_px: tuple[int, ...] | None = None  # of what frame `_last` is the finder's word alone
        self._smoother.clear()
        for presence in self._present.values():
            presence.clear()

    def is_due(self, t: float) -> bool:
        """Whether a frame of this time will be looked at; others are answered by the last look."""
        return self._looked_s is None or t - self._looked_s >= self._spec.every_s - RATE_TOLERANCE_S

    def look(self, frame: Image | None, t: float, given: Driver | None) -> DriverSight:
        """Where the driver is in this in-car frame of time `t`. Without a frame: what was last known.

        given: what the caller says of the driver, which stands part by part over what is found.
        """
        if frame is None or (given is None and frame.shape == self._told_px and not self.is_due(t)):
            return self._last
        only_found, given = given is None, given or Driver()
        engine = None if is_whole(given) else self._engine
        if engine is not None and self.is_due(t):
            self._looked_s = t
            self._found = self._judged(self._seen(engine, frame), t)
        self._last = driver_sight(self._found if engine else None, given, frame, self._spec)
        self._told_px = frame.shape if engine and only_found else None
        return self._last

    def _seen(self, engine: Engine, frame: Image) -> Sight:
        small = resize_to(frame, WIDTH_PX, HEIGHT_PX)
        small = small[:, ::-1] if self._spec.mirrored else small
        self._pixels[PIXELS][0] = small[..., ::-1] if self._swap else small
        outputs = engine.infer(self._pixels)
        for name, values in outputs.items():
            if not np.isfinite(values).all():
                raise EngineError(f"the finder gave NaN or infinity in {name}; run `codriver verify` on it")
        return in_a_mirror(read_sight(outputs)) if self._spec.mirrored else read_sight(outputs)

    def _judged(self, sight: Sight, t: float) -> Found:
        """What to believe of a frame, after those before it."""
        beliefs = dict(zip(PRESENCE, sight.presence.tolist(), strict=True))
        there = {name: self._present[name].update(belief, t) for name, belief in beliefs.items()}
        if not there["driver"]:
            self._smoother.clear()
        elif beliefs["driver"] >= 0.5:
            points = self._smoother.update(sight.points, sight.boxes, t)
            sight = Sight(points, sight.certainty, sight.presence)
        elif self._found is not None:  # a frame that seems empty moves nothing
            sight = Sight(self._found.sight.points, self._found.sight.certainty, sight.presence)
        return Found(sight, **there, certainty=certainties(sight))
