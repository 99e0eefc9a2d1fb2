"""The other vehicles: how many, where, and how they move. Nothing else in a clip knows the traffic label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.footage.mesh import (
    CAR,
    CAR_SHADOW,
    CORNERS,
    SHADOW,
    Frozen,
    Mesh,
    Points,
    disc,
    normals,
    padded,
    slab,
    wall,
)
from training.footage.motion import FRAMES, TIME_S, Curve
from training.footage.outside.ego import LANE_M, Ego
from training.footage.outside.world import REACH_M, Street

LENGTH_M, WIDTH_M = 4.3, 1.8
CLEAR_M = (1.6, 5.6)  # sideways and lengthwise room the car needs; a vehicle coming closer is left out


@dataclass(frozen=True)
class Vehicle:
    x: Curve  # (FRAMES,) centre on the ground
    y: Curve
    heading: int  # quarter turns to the left from the road's direction: 0, 1, 2, 3


def lanes() -> list[tuple[float, int]]:
    """(y, heading) of the four lanes."""
    return [(-0.5 * LANE_M, 0), (-1.5 * LANE_M, 0), (0.5 * LANE_M, 2), (1.5 * LANE_M, 2)]


def along(start: float, travelled: Curve, y: float, heading: int) -> Vehicle:
    """A vehicle of the main road."""
    return Vehicle(start + (travelled if heading == 0 else -travelled), np.full(FRAMES, y), heading)


def across(start: float, travelled: Curve, x: float, heading: int) -> Vehicle:
    """A vehicle of a cross street."""
    return Vehicle(np.full(FRAMES, x), start + (travelled if heading == 1 else -travelled), heading)


def creep(rng: np.random.Generator) -> Curve:
    """Stop and go: distance covered by one lane of a jam; neighbours in a lane share it, as in reality."""
    speed = rng.uniform(0.8, 2.0) * np.clip(
        np.sin(2 * np.pi * (TIME_S / rng.uniform(3, 6) + rng.random())) + 0.35, 0, 1
    )
    return np.cumsum(speed) / 15.0


def jam(street: Street, rng: np.random.Generator) -> list[Vehicle]:
    """Stop and go at a crawl; how close they stand differs from lane to lane, and overlaps with smooth traffic."""
    vehicles = []
    for y, heading in lanes():
        crept, room_m = creep(rng), rng.uniform(2.0, 6.0)
        x = -28.0 + rng.uniform(0, 6)
        while x < 48:
            vehicles.append(along(x, crept * rng.uniform(0.85, 1.1), y + rng.normal(0, 0.12), heading))
            x += LENGTH_M + room_m * rng.uniform(0.7, 1.3)
    for center in (street.near_x, street.far_x):
        for offset, heading in ((0.5, 1), (-0.5, 3)):
            crept = creep(rng)
            for side in (-1, 1):
                for step in range(2):
                    start = side * (street.kerb_y + 3.2 + step * rng.uniform(6.4, 7.6))
                    vehicles.append(across(start, 0.5 * crept, center + offset * 3.2, heading))
    return vehicles


def waiting(street: Street, rng: np.random.Generator) -> list[Vehicle]:
    """A queue standing before the far crossing, and traffic crossing there."""
    vehicles = []
    still = np.zeros(FRAMES)
    for y, heading in lanes():
        x = street.far_x + (-1 if heading == 0 else 1) * (street.half_cross_m + rng.uniform(4.2, 5.2))
        for _ in range(int(rng.integers(4, 7))):
            vehicles.append(along(x, still, y + rng.normal(0, 0.12), heading))
            x += (-1 if heading == 0 else 1) * (LENGTH_M + rng.uniform(1.9, 3.2))
    for offset, heading in ((0.5, 1), (-0.5, 3)):
        speed = rng.uniform(4.0, 7.0)
        start = -34.0 + rng.uniform(0, 9)
        while start < 34:
            crossing = speed * (TIME_S - 1.5)
            vehicles.append(across(start, crossing, street.far_x + offset * street.half_cross_m, heading))
            start += LENGTH_M + rng.uniform(4.0, 9.0)
    return vehicles


def smooth(street: Street, rng: np.random.Generator) -> list[Vehicle]:
    """At speed, both ways: sparse in one lane, close in the next."""
    vehicles = []
    for y, heading in lanes():
        speed, room_m = rng.uniform(5.5, 10.0), rng.uniform(5.0, 24.0)
        x = -45.0 + rng.uniform(0, LENGTH_M + room_m)
        while x < 60:
            vehicles.append(along(x, speed * (TIME_S - 1.5), y + rng.normal(0, 0.15), heading))
            x += LENGTH_M + room_m * rng.uniform(0.7, 1.3)
    return vehicles


FLOWS = {"Traffic Jam": jam, "Waiting": waiting, "Smooth Traffic": smooth}


def room_for(vehicle: Vehicle, ego: Ego) -> bool:
    """Whether the vehicle stays out of the car's way during the whole clip."""
    dx, dy = vehicle.x - ego.x, vehicle.y - ego.y
    c, s = np.cos(ego.yaw), np.sin(ego.yaw)
    ahead, aside = np.abs(c * dx + s * dy), np.abs(c * dy - s * dx)
    across_m, along_m = CLEAR_M
    if vehicle.heading % 2:  # a crossing vehicle is long where others are wide
        across_m, along_m = along_m - 1.0, along_m
    turned = np.abs(np.sin(ego.yaw)) * 1.2  # and a turning car sweeps more
    return not bool(np.any((ahead < along_m) & (aside < across_m + turned)))


