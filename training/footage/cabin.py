"""The cabin seen from the dashboard: a painted background, then the driver drawn over it frame by frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from training.footage.body import Points, box_around, keypoints, pose_body
from training.footage.camera import Camera, Image, Light
from training.footage.driver import write_script
from training.footage.face import draw_build, pose_head
from training.footage.interior import Interior, paint_interior
from training.footage.pen import Pen
from training.footage.person import Look, draw_look


class Cabin:
    """The inside of one clip."""

    def __init__(
        self, labels: dict[str, str], light: Light, camera: Camera, rng: np.random.Generator
    ) -> None:
        self.camera, self.light = camera, light
        self.seat = (0.93 + rng.normal(0, 0.02), 0.355 + rng.normal(0, 0.012))
        self.script = write_script(labels["driver_emotion"], labels["driver_behavior"], rng, self.seat)
        build = draw_build(rng)
        self.head = pose_head(self.script, build, self.seat, base_yaw=rng.uniform(2, 13))
        self.body = pose_body(self.script, self.seat, build.half_height / 0.165)
        self.look: Look = draw_look(light, rng)
        self.interior: Interior = paint_interior(camera, light, rng)
        self.annotate(rng)

    def annotate(self, rng: np.random.Generator) -> None:
        """Keypoints and boxes in pixels of the frame, where the camera's shake puts them."""
        height = self.camera.height
        shake = self.camera.shake_px
        points = keypoints(self.body, self.head, rng)
        points[..., :2] = points[..., :2] * height + shake[:, None]
        points[..., 1] = np.minimum(points[..., 1], height * 1.012)
        self.keypoints: Points = points  # (T, 136, 3)
        face, upper = (
            points[:, 26:94, :2] / height,
            points[:, [*range(13), 17, 18, *range(94, 136)], :2] / height,
        )
        boxes = [
            box_around(face, (0.015, 0.055, 0.015, 0.012), rng),
            box_around(upper, (0.05, 0.03, 0.05, 0.02), rng),
        ]
        self.face_box, self.body_box = (self.clamped(box * height) for box in boxes)  # (T, 4)

    def clamped(self, box: Points) -> Points:
        low = np.clip(box[:, :2], 0, None)
        high = np.minimum(box[:, :2] + box[:, 2:], [self.camera.width, self.camera.height])
        return np.concatenate([low, high - low], axis=1)

    def frames(self, indices: Sequence[int]) -> Iterator[Image]:
        for index in indices:
            image = self.interior.at(self.camera.shake_px[index])
            pen = Pen(image, self.camera.shake_px[index])
            self.look.torso(pen, self.body, index)
            self.look.head(pen, self.head, self.body, self.script, index)
            self.interior.wheel(
                pen, float(self.script.hand["right"][index, 1] - self.script.hand["left"][index, 1])
            )
            self.look.arms(pen, self.body, self.script, self.head, index)
            self.interior.front(pen)
            gain = float(self.light.flicker[index])
            yield self.camera.develop(cv2.convertScaleAbs(image, alpha=gain), index)
