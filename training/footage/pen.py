"""Drawing in frame heights with sub-pixel precision."""

from __future__ import annotations

import cv2
import numpy as np

from training.footage.camera import Color, Image

SHIFT = 4


def around(point: np.ndarray, *offsets: object) -> np.ndarray:
    """(n, 2): places at the given offsets from a point."""
    places: np.ndarray = np.asarray(point) + np.array(offsets)
    return places


class Pen:
    """Draws on one image; coordinates are in frame heights, moved by the camera's shake."""

    def __init__(self, image: Image, shake_px: np.ndarray) -> None:
        self.image = image
        self.height = image.shape[0]
        self.scale = float(self.height * 2**SHIFT)
        self.origin = np.asarray(shake_px) * 2**SHIFT + 0.5  # half, because a cast cuts off

    def pixels(self, points: np.ndarray) -> np.ndarray:
        fixed: np.ndarray = (points * self.scale + self.origin).astype(np.int32)
        return fixed

    def length(self, size: float) -> int:
        pixels: int = round(size * self.height)
        return max(1, pixels)

    def shape(self, points: np.ndarray, color: Color) -> None:
        cv2.fillPoly(self.image, [self.pixels(points)], color, cv2.LINE_AA, SHIFT)

    def hull(self, points: np.ndarray, color: Color) -> None:
        cv2.fillConvexPoly(self.image, cv2.convexHull(self.pixels(points)), color, cv2.LINE_AA, SHIFT)

    def stroke(self, points: np.ndarray, color: Color, size: float) -> None:
        cv2.polylines(self.image, [self.pixels(points)], False, color, self.length(size), cv2.LINE_AA, SHIFT)

    def dot(self, center: np.ndarray, radius: float, color: Color) -> None:
        x, y = self.pixels(center).tolist()
        cv2.circle(self.image, (x, y), max(1, round(radius * self.height * 2**SHIFT)), color, -1, cv2.LINE_AA, SHIFT)

    def limb(self, a: np.ndarray, b: np.ndarray, radii: tuple[float, float], color: Color) -> None:
        """A tapered capsule."""
        along = b - a
        across = np.array([-along[1], along[0]]) / max(float(np.hypot(*along)), 1e-6)
        ra, rb = radii
        self.shape(np.stack([a + across * ra, b + across * rb, b - across * rb, a - across * ra]), color)
        self.dot(a, ra, color)
        self.dot(b, rb, color)

    def ring(
        self,
        center: tuple[float, float],
        axes: tuple[float, float],
        tilt_deg: float,
        color: Color,
        size: float,
    ) -> None:
        x, y = self.pixels(np.array(center)).tolist()
        width, height = (round(a * self.height * 2**SHIFT) for a in axes)
        cv2.ellipse(
            self.image,
            (x, y),
            (width, height),
            tilt_deg,
            0,
            360,
            color,
            self.length(size),
            cv2.LINE_AA,
            SHIFT,
        )
