"""What every pixel of an outside view is: class, distance, normal, vehicle. One more pass over the polygons of road.py.

The pictures do not depend on it. Each polygon is a plane, so its number gives distance and normal by a look-up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training.footage.mesh import BUILDING, HOOD, PAVEMENT, SKY
from training.footage.outside.road import CAMERA_M, SHIFT, YAW_DEG, Road, Sheet, hood_pixels

EDGE_ON = 1e-6  # a plane this parallel to a ray has no distance


@dataclass(frozen=True)
class Labels:
    """Of one frame, in its pixels."""

    kinds: NDArray[np.int64]  # (H, W) of mesh.py
    depth_m: NDArray[np.float32]  # (H, W) along the camera's axis; 0 unknown (sky, far blocks, own hood)
    normals: NDArray[np.float32]  # (H, W, 3) unit, right, down, ahead; towards the camera; 0 unknown
    vehicles: NDArray[np.int64]  # (H, W) number of the vehicle, then of the person, -1 none
    ground: NDArray[np.float32]  # (H, W, 2) the street's x and y in metres; meaningful where something lies flat


def labels(road: Road, view: str, indices: Sequence[int]) -> Iterator[Labels]:
    """Labels of these frames of one view, as `Road.frames` draws them."""
    yaw = road.ego.yaw[list(indices)] + np.radians(YAW_DEG[view] + road.mount_deg[view])
    sheet = road.project(view, list(indices), yaw)
    focal, centers = road.lens(view, list(indices))
    skylines = road.skyline_pixels(view, list(indices), yaw)
    camera = road.cameras[view]
    for k, index in enumerate(indices):
        rays = rays_of(camera.height, camera.width, focal, centers[k])
        numbers = drawn_numbers(sheet, k, (camera.height, camera.width))
        kinds, depth, normals, vehicles = look_up(road, sheet, numbers, rays)
        far = np.zeros(numbers.shape, dtype=np.uint8)
        for block in skylines[k]:
            cv2.fillConvexPoly(far, block, 1, cv2.LINE_8, SHIFT)
        skyline = (numbers < 0) & (kinds == SKY) & (far > 0)
        kinds[skyline] = BUILDING
        if view == "front":
            hood = np.zeros(numbers.shape, dtype=np.uint8)
            cv2.fillConvexPoly(hood, hood_pixels(*numbers.shape), 1, cv2.LINE_8, SHIFT)
            kinds[hood > 0], depth[hood > 0], normals[hood > 0], vehicles[hood > 0] = HOOD, 0, 0, -1
        yield Labels(kinds, depth, normals, vehicles, on_street(road, index, yaw[k], depth, rays))


def rays_of(height: int, width: int, focal: float, center: NDArray[np.float64]) -> NDArray[np.float32]:
    """(H, W, 3) through the middle of each pixel, one metre ahead: right, down, ahead.

    OpenCV draws with pixel centres on whole numbers.
    """
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return np.stack([(x - center[0]) / focal, (y - center[1]) / focal, np.ones_like(x)], axis=2, dtype=np.float32)


def drawn_numbers(sheet: Sheet, frame: int, size: tuple[int, int]) -> NDArray[np.int32]:
    """(H, W): which of the sheet's shapes is on top, -1 where none is."""
    numbers = np.full(size, -1, dtype=np.int32)
    for number in range(sheet.bounds[frame], sheet.bounds[frame + 1]):
        cv2.fillConvexPoly(numbers, sheet.shapes[number], number, cv2.LINE_8, SHIFT)
    return numbers


def look_up(
    road: Road, sheet: Sheet, numbers: NDArray[np.int32], rays: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Kinds, depth, normals and vehicles. Where no shape is, below the horizon lies the pavement, above it the sky."""
    planes, offsets = planes_of(sheet.corners)
    hit, safe = numbers >= 0, np.maximum(numbers, 0)
    below = rays[..., 1] > EDGE_ON
    facing = (planes[safe] * rays).sum(axis=2)
    depth = np.where(
        hit,
        offsets[safe] / np.minimum(facing, -EDGE_ON),
        np.where(below, CAMERA_M / np.maximum(rays[..., 1], EDGE_ON), 0),
    ).astype(np.float32)
    flat = np.where(below[..., None], np.array([0, -1, 0], dtype=np.float32), np.float32(0))
    normals = np.where(hit[..., None], planes[safe], flat).astype(np.float32)
    item = sheet.items[safe] if len(sheet.items) else safe
    kinds = np.where(hit, road.mesh.kinds[item], np.where(below, PAVEMENT, SKY))
    return kinds, depth, normals, np.where(hit, road.mesh.movers[item], -1)


def planes_of(corners: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(3, 8, n) corners -> unit normals (n, 3) towards the camera, and offsets (n,): normal . point, never positive."""
    a, b, c = (corners[:, k].T.astype(np.float64) for k in range(3))
    across = np.cross(b - a, c - a)
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-12)
    offsets = (across * a).sum(axis=1)
    sign = np.where(offsets > 0, -1.0, 1.0)
    return (across * sign[:, None]).astype(np.float32), (-np.abs(offsets)).astype(np.float32)


def on_street(
    road: Road, index: int, yaw: float, depth: NDArray[np.float32], rays: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(H, W, 2): where on the street's plane each pixel's point lies. The inverse of `Road.project`'s turn."""
    ahead, right = depth, rays[..., 0] * depth
    cos, sin = np.cos(yaw), np.sin(yaw)
    x = road.ego.x[index] + cos * ahead + sin * right
    y = road.ego.y[index] + sin * ahead - cos * right
    return np.stack([x, y], axis=2).astype(np.float32)
