"""Three outside cameras on one street: placing, culling, sorting and projecting in one pass, then drawing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from training.footage.camera import Image, Light, PinholeCamera
from training.footage.mesh import Frozen, normals
from training.footage.motion import FRAMES
from training.footage.outside.ego import Ego, ego_path
from training.footage.outside.people import Walker, add_person, draw_people
from training.footage.outside.traffic import Vehicle, add_vehicle, draw_traffic
from training.footage.outside.world import build_street, draw_street
from training.footage.spec import ClipSpec

YAW_DEG = {"front": 0.0, "left": 72.0, "right": -72.0}
FOV_DEG = {"front": 76.0, "left": 84.0, "right": 84.0}
SHIFT = 4  # fractional bits of a drawn coordinate: motion below a pixel stays visible
NEAR_M = 0.6
CAMERA_M = 1.35  # height over ground


class Road:
    """The outside of one clip."""

    def __init__(self, spec: ClipSpec, light: Light, cameras: dict[str, PinholeCamera]) -> None:
        # Separate streams: the street is the same whatever the car and the traffic do on it.
        moving, standing, flowing = (spec.rng(part) for part in ("ego", "street", "traffic"))
        self.ego: Ego = ego_path(spec.labels["vehicle_behavior"], moving)
        street = draw_street(standing)
        mesh, walk = build_street(street, self.ego, light.name == "night", standing)
        vehicles = draw_traffic(spec.labels["traffic_context"], street, self.ego, flowing)
        asphalt = np.array(mesh.colors[0])
        for mover, vehicle in enumerate(vehicles):
            add_vehicle(mesh, vehicle.heading, mover, asphalt, flowing)
        walking = spec.rng("people")
        people = draw_people(self.ego, vehicles, walking) if spec.people else []
        for mover, walker in enumerate(people, start=len(vehicles)):
            add_person(mesh, walker, mover, asphalt, walking)
        self.mesh: Frozen = mesh.freeze()
        # The last row is the standing world, so that mover -1 needs no special case.
        moving_bodies: list[Vehicle | Walker] = [*vehicles, *people]
        self.moved = np.zeros((len(moving_bodies) + 1, FRAMES, 3), dtype=np.float32)
        for mover, body in enumerate(moving_bodies):
            self.moved[mover, :, 0], self.moved[mover, :, 1] = body.x, body.y
        self.light, self.cameras = light, cameras
        self.colors = shade(self.mesh, light)
        self.ground = np.array(light.lit(walk))
        self.skyline = draw_skyline(light, standing)
        self.mount_deg = {view: standing.normal(0, 2.0) for view in YAW_DEG}
        self.horizon = {view: standing.uniform(0.42, 0.52) for view in YAW_DEG}
        self.hood = np.array(light.lit(standing.uniform(20, 200, 3)))
        self.backgrounds: dict[str, Image] = {}

    def frames(self, view: str, indices: Sequence[int]) -> Iterator[Image]:
        """Developed frames of one view, (H, W, 3) uint8 each."""
        camera = self.cameras[view]
        yaw = self.ego.yaw[list(indices)] + np.radians(YAW_DEG[view] + self.mount_deg[view])
        sheet = self.project(view, list(indices), yaw)
        skylines = self.skyline_pixels(view, list(indices), yaw)
        for k, index in enumerate(indices):
            image = self.backdrop(view)
            for block in skylines[k]:
                cv2.fillConvexPoly(image, block, self.skyline.color, cv2.LINE_AA, SHIFT)
            span = slice(sheet.bounds[k], sheet.bounds[k + 1])
            for points, color in zip(sheet.shapes[span], sheet.paints[span], strict=True):
                cv2.fillConvexPoly(image, points, color, cv2.LINE_AA, SHIFT)
            if view == "front":
                self.draw_hood(image)
            yield camera.develop(image, index)

    def lens(self, view: str, indices: list[int]) -> tuple[float, NDArray[np.float64]]:
        """Focal length and, per frame, the picture's centre, in pixels."""
        camera = self.cameras[view]
        focal = camera.width / 2 / np.tan(np.radians(FOV_DEG[view]) / 2)
        middle = np.array([camera.width / 2, camera.height * self.horizon[view]])
        return float(focal), middle + camera.shake_px[indices]

    def project(self, view: str, indices: list[int], yaw: NDArray[np.float64]) -> Sheet:
        """All polygons of all frames, sorted and in pixels."""
        mesh, camera = self.mesh, self.cameras[view]
        x, y = self.ego.x[indices], self.ego.y[indices]
        eye = np.stack([x, y, np.full(len(indices), CAMERA_M)], axis=1).astype(np.float32)
        frame, item = self.visible(view, indices, eye, yaw)
        offset = self.moved[mesh.movers[item], np.array(indices)[frame]] - eye[frame]
        anchor = mesh.anchors[item] + offset
        distance = np.hypot(anchor[:, 0], anchor[:, 1])
        order = np.lexsort((-(distance + mesh.layers[item]), frame))
        frame, item, offset, distance = frame[order], item[order], offset[order], distance[order]
        # Corners before polygons, because numpy is quick along a long last axis only.
        world = mesh.points.transpose(2, 1, 0)[..., item] + offset.T[:, None]  # (3, 8, M) from the eye
        cos, sin = (f(yaw).astype(np.float32)[frame] for f in (np.cos, np.sin))
        ahead = cos * world[0] + sin * world[1]
        right = sin * world[0] - cos * world[1]
        seen = np.stack([right, -world[2], ahead])  # (3, 8, M) right, down, ahead
        haze = np.clip(distance / 130, 0, 0.45)[:, None]
        colors = self.colors[item] * (1 - haze) + self.light.sky_low * haze
        focal, center = self.lens(view, indices)
        return flatten(seen, (frame, mesh.corners[item], item), colors, (focal, center), (camera.width, camera.height))

    def visible(
        self, view: str, indices: list[int], eye: NDArray[np.float32], yaw: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(frame, polygon) pairs worth projecting: near enough, in the field of view, facing the camera."""
        mesh = self.mesh
        offset = self.moved[mesh.movers][:, indices].transpose(1, 0, 2) - eye[:, None]  # (T, N, 3)
        x, y = mesh.anchors[:, 0] + offset[..., 0], mesh.anchors[:, 1] + offset[..., 1]
        cos, sin = (f(yaw).astype(np.float32)[:, None] for f in (np.cos, np.sin))
        ahead, aside = cos * x + sin * y, np.abs(sin * x - cos * y)
        half = np.tan(np.radians(FOV_DEG[view]) / 2)
        inside = (ahead > NEAR_M - mesh.radii) & (ahead < mesh.reaches)
        frame, item = np.nonzero(inside & (aside < ahead * half + mesh.radii * 1.7))
        towards = ((mesh.points[item, 0] + offset[frame, item]) * mesh.normals[item]).sum(axis=1) <= 0
        return frame[towards], item[towards]

    def backdrop(self, view: str) -> Image:
        """Sky and pavement, ready to be drawn on."""
        if view not in self.backgrounds:
            self.backgrounds[view] = paint_backdrop(self.cameras[view], self.light, self.ground, self.horizon[view])
        return self.backgrounds[view].copy()

    def skyline_pixels(self, view: str, indices: list[int], yaw: NDArray[np.float64]) -> list[NDArray[np.int32]]:
        """Per frame (blocks, 4, 2): the far blocks in sight, which turn with the car."""
        sky = self.skyline
        focal, center = self.lens(view, indices)
        bearing = (sky.angles + yaw[:, None] + np.pi) % (2 * np.pi) - np.pi  # (T, blocks), to the right
        edges = [center[:, :1] + focal * np.tan(np.clip(bearing + d, -1.3, 1.3)) for d in (-0.06, 0.06)]
        low = np.broadcast_to(center[:, 1:], bearing.shape)
        top = low - focal * sky.heights
        x, y = np.stack([edges[0], edges[1], edges[1], edges[0]], -1), np.stack([low, low, top, top], -1)
        corners = np.rint(np.stack([x, y], axis=-1) * 2**SHIFT).astype(np.int32)
        shown = (np.abs(bearing) < 1.0) & (sky.heights > 0)
        return [corners[k, shown[k]] for k in range(len(indices))]

    def draw_hood(self, image: Image) -> None:
        cv2.fillConvexPoly(image, hood_pixels(*image.shape[:2]), tuple(self.hood), cv2.LINE_AA, SHIFT)


def hood_pixels(height: int, width: int) -> NDArray[np.int32]:
    """(11, 2) outline of the car's own hood in the front view, fixed point."""
    x = np.linspace(-0.62, 0.62, 9)
    y = 0.93 + 0.28 * x**2
    points = np.concatenate([np.stack([0.5 + x, y], 1), [[1.12, 1.2], [-0.12, 1.2]]])
    return (points * [width, height] * 16).astype(np.int32)


def shade(mesh: Frozen, light: Light) -> NDArray[np.float64]:
    """Polygon colours under the light: faces towards the sun are brighter."""
    across = normals(mesh.points)
    across = across / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-6)
    towards = np.abs(across @ light.sun)
    upright = np.abs(across[:, 2:3]) < 0.5
    factor = np.where(upright, 0.82 + 0.3 * towards[:, None], 1.0)
    return np.clip(mesh.colors * factor * light.gain, 0, 255)


