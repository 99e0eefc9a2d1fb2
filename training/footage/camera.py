"""Between a scene and its JPEG: light, lens, sensor. All of it is drawn without looking at a label."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from training.footage.motion import FRAMES, Curve, wander

Image = NDArray[np.uint8]
Color = tuple[float, float, float]

# name: gain, tint (BGR), range of the sky's grey in scene colours, range of its blueness (< 0: golden haze).
# Sky, houses and road have about one mean colour: how much sky a frame shows goes with where the car heads,
# and vehicles hide road and houses, so neither may have a brightness or a hue of its own.
SKIES: dict[str, tuple[float, Color, tuple[float, float], tuple[float, float]]] = {
    "day": (1.0, (1.0, 1.0, 1.0), (85, 200), (-0.6, 0.7)),
    "overcast": (0.88, (1.03, 1.0, 0.97), (95, 195), (-0.2, 0.2)),
    "dusk": (0.66, (0.86, 0.95, 1.08), (95, 190), (-0.55, 0.5)),
    "night": (0.42, (1.05, 0.97, 0.95), (90, 190), (-0.3, 0.3)),
}
BLUE = np.array([0.28, 0.0, -0.28])
SKY_SHARES = (0.45, 0.25, 0.18, 0.12)


@dataclass(frozen=True)
class Light:
    """Time of day and weather: scene colours are multiplied by `gain`."""

    name: str
    gain: NDArray[np.float64]  # (3,) BGR
    sky_top: NDArray[np.float64]
    sky_low: NDArray[np.float64]
    sun: NDArray[np.float64]  # (3,) towards the light, world axes
    flicker: Curve  # (FRAMES,) slow brightness changes in the cabin

    def lit(self, color: object) -> Color:
        """A surface colour (BGR) under this light."""
        b, g, r = np.clip(np.asarray(color, dtype=float) * self.gain, 0, 255)
        return float(b), float(g), float(r)


def draw_light(rng: np.random.Generator) -> Light:
    name = str(rng.choice(list(SKIES), p=SKY_SHARES))
    gain, tint, grey, blueness = SKIES[name]
    exposed = gain * rng.uniform(0.85, 1.12) * np.array(tint)
    tone, hue = rng.uniform(*grey), rng.uniform(*blueness)
    low = exposed * tone * (1 + hue * BLUE)
    top = exposed * tone * rng.uniform(0.75, 1.0) * (1 + 1.3 * hue * BLUE)
    bearing, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.9)
    sun = np.array([np.cos(bearing) * (1 - height), np.sin(bearing) * (1 - height), height])
    return Light(
        name,
        exposed,
        np.clip(top, 0, 255),
        np.clip(low, 0, 255),
        sun / np.linalg.norm(sun),
        1 + wander(rng, rng.uniform(0.01, 0.06)),
    )


@cache
def grain(height: int, width: int) -> NDArray[np.int16]:
    """One tile of sensor noise, sigma 32, larger than the frame: frames look at it through moving windows."""
    noise = np.random.default_rng(1).normal(0, 32, (height + 64, width + 64, 3))
    return np.asarray(noise.round(), dtype=np.int16)


@dataclass(frozen=True)
class PinholeCamera:
    """One camera's faults over a clip."""

    width: int
    height: int
    shake_px: NDArray[np.float64]  # (FRAMES, 2) displacement of the picture
    noise: NDArray[np.int16]  # the clip's own noise tile
    windows: NDArray[np.int64]  # (FRAMES, 2) where a frame looks into it
    blur_px: float  # Gaussian sigma; 0: none
    dirt: tuple[tuple[slice, slice, NDArray[np.float32]], ...]

    def develop(self, image: Image, index: int) -> Image:
        """Dirt, softness and noise on a finished drawing."""
        for rows, columns, keep in self.dirt:
            image[rows, columns] = (image[rows, columns] * keep).astype(np.uint8)
        if self.blur_px:
            image = cv2.GaussianBlur(image, (3, 3) if self.height < 400 else (0, 0), self.blur_px)
        row, column = self.windows[index]
        noise = self.noise[row : row + self.height, column : column + self.width]
        developed: Image = cv2.add(image, noise, dtype=cv2.CV_8U)
        return developed


def draw_dirt(rng: np.random.Generator, width: int, height: int) -> tuple[slice, slice, NDArray[np.float32]]:
    """A soft dark spot on the lens."""
    radius = max(3, round(height * rng.uniform(0.03, 0.09)))
    row, column = (int(rng.integers(0, size - 2 * radius)) for size in (height, width))
    y, x = np.mgrid[-1 : 1 : 2j * radius, -1 : 1 : 2j * radius]
    depth = rng.uniform(0.15, 0.5) * np.clip(1 - (x**2 + y**2), 0, 1)
    keep = np.asarray(1 - depth[..., None], dtype=np.float32)
    return slice(row, row + 2 * radius), slice(column, column + 2 * radius), keep


def draw_camera(rng: np.random.Generator, width: int, height: int) -> PinholeCamera:
    """Shake exists at standstill too (an idling engine), or its absence would say 'parked'."""
    sigma = rng.uniform(0.8, 3.5)
    shake = rng.normal(0, rng.uniform(0.0005, 0.003) * height, (FRAMES, 2))
    spots = tuple(draw_dirt(rng, width, height) for _ in range(rng.choice([0, 1, 2, 3], p=[0.55, 0.25, 0.12, 0.08])))
    blur = rng.uniform(0.4, 0.9) * height / 180 if rng.random() < 0.35 else 0.0
    noise = np.asarray((grain(height, width) * (sigma / 32)).round(), dtype=np.int16)
    return PinholeCamera(width, height, shake, noise, rng.integers(0, 64, (FRAMES, 2)), blur, spots)
