"""The face: 68 landmarks and a skull in three dimensions, moved by expression and turned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.footage.inside.driver import Script
from training.footage.motion import FRAMES

Points = NDArray[np.float64]  # (..., points, 2 or 3); unit: half the head's height; x right, y down, z to the camera


@dataclass(frozen=True)
class Build:
    """One driver's proportions."""

    half_height: float  # of the head, in frame heights
    width: float  # half width over half height
    jaw: float  # jaw width against cheek width
    eye_gap: float  # half distance of the eyes
    eye_size: float
    brow_y: float
    mouth_y: float
    mouth_half: float


def draw_build(rng: np.random.Generator) -> Build:
    return Build(
        half_height=rng.uniform(0.155, 0.175),
        width=rng.uniform(0.74, 0.82),
        jaw=rng.uniform(0.72, 0.92),
        eye_gap=rng.uniform(0.33, 0.38),
        eye_size=rng.uniform(0.175, 0.205),
        brow_y=rng.uniform(-0.33, -0.27),
        mouth_y=rng.uniform(0.54, 0.60),
        mouth_half=rng.uniform(0.26, 0.31),
    )


def arc(x: object, y: object, build: Build, lift: float = 0.0) -> Points:
    """Points (..., 3) on the front of the skull, `lift` before it."""
    x, y = np.broadcast_arrays(np.asarray(x, dtype=float), np.asarray(y, dtype=float))
    z = 0.85 * np.sqrt(np.clip(1 - (x / (build.width * 1.08)) ** 2 - (y / 1.25) ** 2, 0.02, 1)) + lift
    return np.stack([x, y, z], axis=-1)


def brow(script: Script, build: Build, side: int) -> Points:
    """(T, 5, 3) from the outer to the inner end. side: -1 the image's left, +1 its right."""
    u = np.linspace(0, 1, 5)  # 0 outer, 1 inner
    frown = script.frown[:, None]
    x = side * (build.eye_gap + 0.28 - u * 0.46 - 0.05 * frown * u)
    lift = 0.17 * script.brow_in[:, None] * u**1.3 + 0.13 * script.brow_out[:, None] * (1 - u) ** 1.3
    y = build.brow_y - 0.055 * np.sin(np.pi * (0.2 + 0.6 * u)) - lift
    return arc(x, y, build, 0.05)


def eye(script: Script, build: Build, side: int) -> tuple[Points, Points]:
    """(T, 7, 3) upper and lower lid, each from the image's left to its right."""
    u = np.linspace(-1, 1, 7)
    bow = np.sqrt(np.clip(1 - u**2, 0, 1))
    x = np.broadcast_to(side * build.eye_gap + u * build.eye_size, (FRAMES, 7))
    lids = script.lids[:, None]
    y0 = -0.08
    upper = y0 + 0.02 - build.eye_size * bow * (0.68 * lids - 0.02)
    smile = np.clip(script.corners, 0, 1)[:, None]
    lower = y0 + 0.02 + build.eye_size * bow * (0.30 + 0.10 * np.minimum(lids, 1) - 0.14 * smile)
    upper = np.minimum(upper + (1 - np.minimum(lids, 1)) * build.eye_size * 0.24 * bow, lower)
    return arc(x, upper, build), arc(x, lower, build)


def iris(script: Script, build: Build, side: int, lids: tuple[Points, Points]) -> Points:
    """(T, 12, 3) the iris, cut by the lids."""
    angle = np.arange(12) * 2 * np.pi / 12
    radius = 0.55 * build.eye_size
    center_x = side * build.eye_gap + script.gaze_x * build.eye_size * 0.48
    center_y = -0.08 + 0.01 + script.gaze_y * build.eye_size * 0.25
    x = center_x[:, None] + radius * np.cos(angle)
    y = center_y[:, None] + radius * np.sin(angle)
    u = np.clip((x - side * build.eye_gap) / build.eye_size, -1, 1)
    k = np.clip(((u + 1) * 3), 0, 5.999)
    low, part = k.astype(int), k - k.astype(int)
    rows = np.arange(FRAMES)[:, None]
    upper, lower = ((1 - part) * lid[rows, low, 1] + part * lid[rows, low + 1, 1] for lid in lids)
    return arc(x, np.clip(y, upper, lower), build, 0.01)


def mouth(script: Script, build: Build) -> tuple[Points, Points]:
    """(T, 12, 3) outer and (T, 8, 3) inner lips, in the order of the 68 landmarks."""
    half = (build.mouth_half * (1 + 0.28 * script.grin - 0.12 * script.mouth))[:, None]
    gap = (0.02 + 0.26 * script.mouth)[:, None]
    thick = (0.075 * (1 - 0.62 * script.press))[:, None]
    corner = (0.15 * script.corners)[:, None]

    def curve(u: Points, offset: Points) -> Points:
        y = build.mouth_y - corner * (u**2 - 0.35) + offset * np.sqrt(np.clip(1 - u**2, 0, 1))
        return arc(half * u, y, build, 0.04)

    top, bottom = np.linspace(-1, 1, 7), np.linspace(1, -1, 7)[1:-1]
    outer = np.concatenate([curve(top, -thick - 0.25 * gap), curve(bottom, 1.25 * thick + 0.95 * gap)], axis=1)
    top, bottom = np.linspace(-0.86, 0.86, 5), np.linspace(0.86, -0.86, 5)[1:-1]
    inner = np.concatenate([curve(top, -0.25 * gap), curve(bottom, 0.9 * gap)], axis=1)
    return outer, inner