@dataclass(frozen=True)
class Skyline:
    """Far blocks around the horizon."""

    angles: NDArray[np.float64]
    heights: NDArray[np.float64]  # as tangents; 0: a gap
    color: tuple[float, ...]


def draw_skyline(light: Light, rng: np.random.Generator) -> Skyline:
    count = 40
    angles = (np.arange(count) + rng.uniform(-0.3, 0.3, count)) * 2 * np.pi / count
    heights = rng.uniform(0.01, 0.16, count) * (rng.random(count) < 0.75)
    tint = 0.5 * np.array(light.lit(rng.uniform(60, 190) + rng.normal(0, 10, 3))) + 0.5 * light.sky_low
    return Skyline(angles, heights, tuple(tint))


def paint_backdrop(camera: PinholeCamera, light: Light, ground: NDArray[np.float64], horizon: float) -> Image:
    rows = (np.arange(camera.height) + 0.5) / camera.height
    sky = light.sky_top + (light.sky_low - light.sky_top) * np.clip(rows / horizon, 0, 1)[:, None]
    near = np.clip((rows - horizon) / 0.2, 0, 1)[:, None]
    floor = light.sky_low * 0.35 * (1 - near) + ground * (0.65 + 0.35 * near)
    column = np.where(rows[:, None] < horizon, sky, floor)
    return np.ascontiguousarray(np.broadcast_to(column[:, None], (camera.height, camera.width, 3)).astype(np.uint8))


