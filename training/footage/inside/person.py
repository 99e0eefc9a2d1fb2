"""How a driver looks: colours, things worn; torso and arms as they are drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.footage.camera import Color, Light
from training.footage.inside.body import Body
from training.footage.inside.driver import Script
from training.footage.pen import Pen, around

SKINS = [
    (150, 185, 228),
    (130, 165, 212),
    (105, 142, 196),
    (78, 112, 165),
    (58, 84, 130),
    (48, 66, 102),
]  # BGR
HAIRS = [(22, 22, 26), (30, 40, 58), (48, 70, 105), (95, 140, 180), (150, 150, 152), (35, 45, 120)]
BLACK, GREY, WHITE = (0.0, 0.0, 0.0), (170.0, 170.0, 170.0), (255.0, 255.0, 255.0)
SIDES = ("right", "left")  # the driver's


def mix(a: Color, b: Color, share: float) -> Color:
    x, y, z = (p * (1 - share) + q * share for p, q in zip(a, b, strict=True))
    return x, y, z


@dataclass(frozen=True)
class Appearance:
    """One driver's colours and things worn."""

    skin: Color
    shadow: Color  # skin away from the light
    hair: Color
    cloth: Color
    lip: Color
    white: Color
    iris: Color
    ink: Color  # lids, mouth's inside
    long_hair: bool
    long_sleeves: bool
    glasses: bool
    beard: bool
    belt: bool
    shaded_side: int  # -1 the image's left half of the face lies in shadow, +1 its right


def draw_look(light: Light, rng: np.random.Generator) -> Appearance:
    skin = np.array(SKINS[rng.integers(len(SKINS))]) * rng.uniform(0.92, 1.08)
    hair = np.array(HAIRS[rng.integers(len(HAIRS))]) * rng.uniform(0.8, 1.2)
    cloth = rng.uniform(25, 205) * (1 + rng.uniform(-0.35, 0.35, 3))
    return Appearance(
        skin=light.lit(skin),
        shadow=light.lit(skin * 0.74),
        hair=light.lit(hair),
        cloth=light.lit(np.clip(cloth, 10, 245)),
        lip=light.lit(skin * np.array([0.66, 0.60, 0.84])),
        white=light.lit((232, 236, 238)),
        iris=light.lit(rng.uniform(15, 60, 3)),
        ink=light.lit((24, 22, 30)),
        long_hair=rng.random() < 0.4,
        long_sleeves=rng.random() < 0.6,
        glasses=rng.random() < 0.25,
        beard=rng.random() < 0.18,
        belt=rng.random() < 0.85,
        shaded_side=int(rng.choice([-1, 1])),
    )


def draw_torso(pen: Pen, look: Appearance, body: Body, t: int) -> None:
    right, left, neck = body.shoulder["right"][t], body.shoulder["left"][t], body.neck[t]
    outline = [
        *around(right, (-0.055, 0.05), (0.01, -0.045)),
        *around(neck, (-0.10, -0.015), (0.10, -0.015)),
        *around(left, (-0.01, -0.045), (0.055, 0.05)),
        (left[0] + 0.05, 1.1),
        (right[0] - 0.05, 1.1),
    ]
    pen.shape(np.array(outline), look.cloth)
    x, y = left if look.shaded_side > 0 else right
    inner = x + (neck[0] - x) * np.array([0.45, 0.40])
    fold = np.array([(x, y + 0.02), (inner[0], 0.72), (inner[1], 1.1), (x, 1.1)])
    pen.shape(fold, mix(look.cloth, BLACK, 0.18))
    pen.hull(around(neck, (-0.075, -0.02), (0.075, -0.02), (0.0, 0.055)), look.shadow)
    if look.belt:
        start, end = left + np.array([-0.05, -0.03]), np.array([right[0] + 0.02, 1.05])
        middle = (neck + right) / 2 + np.array([0.06, 0.30])
        pen.stroke(np.stack([start, middle, end]), mix((45, 45, 48), look.cloth, 0.15), 0.028)


def draw_arms(pen: Pen, look: Appearance, body: Body, script: Script, lips: np.ndarray, t: int) -> None:
    """lips: the middle of the mouth, where a cigarette goes."""
    for side in SIDES:
        shoulder, elbow, wrist = body.shoulder[side][t], body.elbow[side][t], body.wrist[side][t]
        pen.limb(shoulder + np.array([0, 0.025]), elbow, (0.072, 0.058), mix(look.cloth, BLACK, 0.1))
        forearm = mix(look.cloth, WHITE, 0.05) if look.long_sleeves else look.skin
        pen.limb(elbow, wrist, (0.055, 0.034), forearm)
        holds = script.prop if script.prop_side == side else ""
        if holds == "phone":
            draw_phone(pen, look, body.hand[side][t])
        draw_hand(pen, look, body.hand[side][t])
        if holds == "cigarette":
            draw_cigarette(pen, look, body.hand[side][t], lips, float(script.puff[t]), t)


def draw_hand(pen: Pen, look: Appearance, points: np.ndarray) -> None:
    width = (points[17] - points[1]) * 0.3
    pen.hull(np.concatenate([points[[0, 1, 5, 9, 13, 17]], around(points[0], width, -width)]), look.skin)
    for finger in range(5):
        tone = look.skin if finger % 2 else mix(look.skin, look.shadow, 0.4)
        pen.stroke(points[1 + 4 * finger : 5 + 4 * finger], tone, 0.020)


def draw_phone(pen: Pen, look: Appearance, hand: np.ndarray) -> None:
    along = hand[9] - hand[0]
    along = 0.085 * along / max(float(np.hypot(*along)), 1e-6)
    across = 0.4 * np.array([-along[1], along[0]])
    corners = around(hand[9], -along - across, along - across, along + across, across - along)
    pen.shape(corners, look.ink)
    pen.stroke(corners[[0, 1, 2, 3, 0]], mix(look.ink, WHITE, 0.45), 0.006)


def draw_cigarette(pen: Pen, look: Appearance, hand: np.ndarray, lips: np.ndarray, puff: float, t: int) -> None:
    grip = (hand[7] + hand[11]) / 2
    away = grip - lips
    away = 0.045 * away / max(float(np.hypot(*away)), 1e-6)
    start, tip = grip - away, grip + away
    if puff > 0.9:
        start, tip = lips, lips + 2.2 * away + np.array([0, 0.015])
    pen.stroke(np.stack([start, tip]), look.white, 0.013)
    pen.dot(tip, 0.010 + 0.004 * puff, (40.0, 90.0, 250.0))
    for k in range(1, 6):
        drift = 0.0072 * k * np.sin(0.45 * t + 0.9 * k)
        pen.dot(tip + np.array([drift, -0.028 * k]), 0.004 + 0.0016 * k, mix(look.white, GREY, 0.5))
