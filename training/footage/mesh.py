"""Polygons in the world: flat lists that one vectorised pass can place, cull, sort and project."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

CORNERS = 8  # every polygon has this many; shorter ones repeat their last
# Added to a polygon's distance (m) to order the drawing, farthest first; fractions order one body's parts.
GROUND, PAINT, SHADOW, SOLID = 3000.0, 2000.0, 1000.0, 0.0

Points = NDArray[np.float32]


@dataclass
class Mesh:
    """Polygons being collected. `mover` names the moving body that carries a polygon; -1: it stands still."""

    points: list[Points] = field(default_factory=list)
    colors: list[tuple[float, ...]] = field(default_factory=list)
    anchors: list[tuple[float, ...]] = field(default_factory=list)
    facing: list[bool] = field(default_factory=list)
    layers: list[float] = field(default_factory=list)
    movers: list[int] = field(default_factory=list)
    reaches: list[float] = field(default_factory=list)

    def add(
        self,
        points: Points,
        color: Sequence[float] | NDArray[np.float64],
        *,
        anchor: Sequence[float] | None = None,
        facing: bool = False,
        layer: float = SOLID,
        mover: int = -1,
        reach_m: float = 58.0,
    ) -> None:
        """points: (n, 3), n <= 8, convex. anchor: measures its distance. facing: hidden from behind.
        reach_m: distance from which on it is too small to draw."""
        corners = padded(points)
        self.points.append(corners)
        self.colors.append(tuple(color))
        self.anchors.append(tuple(corners.mean(axis=0) if anchor is None else anchor))
        self.facing.append(facing)
        self.layers.append(layer)
        self.movers.append(mover)
        self.reaches.append(reach_m)

    def freeze(self) -> Frozen:
        points = np.stack(self.points)  # (N, 8, 3)
        anchors = np.array(self.anchors, dtype=np.float32)  # (N, 3)
        normals = np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0])
        radii = np.linalg.norm(points - anchors[:, None], axis=2).max(axis=1)
        return Frozen(
            points,
            np.array(self.colors, dtype=np.float32),
            anchors,
            normals * np.array(self.facing)[:, None],
            np.array(self.layers, dtype=np.float32),
            np.array(self.movers),
            radii,
            np.array(self.reaches, dtype=np.float32),
        )


@dataclass(frozen=True)
class Frozen:
    points: Points  # (N, 8, 3) world, or relative to the mover
    colors: Points  # (N, 3) BGR 0..255
    anchors: Points  # (N, 3)
    normals: Points  # (N, 3) zero where a polygon is seen from both sides
    layers: Points  # (N,)
    movers: NDArray[np.int64]
    radii: Points  # (N,) farthest corner from the anchor
    reaches: Points  # (N,) metres


def padded(points: Points) -> Points:
    """(n, 3) -> (8, 3), the last corner repeated: a polygon is drawn the same."""
    spare = CORNERS - len(points)
    return np.concatenate([points, np.repeat(points[-1:], spare, axis=0)]) if spare else points


def wall(x0: float, y0: float, x1: float, y1: float, z0: float, z1: float) -> Points:
    """An upright rectangle over the ground line from (x0, y0) to (x1, y1); seen from its right-hand side."""
    return np.array([[x0, y0, z0], [x1, y1, z0], [x1, y1, z1], [x0, y0, z1]], dtype=np.float32)


def slab(x0: float, x1: float, y0: float, y1: float, z: float = 0.0) -> Points:
    """A flat rectangle seen from above."""
    return np.array([[x0, y0, z], [x1, y0, z], [x1, y1, z], [x0, y1, z]], dtype=np.float32)


def disc(center: tuple[float, float, float], radius: float, axis: str, squash: float = 1.0) -> Points:
    """An upright octagon in the plane through the z axis and `axis`."""
    angle = np.arange(CORNERS) * 2 * np.pi / CORNERS + np.pi / CORNERS
    points = np.tile(np.array(center, dtype=np.float32), (CORNERS, 1))
    points[:, 0 if axis == "x" else 1] += radius * np.cos(angle)
    points[:, 2] += radius * squash * np.sin(angle)
    return points
