"""People on foot: flat figures of limbs, so that every pixel knows its part of the body. AIDE's footage has none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.footage.mesh import CORNERS, PARTS, PERSON, TURN, Frozen, Mesh, Points, padded
from training.footage.motion import FRAMES, MIDDLE, TIME_S, Curve
from training.footage.outside.ego import Ego
from training.footage.outside.traffic import LENGTH_M, WIDTH_M, Vehicle

NOBODY = 0.15  # share of clips without people
TRIES = 60
CLEAR_M = 1.4  # from the middle of the car at every moment
REACH_M = 45.0
LENGTHS = {"uarm": 0.29, "larm": 0.25, "hand": 0.15, "uleg": 0.44, "lleg": 0.42, "foot": 0.2}  # of a body of 1.75 m
WIDTHS = {"uarm": 0.11, "larm": 0.09, "hand": 0.1, "uleg": 0.17, "lleg": 0.13, "foot": 0.1}
SHOULDER_M, HIP_M = (0.2, 1.42), (0.1, 0.88)  # from the middle, above the ground


@dataclass(frozen=True)
class Walker:
    """Somebody on foot."""

    x: Curve  # (FRAMES,) on the ground
    y: Curve
    turn: float  # of the flat figure about the upright axis; 0: seen broadside along the street, rad


def draw_people(ego: Ego, vehicles: list[Vehicle], rng: np.random.Generator) -> list[Walker]:
    """Beside where the car comes, near enough to be seen in full; nobody where it or another vehicle drives."""
    people: list[Walker] = []
    wanted = 0 if rng.random() < NOBODY else int(rng.integers(3, 11))
    for _ in range(TRIES):
        x, aside = rng.uniform(2.0, 15.0), rng.choice([-1.0, 1.0]) * rng.uniform(CLEAR_M, 5.5)
        pace, turn = rng.uniform(-1.2, 1.2) * (TIME_S - 1.5), rng.uniform(-0.8, 0.8)
        walker = Walker(x + pace, np.full(FRAMES, ego.y[MIDDLE] + aside), turn)
        away = np.hypot(walker.x - ego.x, walker.y - ego.y).min() > CLEAR_M
        if len(people) < wanted and away and not any(hit(walker, vehicle) for vehicle in vehicles):
            people.append(walker)
    return people


def hit(walker: Walker, vehicle: Vehicle) -> bool:
    long_m, wide_m = (LENGTH_M, WIDTH_M) if vehicle.heading % 2 == 0 else (WIDTH_M, LENGTH_M)
    near = (np.abs(walker.x - vehicle.x) < long_m / 2 + 0.4) & (np.abs(walker.y - vehicle.y) < wide_m / 2 + 0.4)
    return bool(near.any())


@dataclass
class Figure:
    """A body in its own plane: across and up in metres, farthest limbs first."""

    rng: np.random.Generator
    shapes: list[NDArray[np.float64]]  # (n, 2)
    parts: list[str]

    def add(self, part: str, shape: NDArray[np.float64]) -> None:
        self.shapes.append(shape)
        self.parts.append(part)

    def limb(self, side: str, names: tuple[str, ...], start: tuple[float, float], angles: list[float]) -> None:
        """A chain of boards; an angle of 0 hangs down."""
        at = np.array(start)
        for name, angle in zip(names, angles, strict=True):
            along = np.array([np.sin(angle), -np.cos(angle)])
            across = np.array([along[1], -along[0]]) * WIDTHS[name] / 2
            end = at + along * LENGTHS[name]
            self.add(side + name, np.array([at - across, end - 0.8 * across, end + 0.8 * across, at + across]))
            at = end

    def arm(self, side: str, out: float) -> None:
        raised = out * self.rng.choice([self.rng.uniform(0.05, 0.5), self.rng.uniform(0.8, 2.4)], p=[0.75, 0.25])
        bent = raised + out * self.rng.uniform(0, 0.9)
        self.limb(side, ("uarm", "larm", "hand"), (out * SHOULDER_M[0], SHOULDER_M[1]), [raised, bent, bent])

    def leg(self, side: str, out: float) -> None:
        stride = out * self.rng.uniform(0.0, 0.4)
        knee = stride - out * self.rng.uniform(0.0, 0.3)
        self.limb(side, ("uleg", "lleg", "foot"), (out * HIP_M[0], HIP_M[1]), [stride, knee, knee + out * 1.2])


def figure(rng: np.random.Generator) -> Figure:
    """A standing or walking body, 1.75 m tall; whose arm is in front is drawn by lot."""
    body = Figure(rng, [], [])
    behind, front = (("l", -1.0), ("r", 1.0)) if rng.random() < 0.5 else (("r", 1.0), ("l", -1.0))
    body.leg(*behind)
    body.leg(*front)
    body.arm(*behind)
    body.add("neck", np.array([[-0.06, 1.4], [0.06, 1.4], [0.06, 1.56], [-0.06, 1.56]]))
    body.add("torso", np.array([[-0.17, 0.82], [0.17, 0.82], [0.22, 1.45], [-0.22, 1.45]]))
    circle = np.stack([np.cos(TURN), np.sin(TURN)], axis=1)
    body.add("hair", circle * [0.125, 0.14] + [0, 1.64])
    body.add("head", circle * [0.105, 0.13] + [0, 1.6])
    body.arm(*front)
    return body


def add_person(mesh: Mesh, walker: Walker, mover: int, ground: Points, rng: np.random.Generator) -> None:
    """Clothes are as often brighter as darker than the road."""
    body, size = figure(rng), rng.uniform(0.85, 1.08)
    across = np.array([-np.sin(walker.turn), np.cos(walker.turn)])
    flat = [np.column_stack([shape[:, :1] * across, shape[:, 1]]) * size for shape in body.shapes]
    points = np.stack([padded(some.astype(np.float32)) for some in flat])
    count = len(points)
    mesh.bodies.append(
        Frozen(
            points,
            np.clip(clothes(body.parts, ground, rng), 0, 255).astype(np.float32),
            np.zeros((count, 3), dtype=np.float32),
            np.zeros((count, 3), dtype=np.float32),
            (-0.01 * np.arange(count)).astype(np.float32),
            np.full(count, mover),
            np.linalg.norm(points, axis=2).max(axis=1),
            np.full(count, REACH_M, dtype=np.float32),
            np.array([min(len(shape), CORNERS) for shape in body.shapes]),
            np.array([PERSON + PARTS.index(part) for part in body.parts]),
        )
    )


def clothes(parts: list[str], ground: Points, rng: np.random.Generator) -> NDArray[np.float64]:
    """(n, 3) BGR of each part."""
    room = np.minimum(ground - 12, 245 - ground)
    shirt, trousers = (
        ground + rng.choice([-1.0, 1.0]) * rng.uniform(0.3, 0.95) * room + rng.normal(0, 25, 3) for _ in range(2)
    )
    skin = np.array([120, 150, 200]) * rng.uniform(0.4, 1.15)
    own = {"hair": np.full(3, rng.uniform(15, 140)), "foot": np.full(3, rng.uniform(20, 230)), "torso": shirt}
    own |= {"uarm": shirt, "larm": shirt if rng.random() < 0.5 else skin, "uleg": trousers, "lleg": trousers}
    return np.array([own.get(part, own.get(part[1:], skin)) for part in parts])
