"""Cabins that a set of drives lacks: nobody at the wheel, somebody else in the car, a lens that sees nothing.

From these a finder learns that a person is not yet a driver. In-car frames alone; what a scene holds is in SCENES.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from training.footage.camera import Image, draw_camera, draw_light
from training.footage.clip import RenderedClip
from training.footage.inside.cabin import Cabin
from training.footage.motion import rng_for
from training.footage.pen import SHIFT, Pen
from training.footage.spec import ClipSpec

BENCH = 0.60  # frame heights; below it the front seats hide who sits in the back


@dataclass(frozen=True)
class Occupancy:
    """What a cabin holds, and so what a finder should say of it."""

    driver: bool
    companion: str = ""  # "passenger" beside the driver's seat, or "back" behind it
    covered: bool = False  # something lies on the lens


SCENES = {
    "empty_seat": Occupancy(driver=False),
    "passenger_only": Occupancy(driver=False, companion="passenger"),
    "back_seat": Occupancy(driver=False, companion="back"),
    "covered_lens": Occupancy(driver=True, covered=True),
    "driver_and_passenger": Occupancy(driver=True, companion="passenger"),
    "driver_and_back_seat": Occupancy(driver=True, companion="back"),
}


class StagedCabin:
    """One clip of a scene. spec: of whoever would drive; its number with a minus is the companion's."""

    def __init__(self, name: str, spec: ClipSpec) -> None:
        self.scene = SCENES[name]
        light, camera = draw_light(spec.rng("light")), draw_camera(spec.rng("cameras"), spec.width, spec.height)
        self.host = Cabin(spec, light, camera)
        rng = rng_for(spec.seed, spec.number, 100)
        other = replace(spec, seed=spec.seed + 1_000_003)
        self.companion = Cabin(other, light, camera) if self.scene.companion else None
        # Where the companion sits: the whole figure is moved, and made smaller further back.
        if self.scene.companion == "passenger":
            self.size, self.shift = rng.uniform(0.9, 1.05), np.array([rng.uniform(-0.78, -0.62), rng.normal(0, 0.02)])
        else:
            self.size = rng.uniform(0.42, 0.6)
            self.shift = np.array([rng.uniform(0.15, 1.25) - self.size * self.host.seat[0], rng.uniform(0.08, 0.2)])
        self.cover = _Cover(rng, camera.height, camera.width) if self.scene.covered else None

    def frames(self, indices: Sequence[int]) -> Iterator[Image]:
        """(H, W, 3) uint8 BGR, one after the other."""
        host = self.host
        for index in indices:
            image = host.interior.at(host.camera.shake_px[index])
            if self.companion is not None:
                self._draw_companion(image, self.companion, index)
            if self.scene.driver:
                host.draw_driver(image, index)
            else:
                host.interior.wheel(Pen(image, host.camera.shake_px[index]), 0.0)
            if self.cover is None:
                yield host.developed(image, index)
            else:
                yield host.exposed(self.cover.over(image), index)

    def _draw_companion(self, image: Image, companion: Cabin, index: int) -> None:
        before = image.copy()
        pen = Pen(image, self.host.camera.shake_px[index])
        pen.scale *= self.size
        pen.height = round(pen.height * self.size)
        pen.origin = pen.origin + self.shift * image.shape[0] * 2**SHIFT
        companion.draw_behind_wheel(pen, index)
        companion.draw_before_wheel(pen, index)
        if self.scene.companion == "back":
            hidden = round(BENCH * image.shape[0])
            image[hidden:] = before[hidden:]


class _Cover:
    """A hand, a sticker or a cloth on the lens: hardly any light, hardly any detail."""

    def __init__(self, rng: np.random.Generator, height: int, width: int) -> None:
        self.tone = rng.uniform(2, 120) * (1 + rng.uniform(-0.3, 0.3, 3))
        self.through = rng.uniform(0.0, 0.15)  # share of the light that passes
        slope = np.outer(np.linspace(-1, 1, height), np.ones(width)) * rng.uniform(-0.3, 0.3)
        self.shade = (1 + slope + np.linspace(-1, 1, width) * rng.uniform(-0.3, 0.3))[..., None]

    def over(self, image: Image) -> Image:
        seen = cv2.GaussianBlur(image, (0, 0), 0.12 * image.shape[0])
        return np.asarray(np.clip(self.tone * self.shade + self.through * seen, 0, 255), np.uint8)


def poses(name: str, spec: ClipSpec) -> list[dict[str, object]]:
    """AIDE's `pose_list`: the driver alone is named, so a scene without one has nobody in any frame."""
    there = RenderedClip(spec).poses()
    if SCENES[name].driver and not SCENES[name].covered:
        return there
    return [{"imgname": pose["imgname"], "result": []} for pose in there]
