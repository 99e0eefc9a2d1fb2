"""The cabin seen from the dashboard: a painted background, then the driver drawn over it frame by frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import cv2
import numpy as np

from training.footage.camera import Image, Light, PinholeCamera
from training.footage.inside.body import Points, box_around, keypoints, pose_body
from training.footage.inside.driver import write_script
from training.footage.inside.face import draw_build, pose_head
from training.footage.inside.interior import Interior, paint_interior
from training.footage.inside.person import Appearance, draw_arms, draw_look, draw_torso
from training.footage.inside.portrait import draw_head
from training.footage.pen import Pen
from training.footage.spec import ClipSpec


class Cabin:
    """The inside of one clip."""

    def __init__(self, spec: ClipSpec, light: Light, camera: PinholeCamera) -> None:
        rng = spec.rng("driver")
        # The in-car camera exposes for the driver: at night the face stays readable.
        self.camera, self.light = camera, replace(light, gain=light.gain**0.45)
        light = self.light
        self.seat = (0.93 + rng.normal(0, 0.02), 0.355 + rng.normal(0, 0.012))
        build, base_yaw = draw_build(rng), rng.uniform(2, 13)
        labels = spec.labels
        self.script = write_script(labels["driver_emotion"], labels["driver_behavior"], rng, self.seat)
        self.head = pose_head(self.script, build, self.seat, base_yaw)
        self.body = pose_body(self.script, self.seat, build.half_height / 0.165)
        self.annotate(rng)
        rng = spec.rng("cabin")
        self.look: Appearance = draw_look(light, rng)
        self.interior: Interior = paint_interior(camera, light, rng)

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
            self.draw_driver(image, index)
            yield self.developed(image, index)

    def draw_driver(self, image: Image, index: int) -> None:
        """The driver at the wheel, on the empty cabin."""
        pen = Pen(image, self.camera.shake_px[index])
        self.draw_behind_wheel(pen, index)
        self.interior.wheel(pen, float(self.script.hand["right"][index, 1] - self.script.hand["left"][index, 1]))
        self.draw_before_wheel(pen, index)

    def draw_behind_wheel(self, pen: Pen, index: int) -> None:
        draw_torso(pen, self.look, self.body, index)
        draw_head(pen, self.look, self.head, self.body.neck[index], index)

    def draw_before_wheel(self, pen: Pen, index: int) -> None:
        lips = self.head.parts["lips"][index].mean(axis=0)
        draw_arms(pen, self.look, self.body, self.script, lips, index)

    def developed(self, image: Image, index: int) -> Image:
        """What the camera makes of it all, with what hangs before the lens."""
        self.interior.front(Pen(image, self.camera.shake_px[index]))
        return self.exposed(image, index)

    def exposed(self, image: Image, index: int) -> Image:
        return self.camera.develop(cv2.convertScaleAbs(image, alpha=float(self.light.flicker[index])), index)