def jaw(script: Script, build: Build) -> Points:
    """(T, 17, 3) from the image's left ear over the chin to the right one."""
    angle = np.linspace(np.pi, 0, 17)
    drop = 0.16 * script.mouth[:, None] * np.sin(angle) ** 2
    x = build.width * np.cos(angle) * (1 - (1 - build.jaw) * np.sin(angle) ** 1.5)
    y = -0.06 + 1.06 * np.sin(angle) + drop
    z = 0.55 * np.sin(angle) + 0 * y
    return np.stack(np.broadcast_arrays(x, y, z), axis=-1)


def nose(build: Build) -> Points:
    """(9, 3): four down the bridge, five along the nostrils."""
    bridge = np.stack([np.zeros(4), np.linspace(-0.10, 0.24, 4), 0.86 + np.linspace(0.02, 0.26, 4)], axis=-1)
    x = np.linspace(-0.13, 0.13, 5)
    return np.concatenate([bridge, np.stack([x, 0.31 + 0.03 * (1 - (x / 0.13) ** 2), 0.95 - 2 * x**2], axis=-1)])


@dataclass(frozen=True)
class Head:
    """Everything of the head that is drawn, already turned and placed: (T, n, 2) in frame heights."""

    parts: dict[str, Points]
    depth: dict[str, Points]  # (T,) how far towards the camera a part's middle is
    landmarks: Points  # (T, 68, 2)


def rotation(yaw: Points, pitch: Points, roll: Points) -> Points:
    """(T, 3, 3); yaw to the image's right, pitch down, roll clockwise, in degrees."""
    y, p, r = (np.radians(value) for value in (yaw, pitch, roll))
    zero, one = np.zeros_like(y), np.ones_like(y)

    def stack(rows: list[list[Points]]) -> Points:
        return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)

    about_y = stack([[np.cos(y), zero, np.sin(y)], [zero, one, zero], [-np.sin(y), zero, np.cos(y)]])
    about_x = stack([[one, zero, zero], [zero, np.cos(p), np.sin(p)], [zero, -np.sin(p), np.cos(p)]])
    about_z = stack([[np.cos(r), -np.sin(r), zero], [np.sin(r), np.cos(r), zero], [zero, zero, one]])
    return about_z @ about_y @ about_x


def skull(build: Build) -> dict[str, Points]:
    """Parts that no expression moves: (n, 3)."""
    turn = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    w = build.width
    ring = np.stack([w * np.cos(turn), -0.12 + 0.86 * np.sin(turn), 0.1 * np.ones(20)], axis=-1)
    hair = np.linspace(np.pi, 2 * np.pi, 13)
    crown = np.stack([1.06 * w * np.cos(hair), -0.10 + 0.98 * np.sin(hair), 0.12 + 0 * hair], axis=-1)
    line = np.linspace(1, -1, 9)
    front = np.stack([0.92 * w * line, -0.50 - 0.17 * (1 - line**2), 0.72 - 0.55 * line**2], axis=-1)
    back = np.stack([1.05 * w * np.cos(turn), -0.16 + 0.84 * np.sin(turn), -0.45 * np.ones(20)], axis=-1)
    parts = {"ring": ring, "hair": np.concatenate([crown, front]), "back": back}
    for side, name in ((-1, "ear_right"), (1, "ear_left")):
        parts[name] = np.stack(
            [side * (w + 0.06) + 0.09 * np.cos(turn), 0.06 + 0.2 * np.sin(turn), -0.05 + 0 * turn], axis=-1
        )
    return parts


def pose_head(script: Script, build: Build, seat: tuple[float, float], base_yaw: float) -> Head:
    """Turn and place everything. The head turns about the neck, below and behind its middle."""
    parts: dict[str, Points] = {name: np.broadcast_to(p, (FRAMES, *p.shape)) for name, p in skull(build).items()}
    lids = {side: eye(script, build, side) for side in (-1, 1)}
    parts["jaw"], parts["nose"] = jaw(script, build), np.broadcast_to(nose(build), (FRAMES, 9, 3))
    parts["lips"], parts["gap"] = mouth(script, build)
    for side, name in ((-1, "right"), (1, "left")):
        upper, lower = lids[side]
        parts[f"brow_{name}"] = brow(script, build, side)
        parts[f"eye_{name}"] = np.concatenate([upper, lower[:, -2:0:-1]], axis=1)
        parts[f"lid_{name}"] = upper
        parts[f"iris_{name}"] = iris(script, build, side, lids[side])
    turn = rotation(script.yaw + base_yaw, script.pitch, script.roll)
    pivot = np.array([0.0, 0.75, -0.35])
    placed, depth = {}, {}
    for name, points in parts.items():
        turned = np.einsum("tij,tnj->tni", turn, points - pivot) + pivot
        scale = build.half_height * (1 + 0.12 * turned[..., 2:])
        x = seat[0] + script.shift_x[:, None] + turned[..., 0] * scale[..., 0]
        y = seat[1] + script.shift_y[:, None] + turned[..., 1] * scale[..., 0]
        placed[name], depth[name] = np.stack([x, y], axis=-1), turned[..., 2].mean(axis=1)
    return Head(placed, depth, landmarks(placed))


def landmarks(parts: dict[str, Points]) -> Points:
    """The 68 points in their standard order; 'right' is the driver's, at the image's left."""

    def six(lid_loop: Points) -> Points:  # corner, two above, corner, two below
        return lid_loop[:, [0, 2, 4, 6, 8, 10]]

    brows = [parts["brow_right"], parts["brow_left"][:, ::-1]]
    eyes = [six(parts["eye_right"]), six(parts["eye_left"])]
    return np.concatenate([parts["jaw"], *brows, parts["nose"], *eyes, parts["lips"], parts["gap"]], axis=1)
