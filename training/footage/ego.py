"""How the car moves: one pose curve per vehicle behaviour. Nothing else in a clip knows that label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.footage.motion import MIDDLE, RATE_HZ, TIME_S, Curve, ramp, wander

LANE_M = 3.3
LANES_M = (-0.5 * LANE_M, -1.5 * LANE_M)  # inner and outer lane of our direction; y points left
CLIP_S = float(TIME_S[-1])


@dataclass(frozen=True)
class Ego:
    """Pose over the clip on the ground plane: x along the road, y to the left (metres), yaw to the left (rad)."""

    x: Curve
    y: Curve
    yaw: Curve
    turn_start_x: float = 0.0  # where a turn leaves or joins the road's direction
    turn_sign: int = 0  # +1: the side street lies ahead, -1: behind, 0: no turn
    radius_m: float = 0.0


def integrate(speed: Curve, yaw_rate: Curve) -> tuple[Curve, Curve, Curve]:
    """Speed (m/s) and yaw rate (rad/s) to a pose that is at the origin in the middle of the clip."""
    yaw = np.cumsum(yaw_rate) / RATE_HZ
    yaw -= yaw[MIDDLE]
    x, y = (np.cumsum(speed * part) / RATE_HZ for part in (np.cos(yaw), np.sin(yaw)))
    return x - x[MIDDLE], y - y[MIDDLE], yaw


def turned(x: Curve, y: Curve, yaw: Curve, by: float) -> tuple[Curve, Curve, Curve]:
    c, s = np.cos(by), np.sin(by)
    return c * x - s * y, s * x + c * y, yaw + by


def forward(rng: np.random.Generator) -> Ego:
    speed = rng.uniform(2.2, 6.5) + rng.uniform(-0.5, 0.5) * (TIME_S - 1.5)
    return Ego(*turned(*integrate(speed, wander(rng, np.radians(0.7))), np.radians(rng.normal(0, 0.8))))


def backward(rng: np.random.Generator) -> Ego:
    speed = -rng.uniform(1.2, 2.6) + rng.uniform(-0.2, 0.2) * (TIME_S - 1.5)
    rate = np.radians(rng.uniform(-2, 2)) + wander(rng, np.radians(0.7))
    return Ego(*turned(*integrate(speed, rate), np.radians(rng.normal(0, 0.8))))


def turning(rng: np.random.Generator) -> Ego:
    """Sustained yaw. The instant at which the car is in line with the road is anywhere in the clip."""
    speed = rng.uniform(2.2, 4.8) + wander(rng, 0.15)
    rate = rng.choice([-1.0, 1.0]) * np.radians(rng.uniform(12, 25)) * (1 + wander(rng, 0.1))
    x, y, yaw = integrate(speed, rate)
    aligned = int(rng.integers(3, len(TIME_S) - 3))
    x, y, yaw = turned(x, y, yaw, -float(yaw[aligned]))
    radius = float(np.mean(speed) / abs(np.mean(rate)))
    return Ego(x, y, yaw, float(x[aligned]), 1 if aligned < MIDDLE else -1, radius)


def changing_lane(rng: np.random.Generator) -> Ego:
    """One lane width sideways, over about the whole clip; the heading follows the path and ends where it began."""
    length_s = rng.uniform(2.4, 3.2)
    shift = (
        LANE_M * rng.uniform(0.95, 1.1) * ramp(CLIP_S / 2 - length_s / 2 + rng.uniform(-0.25, 0.25), length_s)
    )
    y = rng.choice([-1.0, 1.0]) * shift
    x = rng.uniform(4.0, 6.8) * (TIME_S - TIME_S[MIDDLE])
    yaw = np.arctan2(np.gradient(y), np.gradient(x)) + np.radians(rng.normal(0, 0.8))
    return Ego(x, y - y[MIDDLE], yaw)


def parking(rng: np.random.Generator) -> Ego:
    """At rest, or a slow arc towards a bay that comes to rest."""
    if rng.random() < 0.35:
        speed = np.zeros_like(TIME_S)
    else:
        speed = rng.uniform(0.9, 1.9) * (1 - ramp(rng.uniform(-0.6, 0.6), rng.uniform(1.2, 2.0)))
    curvature = rng.choice([-1.0, 1.0]) * rng.uniform(0.10, 0.22)
    return Ego(*turned(*integrate(speed, speed * curvature), np.radians(rng.normal(0, 5))))


PATHS = {
    "Parking": parking,
    "Turning": turning,
    "Backward Moving": backward,
    "Changing Lane": changing_lane,
    "Forward Moving": forward,
}


def ego_path(behavior: str, rng: np.random.Generator) -> Ego:
    """The pose curve; where the car is in the middle of the clip has one distribution for all behaviours but one.

    (A lane change is between two lanes by then; the others are in a lane.)
    """
    path = PATHS[behavior](rng)
    lane_y = rng.choice(LANES_M)
    if behavior == "Changing Lane":
        lane_y = float(np.mean(LANES_M)) + rng.normal(0, 0.3)
    return Ego(
        path.x,
        path.y + lane_y + rng.normal(0, 0.3),
        path.yaw,
        path.turn_start_x,
        path.turn_sign,
        path.radius_m,
    )