def cut_near(corners: NDArray[np.float32]) -> NDArray[np.float64]:
    """The part of a convex polygon (n, 3) beyond the near plane; at least one corner is."""
    kept = []
    points = corners.tolist()
    for a, b in pairwise([*points, points[0]]):
        if a[2] > NEAR_M:
            kept.append(a)
        if (a[2] > NEAR_M) != (b[2] > NEAR_M):
            share = (NEAR_M - a[2]) / (b[2] - a[2])
            kept.append([p + (q - p) * share for p, q in zip(a, b, strict=True)])
    return np.array(kept)


@dataclass(frozen=True)
class Sheet:
    """Polygons of all frames, farthest first inside each frame."""

    shapes: list[NDArray[np.int32]]  # (n, 2) each, fixed point
    paints: list[tuple[float, ...]]
    items: NDArray[np.int64]  # the mesh's polygon behind each shape
    corners: NDArray[np.float32]  # (3, 8, n) right, down, ahead of the camera in metres
    bounds: list[int]  # where a frame's polygons begin, and where the last one's end


def flatten(
    seen: NDArray[np.float32],
    tags: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    colors: NDArray[np.float64],
    lens: tuple[float, NDArray[np.float64]],
    size: tuple[int, int],
) -> Sheet:
    """Project sorted polygons (3, 8, M), leaving out what is behind, beside or too small to see.

    tags: (M,) each, a polygon's frame, its number of corners and which it is. The padding is not drawn, for it costs
    as much.
    """
    (frame, corners, item), (focal, center) = tags, lens
    beyond = seen[2] > NEAR_M
    middle = center.T.astype(np.float32)[:, None, frame]
    flat = seen[:2] * (np.float32(focal) / np.maximum(seen[2], np.float32(NEAR_M))) + middle  # (2, 8, M)
    low, high = flat.min(axis=1), flat.max(axis=1)
    whole = beyond.all(axis=0)
    limits = np.array(size)[:, None]
    shown = ((high > 0) & (low < limits) & (high - low > 0.5)).all(axis=0)
    keep = np.nonzero(np.where(whole, shown, beyond.any(axis=0)))[0]
    pixels = np.ascontiguousarray(np.rint(flat[..., keep] * 2**SHIFT).astype(np.int32).transpose(2, 1, 0))
    shapes = [points[:count] for points, count in zip(pixels, corners[keep].tolist(), strict=True)]
    for k in np.nonzero(~whole[keep])[0].tolist():
        cut = cut_near(seen[:, : corners[keep[k]], keep[k]].T)
        shapes[k] = np.rint((cut[:, :2] / cut[:, 2:] * focal + center[frame[keep[k]]]) * 2**SHIFT).astype(np.int32)
    bounds = np.searchsorted(frame[keep], np.arange(len(center) + 1)).tolist()
    paints = [tuple(color) for color in colors[keep].tolist()]
    return Sheet(shapes, paints, item[keep], seen[..., keep], bounds)
