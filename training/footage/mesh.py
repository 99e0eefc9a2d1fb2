"""Polygons in the world: flat lists that one vectorised pass can place, cull, sort and project."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

# What a polygon is, for labels; nothing that is drawn depends on it.
ROAD, PAVEMENT, KERB, LANE_DASHED, CENTRE_DASHED, CENTRE_SOLID, STOP_LINE = range(7)
BUILDING, POLE, SIGN, TREE, CAR, CAR_SHADOW, SKY, HOOD = range(7, 15)
PERSON = 15  # of a person's part PARTS[k]: PERSON + k
PARTS = (  # by PASCAL-Part's names
    *("hair", "head", "neck", "torso"),
    *("luarm", "llarm", "lhand", "ruarm", "rlarm", "rhand"),
    *("luleg", "llleg", "lfoot", "ruleg", "rlleg", "rfoot"),
)

CORNERS = 8  # every polygon has this many; shorter ones repeat their last
# Added to a polygon's distance (m) to order the drawing, farthest first; fractions order one body's parts.
GROUND, PAINT, SHADOW, SOLID = 3000.0, 2000.0, 1000.0, 0.0

TURN = (np.arange(CORNERS) + 0.5) * 2 * np.pi / CORNERS
OCTAGON = {
    "x": np.stack([np.cos(TURN), 0 * TURN, np.sin(TURN)], axis=1),
    "y": np.stack([0 * TURN, np.cos(TURN), np.sin(TURN)], axis=1),
}

Points = NDArray[np.float32]


@dataclass
class Mesh:
    """Polygons being collected: standing ones one by one, a vehicle's at once."""

    points: list[Points] = field(default_factory=list)
    colors: list[tuple[float, ...]] = field(default_factory=list)
    anchors: list[Sequence[float]] = field(default_factory=list)
    layers: list[float] = field(default_factory=list)
    reaches: list[float] = field(default_factory=list)
    corners: list[int] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    bodies: list[Frozen] = field(default_factory=list)
    kind: int = ROAD  # of what is added next

    def add(
        self,
        points: Points,
        color: Sequence[float] | NDArray[np.float64],
        *,
        anchor: Sequence[float] | None = None,
        layer: float = SOLID,
        reach_m: float = 58.0,
    ) -> None:
        """A standing polygon, seen from both sides. points: (n, 3), n <= 8, convex.

        anchor: where its distance is measured. reach_m: distance from which on it is too small to draw.
        """
        corners = padded(points)
        self.points.append(corners)
        self.colors.append(tuple(color))
        self.anchors.append(tuple(corners.mean(axis=0)) if anchor is None else anchor)
        self.layers.append(layer)
        self.reaches.append(reach_m)
        self.corners.append(len(points))
        self.kinds.append(self.kind)

    def freeze(self) -> Frozen:
        points = np.stack(self.points)  # (N, 8, 3)
        anchors = np.array(self.anchors, dtype=np.float32)  # (N, 3)
        count = len(points)
        standing = Frozen(
            points,
            np.array(self.colors, dtype=np.float32),
            anchors,
            np.zeros((count, 3), dtype=np.float32),
            np.array(self.layers, dtype=np.float32),
            np.full(count, -1),
            np.linalg.norm(points - anchors[:, None], axis=2).max(axis=1),
            np.array(self.reaches, dtype=np.float32),
            np.array(self.corners),
            np.array(self.kinds),
        )
        parts = [standing, *self.bodies]
        return Frozen(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Frozen)))


@dataclass(frozen=True)
class Frozen:
    """Polygons as arrays. `movers` names the moving body that carries a polygon; -1: it stands still."""

    points: Points  # (N, 8, 3) world, or relative to the mover
    colors: Points  # (N, 3) BGR 0..255
    anchors: Points  # (N, 3)
    normals: Points  # (N, 3) zero where a polygon is seen from both sides
    layers: Points  # (N,)
    movers: NDArray[np.int64]
    radii: Points  # (N,) farthest corner from the anchor
    reaches: Points  # (N,) metres
    corners: NDArray[np.int64]  # (N,) how many of the 8 are not padding
    kinds: NDArray[np.int64]  # (N,) ROAD, PAVEMENT, ...


def normals(points: Points) -> Points:
    """(N, 8, 3) -> (N, 3), not of unit length."""
    crossed: Points = np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0])
    return crossed


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


def disc(center: tuple[float, float, float], radius: float, axis: str) -> Points:
    """An upright octagon in the plane through the z axis and `axis`."""
    return np.asarray(np.array(center) + radius * OCTAGON[axis], dtype=np.float32)
