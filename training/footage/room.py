"""Furnished rooms and what a camera in them sees: picture, class, distance, normal, object. By casting rays at blocks.

World: metres, x along the room, y across it, z up. Camera: right, down, ahead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.footage.furniture import Block, furnished
from training.footage.motion import rng_for

STREAM = 100  # of random numbers; clips of the road use small ones
FOCAL = 0.81  # of the picture's width, as the Kinect's colour camera has it
NOTHING_M = 1e-3  # blocks nearer than this are behind the camera
NEAR_M = 0.1  # corners nearer than this are not projected
NOISE = 4.0  # sigma of the sensor's noise, of 255

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Pose:
    """Where a camera stands and looks."""

    place: tuple[float, float, float]  # metres
    yaw: float  # radians from x towards y
    pitch: float  # radians, downwards positive

    def axes(self) -> Floats:
        """(3, 3) rows right, down, ahead in the world."""
        c, s, cp, sp = np.cos(self.yaw), np.sin(self.yaw), np.cos(self.pitch), np.sin(self.pitch)
        return np.array([[s, -c, 0], [-c * sp, -s * sp, -cp], [c * cp, s * cp, -sp]], dtype=np.float32)


@dataclass(frozen=True)
class RoomView:
    """One picture and what its pixels are."""

    image: NDArray[np.uint8]  # (h, w, 3) BGR
    classes: NDArray[np.uint8]  # (h, w) NYU's numbers, 1 to 40; 0 not annotated
    depth_m: Floats  # (h, w) along the camera's axis; 0 unknown: glass
    normals: Floats  # (h, w, 3) right, up, towards the camera, of length 1; 0 unknown
    objects: NDArray[np.int32]  # (h, w) number of the object


def seen(seed: int, number: int, views: int, size: tuple[int, int]) -> list[RoomView]:
    """Pictures of one room, which follows from seed and number. size: height, width."""
    rng = rng_for(seed, number, STREAM)
    room = rng.uniform((3.2, 3.0, 2.4), (6.0, 5.0, 2.9))
    blocks = furnished(rng, room)
    light = np.array([*rng.uniform(0.3, 0.7, 2) * room[:2], room[2] - 0.3], dtype=np.float32)
    gain = rng.uniform(0.75, 1.15) * rng.uniform(0.92, 1.08, 3)
    return [look(rng, blocks, pose_in(rng, room), light, gain, size) for _ in range(views)]


def pose_in(rng: np.random.Generator, room: NDArray[np.float64]) -> Pose:
    """Near a wall, above the furniture, looking across the room."""
    along = rng.uniform(0.25, 0.75) * room[:2]
    x, y = [(0.25, along[1]), (room[0] - 0.25, along[1]), (along[0], 0.25), (along[0], room[1] - 0.25)][rng.integers(4)]
    target = room[:2] * rng.uniform(0.35, 0.65, 2)
    yaw = float(np.arctan2(target[1] - y, target[0] - x) + rng.normal(0, 0.15))
    return Pose((float(x), float(y), float(rng.uniform(1.3, 1.8))), yaw, float(rng.uniform(0.05, 0.4)))


def look(
    rng: np.random.Generator,
    blocks: list[Block],
    pose: Pose,
    light: Floats,
    gain: NDArray[np.float64],
    size: tuple[int, int],
) -> RoomView:
    """light: place of the lamp. gain: of blue, green, red."""
    axes = pose.axes()
    depth, which, normals = cast(blocks, pose, size)
    rays, place = rays_of(size) @ axes, np.array(pose.place, dtype=np.float32)
    points = place + depth[..., None] * rays
    image = shaded(rng, blocks, which, points, normals, light) * gain + rng.normal(0, NOISE, (*size, 3))
    glass = np.array([block.glass for block in blocks])[which]
    facing = normals @ axes.T * np.array([1, -1, -1], dtype=np.float32)
    return RoomView(
        np.clip(image, 0, 255).astype(np.uint8),
        np.array([block.kind for block in blocks], dtype=np.uint8)[which],
        np.where(glass, 0, depth).astype(np.float32),
        np.where(glass[..., None], 0, facing).astype(np.float32),
        np.array([block.number for block in blocks], dtype=np.int32)[which],
    )


def rays_of(size: tuple[int, int]) -> Floats:
    """(h, w, 3) right, down, ahead through the middle of each pixel, one metre ahead."""
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    focal = FOCAL * width
    across, down = (x - (width - 1) / 2) / focal, (y - (height - 1) / 2) / focal
    return np.stack([across, down, np.ones_like(x)], axis=2, dtype=np.float32)


def cast(blocks: list[Block], pose: Pose, size: tuple[int, int]) -> tuple[Floats, NDArray[np.int64], Floats]:
    """The nearest block along each ray: metres ahead, which it is (h, w), its normal (h, w, 3) in the world."""
    place, axes = np.array(pose.place, dtype=np.float32), pose.axes()
    rays = rays_of(size) @ axes
    depth = np.full(size, np.inf, dtype=np.float32)
    which, side = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
    for number, block in enumerate(blocks):
        window = window_of(block, place, axes, size)
        near, axis = entered(block, place, rays[window])
        first = near < depth[window]
        depth[window][first], which[window][first], side[window][first] = near[first], number, axis[first]
    assert np.isfinite(depth).all(), "a room is closed on all sides"
    turns = np.stack([block.axes() for block in blocks])  # (n, 3, 3)
    normals = turns[which, side]
    away = (normals * rays).sum(axis=2, keepdims=True) > 0
    return depth, which, np.where(away, -normals, normals).astype(np.float32)


def window_of(block: Block, place: Floats, axes: Floats, size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns outside of which a block cannot be seen; all of them if it reaches behind the camera."""
    signs = np.array(np.meshgrid(*[(-1, 1)] * 3)).reshape(3, 8).T
    corners = signs * np.array(block.half) @ block.axes() + np.array(block.middle)
    right, down, ahead = ((corners - place) @ axes.T).T
    if ahead.min() < NEAR_M:
        return slice(None), slice(None)
    height, width = size
    spans = []
    for sides, length in ((down, height), (right, width)):
        at = FOCAL * width * sides / ahead + (length - 1) / 2
        spans.append(slice(max(int(np.floor(at.min())), 0), max(int(np.ceil(at.max())) + 1, 0)))
    return spans[0], spans[1]


