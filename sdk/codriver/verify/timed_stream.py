"""A stream of random frames at a steady rate, to time steps on, and what no step can do without."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from codriver.arrays import Image
from codriver.bundle.loader import LoadedBundle
from codriver.counts import StageClock
from codriver.frames.preprocess import stream_inputs
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


def floor_ms(bundle: LoadedBundle, frames: Mapping[str, Image], driver: Driver | None) -> dict[str, float]:
    """What a step on these frames cannot do without, by itself: "resize", and each of its graphs on zeros, by role."""
    manifest = bundle.manifest
    roles = {role.partition("-")[0] for role in bundle.variant.graphs}  # an encoder in parts is one
    zeros = {r: manifest.signature_of(r).zeros() for r in ("finder", "encoder", "fuser", "dense") if r in roles}
    clock = StageClock()
    bundle.cores.each(lambda view: stream_inputs({view: frames[view]}, driver, manifest.sizes_px), frames)
    clock.end("resize")
    for role, inputs in zeros.items():
        getattr(bundle, role).infer(inputs)
        clock.end(role)
    parts = clock.latency_ms()
    del parts["total"]
    return parts
