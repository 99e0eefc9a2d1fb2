"""The street that stands still: road, markings, kerbs, houses, poles, trees, parked cars, traffic lights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.footage.mesh import (
    BUILDING,
    CENTRE_DASHED,
    CENTRE_SOLID,
    GROUND,
    KERB,
    LANE_DASHED,
    PAINT,
    POLE,
    ROAD,
    SIGN,
    STOP_LINE,
    TREE,
    Mesh,
    disc,
    slab,
    wall,
)
from training.footage.motion import MIDDLE
from training.footage.outside.ego import LANE_M, Ego

REACH_M = 62.0  # the street is built this far ahead of and behind the car


@dataclass(frozen=True)
class Street:
    """Measures of one street; every clip has a near and a far crossing, whatever its labels."""

    near_x: float  # centre of the crossing the car is at, or turns through
    far_x: float  # centre of the crossing ahead, where cross traffic runs
    half_cross_m: float  # half the width of both cross streets
    strip_m: float  # parking strip beside the outer lane
    walk_m: float  # pavement between kerb and houses

    @property
    def kerb_y(self) -> float:
        return 2 * LANE_M + self.strip_m

    def crossing_gap(self, x: float, margin: float = 0.0) -> bool:
        return min(abs(x - self.near_x), abs(x - self.far_x)) < self.half_cross_m + margin


def draw_street(rng: np.random.Generator) -> Street:
    """Every car is near a crossing, turning or not; so a crossing in sight says nothing."""
    near = rng.uniform(-11, 11)
    far = max(rng.uniform(20, 34), near + 17)
    return Street(near, far, rng.uniform(4.5, 6.5), rng.choice([0.4, 2.3]), rng.uniform(3.5, 6.0))


class Builder:
    """Collects the street's polygons, section by section."""

    def __init__(self, street: Street, ego: Ego, night: bool, rng: np.random.Generator) -> None:
        self.street, self.ego, self.night, self.rng = street, ego, night, rng
        self.mesh = Mesh()
        # Asphalt with white lines, or concrete with tarred joints; pavements lighter or darker than the road.
        # What a label moves through the picture is as often brighter as darker than what it covers.
        concrete = rng.random() < 0.5
        self.asphalt = np.full(3, rng.uniform(135, 185) if concrete else rng.uniform(65, 115)) + rng.normal(0, 4, 3)
        step = rng.uniform(70, 110)
        self.paint = self.asphalt + (-step if concrete else step)
        self.walk = self.asphalt + rng.choice([-1, 1]) * rng.uniform(15, 45) + rng.normal(0, 6, 3)

    def build(self) -> Mesh:
        self.ground()
        self.markings()
        self.kerbs()
        self.houses()
        self.furniture()
        return self.mesh

    def clear_of_path(self, x: float, y: float, margin: float = 2.2) -> bool:
        return bool(np.hypot(self.ego.x - x, self.ego.y - y).min() > margin)

    def ground(self) -> None:
        """In tiles, because a tile behind the camera is dropped more cheaply than it is cut."""
        s = self.street
        self.mesh.kind = ROAD
        for x in np.arange(-REACH_M, REACH_M, 15.5):
            self.mesh.add(slab(x, x + 15.6, -s.kerb_y, s.kerb_y), self.asphalt, layer=GROUND)
        for center in (s.near_x, s.far_x):
            for side in (-1, 1):
                y0, y1 = sorted((side * s.kerb_y, side * 45))
                tile = slab(center - s.half_cross_m, center + s.half_cross_m, y0, y1)
                self.mesh.add(tile, self.asphalt, layer=GROUND)

    def markings(self) -> None:
        s = self.street
        solid_center = self.rng.random() < 0.5
        phase = self.rng.uniform(0, 6)
        for x in np.arange(-REACH_M + phase, REACH_M, 6.0):
            if not s.crossing_gap(x + 1.5, 1.5):
                self.mesh.kind = LANE_DASHED
                for y in (-LANE_M, LANE_M):
                    self.mesh.add(slab(x, x + 3.0, y - 0.09, y + 0.09), self.paint, layer=PAINT)
                length = 6.0 if solid_center else 3.0
                self.mesh.kind = CENTRE_SOLID if solid_center else CENTRE_DASHED
                self.mesh.add(slab(x, x + length, -0.1, 0.1), self.paint, layer=PAINT)
        for center in (s.near_x, s.far_x):
            for side in (-1, 1):
                x = center + side * (s.half_cross_m + 1.6)
                y0, y1 = (-2 * LANE_M, -0.2) if side < 0 else (0.2, 2 * LANE_M)
                self.mesh.kind = STOP_LINE
                self.mesh.add(slab(x - 0.25, x + 0.25, y0, y1), self.paint, layer=PAINT)
                self.mesh.kind = CENTRE_DASHED
                for y in np.arange(s.kerb_y + 2, 30, 6.0) * side:
                    self.mesh.add(slab(center - 0.09, center + 0.09, y, y + 3.0), self.paint, layer=PAINT)

    def kerbs(self) -> None:
        """Kerbstones of two tones, 3 m each: big enough not to alias at 5 Hz."""
        s = self.street
        self.mesh.kind = KERB
        tones = [np.clip(self.asphalt + step, 0, 255) for step in (42, -42)]
        for k, x in enumerate(np.arange(-REACH_M, REACH_M, 3.0)):
            if s.crossing_gap(x + 1.5, 0.5):
                continue
            for side in (-1, 1):
                y0, y1 = sorted((side * s.kerb_y, side * (s.kerb_y + 0.35)))
                self.mesh.add(slab(x, x + 3.0, y0, y1), tones[k % 2], layer=PAINT)

    def houses(self) -> None:
        s, rng = self.street, self.rng
        front_y = s.kerb_y + s.walk_m
        for side in (-1, 1):
            x = -REACH_M + rng.uniform(0, 6)
            while x < REACH_M:
                width = rng.uniform(6, 11)
                if not any(
                    x - width < c + side_x < x + width + 1
                    for c in (s.near_x, s.far_x)
                    for side_x in np.linspace(-s.half_cross_m - 2, s.half_cross_m + 2, 5)
                ):
                    if rng.random() < 0.85:
                        self.house((x, side * front_y), (x + width, side * front_y), rng.uniform(5, 11))
                x += width + (rng.uniform(1, 5) if rng.random() < 0.3 else 0.15)
        for center in (s.near_x, s.far_x):
            for end in (-1, 1):
                for side in (-1, 1):
                    x = center + end * (s.half_cross_m + 2.5)
                    y = front_y
                    while y < 36:
                        width = rng.uniform(6, 10)
                        self.house((x, side * y), (x, side * (y + width)), rng.uniform(5, 11))
                        y += width + 0.15

    def house(self, a: tuple[float, float], b: tuple[float, float], height: float) -> None:
        """One facade with its windows, which share the wall's anchor, a hair nearer."""
        rng = self.rng
        self.mesh.kind = BUILDING
        color = np.clip(rng.uniform(65, 225) + rng.normal(0, 14, 3), 20, 235)
        anchor = ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2, 0.0)
        self.mesh.add(wall(*a, *b, 0, height), color, anchor=anchor)
        columns, rows = (
            max(2, round(np.hypot(b[0] - a[0], b[1] - a[1]) / 3.2)),
            max(1, int((height - 1.5) // 3)),
        )
        contrast = rng.choice([-1, 1]) * rng.uniform(30, 75)
        along = np.array(b) - np.array(a)
        dark = np.clip(color + contrast, 5, 250)
        for column in range(columns):
            (x0, y0), (x1, y1) = (np.array(a) + along * (column + f) / columns for f in (0.24, 0.76))
            for row in range(rows):
                glow = self.night and rng.random() < 0.35
                pane = (140, 215, 250) if glow else dark
                self.mesh.add(wall(x0, y0, x1, y1, 1.1 + 3 * row, 2.7 + 3 * row), pane, anchor=anchor, layer=-0.01)

    def furniture(self) -> None:
        """Poles and trees at irregular steps, lights at the crossings."""
        s, rng = self.street, self.rng
        for side in (-1, 1):
            x = -REACH_M + rng.uniform(0, 8)
            while x < REACH_M:
                y = side * (s.kerb_y + rng.uniform(0.8, 1.3))
                if not s.crossing_gap(x, 1.0) and self.clear_of_path(x, y):
                    self.tree(x, y) if rng.random() < 0.4 else self.pole(x, y)
                x += rng.uniform(6, 13)
        for center in (s.near_x, s.far_x):
            for side in (-1, 1):
                x, y = center + side * (s.half_cross_m + 1.0), -side * (s.kerb_y + 0.7)
                if self.clear_of_path(x, y):
                    self.pole(x, y, height=3.4)

    def upright(self, x: float, y: float, half: float, z: tuple[float, float], color: NDArray[np.float64]) -> None:
        """Two crossed boards: a post from wherever one looks."""
        anchor = (x, y, 0.0)
        self.mesh.add(wall(x - half, y, x + half, y, *z), color, anchor=anchor)
        self.mesh.add(wall(x, y - half, x, y + half, *z), color, anchor=anchor)

    def pole(self, x: float, y: float, height: float | None = None) -> None:
        self.mesh.kind = POLE
        tone = self.rng.choice([self.rng.uniform(25, 60), self.rng.uniform(170, 225)])
        self.upright(x, y, self.rng.uniform(0.10, 0.18), (0, height or self.rng.uniform(4.5, 7.5)), np.full(3, tone))
        if self.rng.random() < 0.4:
            sign = np.array([(60, 60, 200), (190, 120, 40), (60, 190, 230)][self.rng.integers(3)])
            self.mesh.kind = SIGN
            self.upright(x, y, 0.45, (2.1, 3.0), sign)

    def tree(self, x: float, y: float) -> None:
        rng = self.rng
        self.mesh.kind = TREE
        self.upright(x, y, 0.16, (0, 2.6), np.array([45, 65, 85]) * rng.uniform(0.6, 1.3))
        leaf = np.array([rng.uniform(35, 75), rng.uniform(85, 150), rng.uniform(50, 110)])
        radius = rng.uniform(1.2, 1.9)
        for step, size in ((0.0, 1.0), (0.5, 0.72)):
            tone = leaf * (1 + 0.3 * step)
            for axis in ("x", "y"):
                crown = disc((x, y, 3.4 + step), radius * size, axis)
                self.mesh.add(crown, tone, anchor=(x, y, 0.0), layer=-0.01 * step)


def build_street(street: Street, ego: Ego, night: bool, rng: np.random.Generator) -> tuple[Mesh, np.ndarray]:
    """The standing polygons and the pavement's colour, which fills the ground below the horizon."""
    builder = Builder(street, ego, night, rng)
    assert abs(ego.x[MIDDLE]) < 1e-6, ego.x[MIDDLE]
    return builder.build(), builder.walk
