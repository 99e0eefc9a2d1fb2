"""The driver's head as it is drawn: hair, skin, the features that carry emotion."""

from __future__ import annotations

import numpy as np

from training.footage.inside.face import Head
from training.footage.inside.person import SIDES, Appearance, mix
from training.footage.pen import Pen, around

BROW_HALF = np.array([0.0050, 0.0070, 0.0085, 0.0090, 0.0085])[:, None] * np.array([0.0, 1.0])  # outer to inner
FACING = 0.12  # depth below which a feature has turned out of sight

Parts = dict[str, np.ndarray]


def draw_head(pen: Pen, look: Appearance, head: Head, neck: np.ndarray, t: int) -> None:
    parts = {name: points[t] for name, points in head.parts.items()}
    pen.hull(parts["back"], look.hair)
    if look.long_hair:
        pen.hull(np.concatenate([parts["back"], around(neck, (-0.11, 0.03), (0.11, 0.03))]), look.hair)
    throat = np.concatenate(
        [
            around(parts["jaw"][8], (-0.075, -0.09), (0.075, -0.09)),
            around(neck, (0.085, 0.01), (-0.085, 0.01)),
        ]
    )
    pen.hull(throat, look.shadow)
    for side in SIDES:
        pen.hull(parts[f"ear_{side}"], look.shadow)
    draw_skin(pen, look, parts)
    pen.shape(parts["hair"], look.hair)
    draw_nose(pen, look, parts["nose"])
    for side in SIDES:
        if head.depth[f"eye_{side}"][t] > FACING:
            draw_eye(pen, look, parts, side)
    draw_mouth(pen, look, parts)
    if look.glasses:
        draw_glasses(pen, look, parts)


def draw_skin(pen: Pen, look: Appearance, parts: Parts) -> None:
    jaw = parts["jaw"]
    pen.hull(np.concatenate([parts["ring"], jaw]), look.skin)
    cheek = jaw[8:17] if look.shaded_side > 0 else jaw[:9]
    inner = cheek * 0.62 + parts["nose"][3] * 0.38
    pen.shape(np.concatenate([cheek, inner[::-1]]), mix(look.skin, look.shadow, 0.5))
    if look.beard:
        inner = jaw[3:14] * 0.6 + parts["lips"][9] * 0.4
        pen.shape(np.concatenate([jaw[3:14], inner[::-1]]), mix(look.skin, look.hair, 0.5))


def draw_nose(pen: Pen, look: Appearance, nose: np.ndarray) -> None:
    wing = nose[4] if look.shaded_side < 0 else nose[8]
    pen.shape(np.stack([nose[0], nose[3], wing, nose[6]]), mix(look.skin, look.shadow, 0.75))
    pen.stroke(nose[4:9], mix(look.shadow, look.ink, 0.35), 0.006)


def draw_eye(pen: Pen, look: Appearance, parts: Parts, side: str) -> None:
    pen.shape(parts[f"eye_{side}"], look.white)
    pen.shape(parts[f"iris_{side}"], look.iris)
    pen.stroke(parts[f"lid_{side}"], look.ink, 0.009)
    brow = parts[f"brow_{side}"]
    # Darker than the hair, or grey brows would vanish on pale skin and take the emotion with them.
    outline = np.concatenate([brow - BROW_HALF, (brow + BROW_HALF)[::-1]])
    pen.shape(outline, mix(look.hair, (15.0, 15.0, 15.0), 0.45))


def draw_mouth(pen: Pen, look: Appearance, parts: Parts) -> None:
    gap = parts["gap"]
    pen.shape(parts["lips"], look.lip)
    open_px = float(np.linalg.norm(gap[6] - gap[2])) * pen.height
    if open_px < 0.018 * pen.height:
        pen.stroke(gap[:5], look.ink, 0.006)
        return
    pen.shape(gap, look.ink)
    drop = (gap[6] - gap[2]) * 0.38
    pen.shape(np.concatenate([gap[1:4], (gap[1:4] + drop)[::-1]]), look.white)


def draw_glasses(pen: Pen, look: Appearance, parts: Parts) -> None:
    rims = []
    for side in SIDES:
        eye = parts[f"eye_{side}"]
        middle = (eye[0] + eye[6]) / 2
        across, down = (eye[6] - eye[0]) * 0.72, (middle - parts[f"brow_{side}"][2]) * 0.62
        rim = around(middle, -across - down, across - down, across + down, down - across, -across - down)
        pen.stroke(rim, look.ink, 0.007)
        rims.append(rim)
    bridge = np.stack([(rims[0][1] + rims[0][2]) / 2, (rims[1][0] + rims[1][3]) / 2])
    pen.stroke(bridge, look.ink, 0.007)