def parked(street: Street, rng: np.random.Generator) -> list[Vehicle]:
    """Standing at the kerb in every clip: stillness and number alone must not say 'waiting' or 'jam'."""
    if street.strip_m < 2:
        return []
    vehicles = []
    share = rng.uniform(0.1, 0.8)
    for side, heading in ((-1, 0), (1, 2)):
        for x in np.arange(-40 + rng.uniform(0, 6), 50, 6.3):
            if rng.random() < share and not street.crossing_gap(x, 3.0):
                y = side * (2 * LANE_M + 1.15)
                vehicles.append(along(float(x + rng.normal(0, 0.3)), np.zeros(FRAMES), y, heading))
    return vehicles


def draw_traffic(context: str, street: Street, ego: Ego, rng: np.random.Generator) -> list[Vehicle]:
    vehicles = FLOWS[context](street, rng) + parked(street, rng)
    vehicles = [v for v in vehicles if room_for(v, ego)]
    return [v for v in vehicles if np.abs(v.x).min() < REACH_M]


@dataclass(frozen=True)
class VehicleBody:
    """One vehicle about the origin, front towards +x: (P, 8, 3) polygons, and what each is made of."""

    points: Points
    parts: list[str]


def shell(rng: np.random.Generator) -> VehicleBody:
    """A car, an estate or a van. Inner polygons come first, because later ones are drawn over them."""
    tall = rng.choice([1.0, 1.25, 1.5], p=[0.65, 0.2, 0.15])
    half, w, low, belt, top = LENGTH_M / 2, WIDTH_M / 2, 0.3, 0.9 * tall**0.5, 1.45 * tall
    back = -half + (0.25 if tall > 1.1 else rng.uniform(0.4, 0.9))
    nose = half - rng.uniform(0.9, 1.4)
    named = [("shadow", slab(-half, half, -w, w, 0.02)), *cabin((back, nose, w, belt, top))]
    named += [
        ("side", wall(-half, -w, half, -w, low, belt)),
        ("side", wall(half, w, -half, w, low, belt)),
        ("end", wall(half, -w, half, w, low, belt)),
        ("end", wall(-half, w, -half, -w, low, belt)),
        ("hood", slab(-half, half, -w, w, belt)),
    ]
    for side in (-1, 1):
        y0, y1 = sorted((side * (w - 0.42), side * w))
        named.append(("head", wall(half + 0.01, y0, half + 0.01, y1, 0.6, 0.8)))
        named.append(("tail", wall(-half - 0.01, y1, -half - 0.01, y0, 0.62, 0.82)))
        for x in (-half + 0.8, half - 0.85):
            wheel = disc((x, side * (w + 0.01), 0.33), 0.36, "x")
            named.append(("wheel", wheel if side < 0 else wheel[::-1]))
    return VehicleBody(np.stack([padded(points) for _, points in named]), [part for part, _ in named])


def cabin(measures: tuple[float, float, float, float, float]) -> list[tuple[str, Points]]:
    """Four panes leaning inwards, and the roof."""
    back, nose, w, belt, top = measures
    low, high = w - 0.12, w - 0.22
    base = [(back - 0.2, -low), (nose, -low), (nose, low), (back - 0.2, low)]
    roof = [(back + 0.25, -high), (nose - 0.75, -high), (nose - 0.75, high), (back + 0.25, high)]
    panes = []
    for k in range(4):
        n = (k + 1) % 4
        corners = [(*base[k], belt), (*base[n], belt), (*roof[n], top), (*roof[k], top)]
        panes.append(("glass", np.array(corners, dtype=np.float32)))
    return [*panes, ("roof", np.array([(*corner, top) for corner in roof], dtype=np.float32))]


SHADES = {"side": 1.04, "end": 1.02, "hood": 1.0, "roof": 1.03}
TURNS = [(1, 0), (0, 1), (-1, 0), (0, -1)]  # cosine and sine of a heading


def add_vehicle(mesh: Mesh, heading: int, mover: int, ground: Points, rng: np.random.Generator) -> None:
    """As often brighter as darker than the road it hides, its glass as any house: no mean colour, part by part.

    So under a car the road takes on some of its paint, as damp asphalt does, for a plain shadow is only ever
    darker; and a dark tyre is as likely as a bright hub cap.
    """
    room = np.minimum(ground - 12, 245 - ground)  # the same way up as down
    paint = ground + rng.choice([-1.0, 1.0]) * rng.uniform(0.3, 0.95) * room + rng.normal(0, 12, 3)
    glass = np.full(3, rng.uniform(60, 230)) + rng.normal(0, 6, 3)
    flat = {
        "shadow": ground + 0.3 * (paint - ground),
        "glass": glass,
        "head": (225, 238, 242),
        "tail": (55, 55, 175),
        "wheel": ground + rng.choice([-1.0, 1.0]) * 0.75 * room,
    }
    c, s = TURNS[heading]
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=np.float32)
    body = shell(rng)
    colors = np.array([flat[part] if part in flat else paint * SHADES[part] for part in body.parts])
    shadow = np.array([part == "shadow" for part in body.parts])
    small = np.array([part in ("wheel", "head", "tail") for part in body.parts])
    points, count = body.points @ turn.T, len(body.parts)
    mesh.bodies.append(
        Frozen(
            points,
            np.clip(colors, 0, 255).astype(np.float32),
            np.zeros((count, 3), dtype=np.float32),
            normals(points) * ~shadow[:, None],
            np.where(shadow, SHADOW, -0.01 * np.arange(count)).astype(np.float32),
            np.full(count, mover),
            np.linalg.norm(points, axis=2).max(axis=1),
            np.where(small, 28.0, 50.0).astype(np.float32),
            np.where([part == "wheel" for part in body.parts], CORNERS, 4),
            np.where(shadow, CAR_SHADOW, CAR),
        )
    )
