"""One clip: a seed and four labels in, frames and annotations out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from codriver.tasks import VIEWS
from training.footage.camera import Image, draw_camera, draw_light
from training.footage.inside.cabin import Cabin
from training.footage.motion import FRAMES
from training.footage.outside.road import Road
from training.footage.spec import ClipSpec


class RenderedClip:
    """A clip ready to be drawn, any frame in any order."""

    def __init__(self, spec: ClipSpec) -> None:
        self.spec = spec
        light = draw_light(spec.rng("light"))
        lenses = spec.rng("cameras")
        cameras = {view: draw_camera(lenses, spec.width, spec.height) for view in VIEWS}
        self.road = Road(spec, light, cameras)
        self.cabin = Cabin(spec, light, cameras["incar"])

    def frames(self, view: str, indices: Sequence[int] = range(FRAMES)) -> Iterator[Image]:
        """(H, W, 3) uint8 BGR, one after the other."""
        return self.cabin.frames(indices) if view == "incar" else self.road.frames(view, indices)

    def poses(self) -> list[dict[str, object]]:
        """AIDE's `pose_list`: keypoints and boxes in pixels of the in-car frame."""
        cabin = self.cabin
        points = np.round(cabin.keypoints.reshape(FRAMES, -1), 3).tolist()
        bodies, faces = (np.round(box, 2).tolist() for box in (cabin.body_box, cabin.face_box))
        return [
            {"imgname": f"{k}.jpg", "result": [{"keypoints": p, "bbox": body, "face_bbox": face}]}
            for k, (p, body, face) in enumerate(zip(points, bodies, faces, strict=True))
        ]
