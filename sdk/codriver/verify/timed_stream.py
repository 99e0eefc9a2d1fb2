"""A stream of random frames at a steady rate, to time steps on, and what no step can do without."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from codriver.arrays import Image
from codriver.bundle.loader import LoadedBundle
from codriver.counts import StageClock
from codriver.engines.in_place import bind
from codriver.frames.preprocess import stream_inputs
from codriver.network.context import Context
from codriver.network.fuser_inputs import FuserInputs
from codriver.percept import Driver
from codriver.tasks import KEYPOINTS

Step = tuple[dict[str, Image], float, Driver]
RATE_HZ = 15.0  # of the made-up cameras
DISTINCT = 4  # frames per view, so that no cache sees the same one twice in a row


def random_steps(views: tuple[str, ...], size: tuple[int, int], *, found: bool = False) -> Iterator[Step]:
    """Endless steps, the same on every run: noise on a gradient, and a driver in the middle of it. found: joints are
    left to a finder; boxes are not, as it sees nobody in noise."""
    random = np.random.default_rng(0)
    width, height = size
    ramp = np.linspace(0, 127, width, dtype=np.uint8)[None, :, None]  # (1, W, 1)
    sets = [
        {view: ramp + random.integers(0, 128, (height, width, 3), dtype=np.uint8) for view in views}
        for _ in range(DISTINCT)
    ]
    keypoints = (random.random((KEYPOINTS, 3)) * [width, height, 1.0]).astype(np.float32)
    driver = Driver(
        face_px=(width * 0.4, height * 0.1, width * 0.15, height * 0.25),
        body_px=(width * 0.25, height * 0.05, width * 0.5, height * 0.9),
        keypoints=None if found else keypoints,
    )
    number = 0
    while True:
        yield sets[number % DISTINCT], number / RATE_HZ, driver
        number += 1


class StepFloor:
    """What a step cannot do without, each by itself: its pictures, and its graphs on zeros, the fuser's out of an empty
    memory."""

    def __init__(self, bundle: LoadedBundle) -> None:
        self._bundle, manifest, kept = bundle, bundle.manifest, bundle.variant.kept
        self._nothing = Context(manifest, kept)
        roles = {role.partition("-")[0] for role in bundle.variant.graphs}  # an encoder in parts is one
        signatures = {r: bundle.signature_of(r) for r in ("finder", "encoder", "fuser", "dense") if r in roles}
        self._slots = FuserInputs(manifest, signatures["fuser"], kept) if "fuser" in roles else None
        zeros = {role: signature.zeros() for role, signature in signatures.items()}
        if self._slots:
            zeros["fuser"] = self._slots.arrays
        self._runs = {r: bind(getattr(bundle, r), zeros[r], signatures[r].room()) for r in signatures}

    def ms(self, frames: Mapping[str, Image], driver: Driver | None) -> dict[str, float]:
        """ "resize", of these frames, and each graph by role."""
        bundle, clock = self._bundle, StageClock()
        sizes_px = bundle.manifest.sizes_px
        bundle.cores.each(lambda view: stream_inputs({view: frames[view]}, driver, sizes_px, joints={}), frames)
        clock.end("resize")
        for role, run in self._runs.items():
            if self._slots and role == "fuser":
                self._slots.fill(self._nothing, 0.0)
            run()
            clock.end(role)
        parts = clock.latency_ms()
        del parts["total"]
        return parts
