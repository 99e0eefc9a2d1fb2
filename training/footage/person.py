"""How a driver looks, and how the posed parts become a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.footage.body import Body
from training.footage.camera import Color, Light
from training.footage.driver import Script
from training.footage.face import Head
from training.footage.pen import Pen

SKINS = [
    (150, 185, 228),
    (130, 165, 212),
    (105, 142, 196),
    (78, 112, 165),
    (52, 78, 122),
    (40, 58, 92),
]  # BGR
HAIRS = [(22, 22, 26), (30, 40, 58), (48, 70, 105), (95, 140, 180), (150, 150, 152), (35, 45, 120)]


def mix(a: Color, b: Color, share: float) -> Color:
    x, y, z = (p * (1 - share) + q * share for p, q in zip(a, b, strict=True))
    return x, y, z


@dataclass(frozen=True)
class Look:
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

    def torso(self, pen: Pen, body: Body, t: int) -> None:
        right, left, neck = body.shoulder["right"][t], body.shoulder["left"][t], body.neck[t]
        bottom = np.array([[left[0] + 0.05, 1.1], [right[0] - 0.05, 1.1]])
        collar = np.array([0.10, 0.015])
        outline = [
            right + [-0.055, 0.05],
            right + [0.01, -0.045],
            neck - collar,
            neck + collar * [1, -1],
            left + [-0.01, -0.045],
            left + [0.055, 0.05],
        ]
        pen.shape(np.array([*outline, *bottom]), self.cloth)
        fold = mix(self.cloth, (0, 0, 0), 0.18)
        side = left if self.shaded_side > 0 else right
        pen.shape(
            np.array(
                [
                    side + [0, 0.02],
                    [side[0] * 0.55 + neck[0] * 0.45, 0.72],
                    [side[0] * 0.6 + neck[0] * 0.4, 1.1],
                    [side[0], 1.1],
                ]
            ),
            fold,
        )
        if self.belt:
            pen.stroke(
                np.array(
                    [left + [-0.05, -0.03], neck * 0.5 + right * 0.5 + [0.06, 0.3], [right[0] + 0.02, 1.05]]
                ),
                mix((45, 45, 48), self.cloth, 0.15),
                0.028,
            )

    def head(self, pen: Pen, head: Head, body: Body, script: Script, t: int) -> None:
        part = {name: points[t] for name, points in head.parts.items()}
        pen.hull(part["back"], self.hair)
        if self.long_hair:
            low = body.neck[t] + [0, 0.03]
            pen.hull(np.concatenate([part["back"], [low + [-0.11, 0], low + [0.11, 0]]]), self.hair)
        chin = part["jaw"][8]
        pen.hull(
            np.array(
                [
                    chin + [-0.075, -0.09],
                    chin + [0.075, -0.09],
                    body.neck[t] + [0.095, 0.01],
                    body.neck[t] + [-0.095, 0.01],
                    body.neck[t] + [0, 0.04],
                ]
            ),
            self.shadow,
        )
        for side in ("right", "left"):
            pen.hull(part[f"ear_{side}"], self.shadow)
        pen.hull(np.concatenate([part["ring"], part["jaw"]]), self.skin)
        half = slice(8, 17) if self.shaded_side > 0 else slice(0, 9)
        cheek = part["jaw"][half]
        inner = cheek * 0.62 + part["nose"][3] * 0.38
        pen.shape(np.concatenate([cheek, inner[::-1]]), mix(self.skin, self.shadow, 0.5))
        if self.beard:
            lower = part["jaw"][3:14]
            pen.shape(
                np.concatenate([lower, (lower * 0.6 + part["lips"][9] * 0.4)[::-1]]),
                mix(self.skin, self.hair, 0.5),
            )
        pen.shape(part["hair"], self.hair)
        self.features(pen, part, head, t, float(script.mouth[t]))

    def features(self, pen: Pen, part: dict[str, np.ndarray], head: Head, t: int, opening: float) -> None:
        nose = part["nose"]
        dark_side = nose[4] if self.shaded_side < 0 else nose[8]
        pen.shape(np.stack([nose[0], nose[3], dark_side, nose[6]]), mix(self.skin, self.shadow, 0.75))
        pen.stroke(nose[4:9], mix(self.shadow, self.ink, 0.35), 0.006)
        for side in ("right", "left"):
            if head.depth[f"eye_{side}"][t] < 0.12:  # turned away
                continue
            pen.shape(part[f"eye_{side}"], self.white)
            pen.shape(part[f"iris_{side}"], self.iris)
            pen.stroke(part[f"lid_{side}"], self.ink, 0.009)
            brow = part[f"brow_{side}"]
            thick = np.array([[0, 0.010], [0, 0.014], [0, 0.017], [0, 0.018], [0, 0.017]])
            pen.shape(
                np.concatenate([brow - thick / 2, (brow + thick / 2)[::-1]]),
                mix(self.hair, (15, 15, 15), 0.35),
            )
        pen.shape(part["lips"], self.lip)
        if opening > 0.04:
            pen.shape(part["gap"], self.ink)
            teeth = part["gap"][[0, 1, 2, 3, 4]]
            drop = (part["gap"][6] - part["gap"][2]) * 0.38
            pen.shape(np.concatenate([teeth[1:4], (teeth[1:4] + drop)[::-1]]), self.white)
        else:
            pen.stroke(part["gap"][:5], self.ink, 0.006)
        if self.glasses:
            self.spectacles(pen, part)

    def spectacles(self, pen: Pen, part: dict[str, np.ndarray]) -> None:
        rims = []
        for side in ("right", "left"):
            eye = part[f"eye_{side}"]
            low, high = eye[[0, 6]].mean(axis=0), part[f"brow_{side}"][2]
            span = (eye[6] - eye[0]) * 0.72
            down = (low - high) * 0.62
            corners = np.stack(
                [
                    low - span - down,
                    low + span - down,
                    low + span + down,
                    low - span + down,
                    low - span - down,
                ]
            )
            pen.stroke(corners, self.ink, 0.007)
            rims.append(corners)
        pen.stroke(np.stack([rims[0][1:3].mean(axis=0), rims[1][[0, 3]].mean(axis=0)]), self.ink, 0.007)

    def arms(self, pen: Pen, body: Body, script: Script, head: Head, t: int) -> None:
        for side in ("right", "left"):
            shoulder, elbow, wrist = body.shoulder[side][t], body.elbow[side][t], body.wrist[side][t]
            pen.limb(shoulder + [0, 0.025], elbow, (0.072, 0.058), mix(self.cloth, (0, 0, 0), 0.1))
            forearm = mix(self.cloth, (255, 255, 255), 0.05) if self.long_sleeves else self.skin
            pen.limb(elbow, wrist, (0.055, 0.034), forearm)
            holds = script.prop if script.prop_side == side else ""
            if holds == "phone":
                self.phone(pen, body.hand[side][t])
            self.hand(pen, body.hand[side][t])
            if holds == "cigarette" and script.puff is not None:
                self.cigarette(
                    pen, body.hand[side][t], head.parts["lips"][t].mean(axis=0), float(script.puff[t]), t
                )

    def hand(self, pen: Pen, points: np.ndarray) -> None:
        palm = points[[0, 1, 5, 9, 13, 17]]
        pen.hull(
            np.concatenate(
                [
                    palm,
                    points[:1] + (points[17:18] - points[1:2]) * 0.3,
                    points[:1] - (points[17:18] - points[1:2]) * 0.3,
                ]
            ),
            self.skin,
        )
        for finger in range(5):
            pen.stroke(
                points[1 + 4 * finger : 5 + 4 * finger],
                self.skin if finger % 2 else mix(self.skin, self.shadow, 0.4),
                0.020,
            )

    def phone(self, pen: Pen, hand: np.ndarray) -> None:
        middle = hand[9]
        along = hand[9] - hand[0]
        along = along / max(float(np.hypot(*along)), 1e-6)
        across = np.array([-along[1], along[0]])
        corners = [
            middle + a * along * 0.085 + c * across * 0.034 for a, c in ((-1, -1), (1, -1), (1, 1), (-1, 1))
        ]
        pen.shape(np.stack(corners), self.ink)
        pen.stroke(np.stack([*corners, corners[0]]), mix(self.ink, (255, 255, 255), 0.45), 0.006)

    def cigarette(self, pen: Pen, hand: np.ndarray, lips: np.ndarray, puff: float, t: int) -> None:
        grip = (hand[7] + hand[11]) / 2
        away = grip - lips
        away = away / max(float(np.hypot(*away)), 1e-6)
        start, tip = grip - away * 0.045, grip + away * 0.045
        if puff > 0.9:
            start = lips
            tip = lips + away * 0.10 + [0, 0.015]
        pen.stroke(np.stack([start, tip]), self.white, 0.013)
        pen.dot(tip, 0.010 + 0.004 * puff, (40.0, 90.0, 250.0))
        haze = mix(self.white, (170.0, 170.0, 170.0), 0.5)
        for k in range(1, 6):
            drift = 0.012 * np.sin(0.45 * t + 0.9 * k)
            pen.dot(tip + [drift * k * 0.6, -0.028 * k], 0.004 + 0.0016 * k, haze)


def draw_look(light: Light, rng: np.random.Generator) -> Look:
    skin = np.array(SKINS[rng.integers(len(SKINS))]) * rng.uniform(0.92, 1.08)
    hair = np.array(HAIRS[rng.integers(len(HAIRS))]) * rng.uniform(0.8, 1.2)
    lit = light.lit
    return Look(
        skin=lit(skin),
        shadow=lit(skin * 0.74),
        hair=lit(hair),
        cloth=lit(rng.uniform(25, 225, 3) * rng.uniform(0.6, 1)),
        lip=lit(skin * np.array([0.66, 0.60, 0.84])),
        white=lit((232, 236, 238)),
        iris=lit(rng.uniform(15, 60, 3)),
        ink=lit((24, 22, 30)),
        long_hair=rng.random() < 0.4,
        long_sleeves=rng.random() < 0.6,
        glasses=rng.random() < 0.25,
        beard=rng.random() < 0.18,
        belt=rng.random() < 0.85,
        shaded_side=int(rng.choice([-1, 1])),
    )
