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
    """Pose on the ground plane over the clip: x along the road, y to the left (m), yaw to the left (rad)."""

    x: Curve
    y: Curve
    yaw: Curve


def integrate(speed: Curve, yaw_rate: Curve) -> Ego:
    """Speed (m/s) and yaw rate (rad/s) to a pose that in mid-clip is at the origin, along the road."""
    yaw = np.cumsum(yaw_rate) / RATE_HZ
    yaw -= yaw[MIDDLE]
    x, y = (np.cumsum(speed * part) / RATE_HZ for part in (np.cos(yaw), np.sin(yaw)))
    return Ego(x - x[MIDDLE], y - y[MIDDLE], yaw)


def turned(path: Ego, by: float) -> Ego:
    c, s = np.cos(by), np.sin(by)
    return Ego(c * path.x - s * path.y, s * path.x + c * path.y, path.yaw + by)


def forward(rng: np.random.Generator) -> Ego:
    speed = rng.uniform(2.2, 6.5) + rng.uniform(-0.5, 0.5) * (TIME_S - 1.5)
    return turned(integrate(speed, wander(rng, np.radians(0.7))), np.radians(rng.normal(0, 2)))


def backward(rng: np.random.Generator) -> Ego:
    speed = -rng.uniform(1.2, 2.6) + rng.uniform(-0.2, 0.2) * (TIME_S - 1.5)
    rate = np.radians(rng.uniform(-2, 2)) + wander(rng, np.radians(0.7))
    return turned(integrate(speed, rate), np.radians(rng.normal(0, 3)))


def turning(rng: np.random.Generator) -> Ego:
    """Sustained yaw. The car is in line with the road about mid-clip: its heading there says little."""
    speed = rng.uniform(2.2, 4.8) + wander(rng, 0.15)
    rate = rng.choice([-1.0, 1.0]) * np.radians(rng.uniform(12, 25)) * (1 + wander(rng, 0.1))
    return turned(integrate(speed, rate), np.radians(rng.normal(0, 4)))


def changing_lane(rng: np.random.Generator) -> Ego:
    """One lane width sideways, over most of the clip; the heading follows the path and ends where it began.

    Early, central or late: in mid-clip the car is anywhere between the two lanes.
    """
    length_s = rng.uniform(2.2, 2.8)
    center_s = CLIP_S / 2 + rng.uniform(-1, 1) * ((CLIP_S - length_s) / 2 + 0.15)
    shift = LANE_M * rng.uniform(0.95, 1.1) * ramp(center_s - length_s / 2, length_s)
    y = rng.choice([-1.0, 1.0]) * (shift - shift[0])
    x = rng.uniform(4.8, 7.2) * (TIME_S - TIME_S[MIDDLE])
    yaw = np.arctan2(np.gradient(y), np.gradient(x)) + np.radians(rng.normal(0, 0.8))
    return Ego(x, y, yaw)


def parking(rng: np.random.Generator) -> Ego:
    """At rest, or a slow arc towards a bay that comes to rest."""
    if rng.random() < 0.35:
        speed = np.zeros_like(TIME_S)
    else:
        speed = rng.uniform(0.9, 1.9) * (1 - ramp(rng.uniform(-0.6, 0.6), rng.uniform(1.2, 2.0)))
    curvature = rng.choice([-1.0, 1.0]) * rng.uniform(0.10, 0.22)
    return turned(integrate(speed, speed * curvature), np.radians(rng.normal(0, 4)))


PATHS = {
    "Parking": parking,
    "Turning": turning,
    "Backward Moving": backward,
    "Changing Lane": changing_lane,
    "Forward Moving": forward,
}


def ego_path(behavior: str, rng: np.random.Generator) -> Ego:
    """The pose curve. In mid-clip every behaviour is at x = 0 and spread over the same two lanes.

    Drivers do not keep to the middle of a lane here, because a car beside its lane would say 'changing'.
    """
    path = PATHS[behavior](rng)
    if behavior == "Changing Lane":
        first = LANES_M[0] if path.y[-1] < 0 else LANES_M[1]
        return Ego(path.x, path.y + first + rng.normal(0, 0.3), path.yaw)
    lane_y = rng.choice(LANES_M) + rng.uniform(-0.8, 0.8)
    return Ego(path.x, path.y + lane_y, path.yaw)
