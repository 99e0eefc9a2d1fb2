"""Torso, arms, hands, and the 136 keypoints that a pose estimator would report of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codriver.tasks import KEYPOINTS
from training.footage.inside.driver import Script
from training.footage.inside.face import Head
from training.footage.motion import FRAMES

Points = NDArray[np.float64]
UPPER_ARM, FOREARM, HAND = 0.34, 0.31, 0.115  # frame heights
FINGER_DEG = np.array([-48.0, -20.0, -6.0, 8.0, 22.0])
FINGER_REACH = np.array([0.62, 0.95, 1.0, 0.95, 0.82])
OPEN = np.array([0.50, 0.70, 0.86, 1.0])  # joints along a stretched finger
FIST = np.array([0.50, 0.66, 0.58, 0.46])  # and along a closed one, seen from the back of the hand

# Mean detector confidence per group. AIDE's scores are low: mean about 0.25, per joint 0.03..0.50.
SCORES = {"head": 0.42, "arms": 0.34, "legs": 0.05, "face": 0.28, "hands": 0.19}


@dataclass(frozen=True)
class Body:
    """(T, n, 2) in frame heights; sides are the driver's."""

    shoulder: dict[str, Points]
    elbow: dict[str, Points]
    wrist: dict[str, Points]
    hand: dict[str, Points]  # (T, 21, 2)
    neck: Points  # (T, 2) where the neck leaves the collar
    hip: Points


def elbow_for(shoulder: Points, wrist: Points, side: str) -> Points:
    """Two-bone inverse kinematics in the picture; an arm towards the camera is shortened."""
    reach = wrist - shoulder
    distance = np.linalg.norm(reach, axis=1, keepdims=True)
    along = (UPPER_ARM**2 - FOREARM**2 + distance**2) / (2 * np.maximum(distance, 1e-6))
    along = np.clip(along, 0.3 * distance, 0.7 * distance)
    bend = np.sqrt(np.clip(UPPER_ARM**2 - along**2, 0, 0.16**2))
    outward = np.stack([-reach[:, 1], reach[:, 0]], axis=1) / np.maximum(distance, 1e-6)
    sign = np.where(outward[:, :1] * (-1 if side == "right" else 1) > 0, 1.0, -1.0)
    # Near the vertical the outward side would flip from frame to frame; elbows hang low there anyway.
    lower = np.where(np.abs(outward[:, :1]) < 0.35, np.sign(outward[:, 1:] + 1e-9), sign)
    elbow: Points = shoulder + reach * (along / np.maximum(distance, 1e-6)) + outward * bend * lower
    return elbow


def hand_points(wrist: Points, angle_deg: Points, curl: Points, side: str, scale: float) -> Points:
    """(T, 21, 2): the wrist, then four joints of each finger from the thumb on."""
    mirror = 1.0 if side == "right" else -1.0
    angle = np.radians(angle_deg[:, None] + mirror * FINGER_DEG * (1 - 0.35 * curl[:, None]))  # (T, 5)
    joints = OPEN + (FIST - OPEN) * curl[:, None, None] * np.where(np.arange(5) == 0, 0.5, 1.0)[:, None]  # (T, 5, 4)
    joints = joints * FINGER_REACH[:, None] * HAND * scale
    direction = np.stack([np.cos(angle), np.sin(angle)], axis=-1)  # (T, 5, 2)
    fingers = wrist[:, None, None] + joints[..., None] * direction[:, :, None]
    return np.concatenate([wrist[:, None], fingers.reshape(len(wrist), 20, 2)], axis=1)


def pose_body(script: Script, seat: tuple[float, float], scale: float) -> Body:
    neck = np.stack([seat[0] + 0.6 * script.lean, np.full(FRAMES, seat[1] + 0.20)], axis=1)
    shoulder, elbow, hand = {}, {}, {}
    for side, sign in (("right", -1), ("left", 1)):
        offset = np.stack([sign * 0.27 * scale + script.lean, 0.115 + sign * 0.6 * script.lean], axis=1)
        shoulder[side] = neck + offset
        elbow[side] = elbow_for(shoulder[side], script.hand[side], side)
        forearm = script.hand[side] - elbow[side]
        aim = script.aim[side]
        angle = np.degrees(np.arctan2(forearm[:, 1], forearm[:, 0])) if aim is None else aim
        hand[side] = hand_points(script.hand[side], angle, script.curl[side], side, scale)
    hip = np.stack([np.full(FRAMES, seat[0] - 0.02), np.full(FRAMES, 1.04)], axis=1)
    return Body(shoulder, elbow, dict(script.hand), hand, neck, hip)


def posture(body: Body, head: Head) -> Points:
    """(T, 26, 2) Halpe's body points; what lies below the frame is guessed at its edge, as estimators do."""
    face = head.landmarks
    ear = {side: head.parts[f"ear_{side}"].mean(axis=1) for side in ("left", "right")}
    eyes = {"right": face[:, 36:42].mean(axis=1), "left": face[:, 42:48].mean(axis=1)}
    top = head.parts["hair"][:, :13].mean(axis=1) * 0.4 + head.parts["hair"][:, 6] * 0.6
    points = [face[:, 30], eyes["left"], eyes["right"], ear["left"], ear["right"]]
    for joints in (body.shoulder, body.elbow, body.wrist):
        points += [joints["left"], joints["right"]]
    sides = np.array([[0.14, 0.0], [-0.14, 0.0]])
    points += [body.hip + s for s in sides]
    points += [body.hip + s * 1.5 + [0, -0.04] for s in sides] + [body.hip + s * 1.3 + [0, 0.01] for s in sides]
    points += [top, body.neck, body.hip]
    feet = [(1.4, 0.0), (1.5, 0.005), (1.2, 0.01)]
    points += [body.hip + s * k + [0, dy] for k, dy in feet for s in sides]
    return np.stack(points, axis=1)


def keypoints(body: Body, head: Head, rng: np.random.Generator) -> Points:
    """(T, 136, 3) x, y in frame heights with an estimator's jitter, and its score."""
    points = np.concatenate([posture(body, head), head.landmarks, body.hand["left"], body.hand["right"]], axis=1)
    assert points.shape[1] == KEYPOINTS, points.shape
    groups = [("head", 5), ("arms", 6), ("legs", 6), ("head", 2), ("legs", 7), ("face", 68), ("hands", 42)]
    mean = np.concatenate([np.full(count, SCORES[name]) for name, count in groups])
    mean = np.clip(mean * rng.uniform(0.6, 1.4, KEYPOINTS), 0.02, 0.6)
    scores = rng.beta(2.2 * mean, 2.2 * (1 - mean), (FRAMES, KEYPOINTS))
    loose = np.concatenate([np.full(count, 0.0022 if name == "face" else 0.004) for name, count in groups])
    jitter = rng.normal(0, 1, points.shape) * loose[:, None]
    return np.concatenate([points + jitter, np.clip(scores, 1e-6, 0.99)[..., None]], axis=2)


def box_around(points: Points, margin: tuple[float, float, float, float], rng: np.random.Generator) -> Points:
    """(T, 4) x, y, w, h around (T, n, 2) plus margins (left, top, right, bottom) and a detector's jitter."""
    low, high = points.min(axis=1), points.max(axis=1)
    noise = np.abs(rng.normal(0, 0.004, (len(points), 4)))
    low = low - np.array(margin[:2]) - noise[:, :2]
    high = high + np.array(margin[2:]) + noise[:, 2:]
    return np.concatenate([low, high - low], axis=1)