def entered(block: Block, place: Floats, rays: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Where rays enter a block: metres ahead (h, w), infinite where they do not; and through which of its sides."""
    axes = block.axes()
    start = axes @ (place - np.array(block.middle, dtype=np.float32))
    toward = rays @ axes.T
    toward = np.where(np.abs(toward) < 1e-9, np.float32(1e-9), toward)
    half = np.array(block.half, dtype=np.float32)
    a, b = (-half - start) / toward, (half - start) / toward
    into, out = np.minimum(a, b), np.maximum(a, b)
    axis = into.argmax(axis=2)
    near = into.max(axis=2)
    hit = (out.min(axis=2) > near) & (near > NOTHING_M)
    return np.where(hit, near, np.inf).astype(np.float32), axis


def shaded(
    rng: np.random.Generator,
    blocks: list[Block],
    which: NDArray[np.int64],
    points: Floats,
    normals: Floats,
    light: Floats,
) -> NDArray[np.float64]:
    """(h, w, 3) BGR 0..255 without noise: a lamp, its light thrown back by the walls, a grain on each surface."""
    colors = np.array([block.color for block in blocks])[which]
    grain = np.array([block.grain for block in blocks])[which]
    toward = light - points
    distance = np.linalg.norm(toward, axis=2)
    lit = np.clip((toward * normals).sum(axis=2) / distance, 0, 1) / (1 + 0.12 * distance**2)
    waves = rng.uniform(-25, 25, (3, 3))
    wave = np.sin(points @ waves + rng.uniform(0, 6, 3)).mean(axis=2)
    return np.asarray(colors * ((0.45 + 0.85 * lit) * (1 + grain * wave))[..., None])
