"""Seat, windows, pillars, wheel: the cabin without the driver."""

from __future__ import annotations

import cv2
import numpy as np

from training.footage.camera import Color, Image, Light, PinholeCamera
from training.footage.pen import Pen

WHEEL = (1.07, 1.03)  # hub, frame heights
RIM = (0.345, 0.235)


class Interior:
    """The painted background and the things in front of the driver."""

    def __init__(self, canvas: Image, margin: int, wheel: Color, clutter: list[tuple[np.ndarray, Color]]) -> None:
        self.canvas, self.margin, self.rim, self.clutter = canvas, margin, wheel, clutter

    def at(self, shake_px: np.ndarray) -> Image:
        """The background displaced by the camera's shake: whole pixels, which a blurred background hides."""
        m = self.margin
        dx, dy = np.clip(np.rint(shake_px), -m, m).astype(int)
        height, width = self.canvas.shape[0] - 2 * m, self.canvas.shape[1] - 2 * m
        return self.canvas[m - dy : m - dy + height, m - dx : m - dx + width].copy()

    def wheel(self, pen: Pen, turn: float) -> None:
        hub = np.array(WHEEL)
        red, green, blue = self.rim
        dark = 0.7 * red, 0.7 * green, 0.7 * blue
        bright = (min(255.0, 1.5 * red + 12), min(255.0, 1.5 * green + 12), min(255.0, 1.5 * blue + 12))
        for angle in (np.pi - turn, -turn, np.pi / 2 - turn):
            tip = hub + np.array([np.cos(angle) * RIM[0], np.sin(angle) * RIM[1]])
            pen.limb(hub, tip, (0.045, 0.028), dark)
        pen.dot(hub, 0.095, dark)
        pen.ring(WHEEL, RIM, 0.0, self.rim, 0.036)
        pen.ring(
            WHEEL,
            (RIM[0] - 0.008, RIM[1] - 0.010),
            0.0,
            bright,
            0.006,
        )

    def front(self, pen: Pen) -> None:
        """Small things hanging before the lens."""
        for points, color in self.clutter:
            pen.shape(points, color)


def paint_interior(camera: PinholeCamera, light: Light, rng: np.random.Generator) -> Interior:
    margin = max(2, round(0.02 * camera.height))
    height, width = camera.height, camera.width
    canvas = np.zeros((height + 2 * margin, width + 2 * margin, 3), np.uint8)
    pen = Pen(canvas, np.array([float(margin), float(margin)]))
    pen.height, pen.scale = height, float(height * 16)  # the canvas is larger than the frame
    aspect = width / height
    trim = rng.uniform(30, 95) + rng.normal(0, 6, 3)
    canvas[:] = light.lit(trim)
    windows(pen, aspect, light, trim, rng)
    seat_back(pen, light, rng)
    blur = 0.012 * height
    canvas = cv2.GaussianBlur(canvas, (0, 0), max(blur, 0.8))
    shade = np.linspace(1.05, 0.72, canvas.shape[0])[:, None, None]
    canvas = np.clip(canvas * shade, 0, 255).astype(np.uint8)
    wheel = light.lit(np.full(3, rng.uniform(22, 70)))
    return Interior(canvas, margin, wheel, clutter(aspect, light, rng))


def windows(pen: Pen, aspect: float, light: Light, trim: np.ndarray, rng: np.random.Generator) -> None:
    """Windows on a blurred street that never moves: the cabin must not tell how the car moves."""
    panes = [
        np.array([[0.06, 0.16], [0.52, 0.12], [0.56, 0.50], [0.10, 0.56]]),
        np.array([[1.16, 0.10], [aspect + 0.05, 0.04], [aspect + 0.05, 0.60], [1.24, 0.54]]),
    ]
    for pane in panes:
        pen.shape(pane, tuple(light.sky_low * 0.92))
        x0, x1 = pane[:, 0].min(), pane[:, 0].max()
        for _ in range(5):
            x, w, top = rng.uniform(x0, x1), rng.uniform(0.05, 0.2), rng.uniform(0.15, 0.42)
            tone = light.lit(np.clip(rng.uniform(60, 200) + rng.normal(0, 18, 3), 0, 255))
            left, right = max(x0, x), min(x1, x + w)
            pen.shape(np.array([[left, top], [right, top], [right, 0.56], [left, 0.56]]), tone)
    frames(pen, aspect, light, trim)


def frames(pen: Pen, aspect: float, light: Light, trim: np.ndarray) -> None:
    """Roof, pillars and doors around the panes."""
    roof = light.lit(np.clip(trim + 55, 0, 255))
    pen.shape(
        np.array(
            [
                [-0.1, -0.1],
                [aspect + 0.1, -0.1],
                [aspect + 0.1, 0.05],
                [1.14, 0.10],
                [0.04, 0.15],
                [-0.1, 0.2],
            ]
        ),
        roof,
    )
    pillar = light.lit(trim * 1.15)
    pen.shape(np.array([[0.53, 0.05], [0.64, 0.05], [0.66, 0.70], [0.57, 0.70]]), pillar)
    pen.shape(np.array([[1.13, 0.05], [1.22, 0.05], [1.30, 0.70], [1.19, 0.70]]), pillar)
    door = light.lit(trim * 0.8)
    pen.shape(np.array([[1.20, 0.54], [aspect + 0.1, 0.58], [aspect + 0.1, 1.1], [1.3, 1.1]]), door)
    pen.shape(np.array([[-0.1, 0.54], [0.6, 0.50], [0.6, 1.1], [-0.1, 1.1]]), door)


def seat_back(pen: Pen, light: Light, rng: np.random.Generator) -> None:
    cloth = rng.uniform(35, 130) + rng.normal(0, 8, 3)
    x = 0.93
    pen.shape(
        np.array(
            [
                [x - 0.30, 0.50],
                [x - 0.2, 0.44],
                [x + 0.2, 0.44],
                [x + 0.32, 0.50],
                [x + 0.38, 1.1],
                [x - 0.38, 1.1],
            ]
        ),
        light.lit(cloth),
    )
    pen.shape(
        np.array(
            [
                [x - 0.15, 0.20],
                [x - 0.1, 0.16],
                [x + 0.1, 0.16],
                [x + 0.15, 0.20],
                [x + 0.14, 0.46],
                [x - 0.14, 0.46],
            ]
        ),
        light.lit(cloth * 0.85),
    )


def clutter(aspect: float, light: Light, rng: np.random.Generator) -> list[tuple[np.ndarray, Color]]:
    """An ornament at the mirror, a sun visor: sometimes, and never over the face."""
    things: list[tuple[np.ndarray, Color]] = []
    if rng.random() < 0.3:
        x, y, r = rng.uniform(0.15, 0.5), rng.uniform(0.12, 0.3), rng.uniform(0.02, 0.045)
        angle = np.arange(8) * np.pi / 4
        things.append(
            (
                np.array([[x - 0.003, -0.1], [x + 0.003, -0.1], [x + 0.003, y], [x - 0.003, y]]),
                light.lit((40, 40, 40)),
            )
        )
        things.append(
            (
                np.stack([x + r * np.cos(angle), y + r * np.sin(angle)], axis=1),
                light.lit(rng.uniform(30, 220, 3)),
            )
        )
    if rng.random() < 0.2:
        low = rng.uniform(0.05, 0.09)
        things.append(
            (
                np.array([[0.55, -0.1], [1.35, -0.1], [1.33, low], [0.57, low]]),
                light.lit(np.full(3, rng.uniform(60, 170))),
            )
        )
    return things
