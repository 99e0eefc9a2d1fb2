"""One clip: a seed and four labels in, frames and annotations out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from codriver.tasks import VIEWS
from training.footage.cabin import Cabin
from training.footage.camera import Image, draw_camera, draw_light
from training.footage.motion import FRAMES, rng_for
from training.footage.road import Road


@dataclass(frozen=True)
class ClipSpec:
    """All that a clip's pixels depend on."""

    seed: int  # the data set's
    number: int  # the clip's, from 1
    labels: dict[str, str]  # task -> class
    width: int = 320
    height: int = 180


class Clip:
    """A clip ready to be drawn, any frame in any order."""

    def __init__(self, spec: ClipSpec) -> None:
        self.spec = spec
        # Separate streams: what the road draws can never shift what the driver draws.
        scene, outside, inside = (rng_for(spec.seed, spec.number, part) for part in (1, 2, 3))
        light = draw_light(scene)
        cameras = {view: draw_camera(scene, spec.width, spec.height) for view in VIEWS}
        self.road = Road(spec.labels, light, cameras, outside)
        self.cabin = Cabin(spec.labels, light, cameras["incar"], inside)

    def frames(self, view: str, indices: Sequence[int] = range(FRAMES)) -> Iterator[Image]:
        """(H, W, 3) uint8 BGR, one after the other."""
        return self.cabin.frames(indices) if view == "incar" else self.road.frames(view, indices)

    def poses(self) -> list[dict[str, object]]:
        """AIDE's `pose_list`: keypoints and boxes in pixels of the in-car frame."""
        cabin = self.cabin
        return [
            {
                "imgname": f"{index}.jpg",
                "result": [
                    {
                        "keypoints": [round(v, 3) for v in cabin.keypoints[index].ravel().tolist()],
                        "bbox": [round(v, 2) for v in cabin.body_box[index].tolist()],
                        "face_bbox": [round(v, 2) for v in cabin.face_box[index].tolist()],
                    }
                ],
            }
            for index in range(FRAMES)
        ]


def render_frame(spec: ClipSpec, view: str, index: int) -> np.ndarray:
    """One frame in memory."""
    return next(iter(Clip(spec).frames(view, [index])))
