"""Three outside cameras on one street: placing, culling, sorting and projecting in one pass, then drawing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from training.footage.camera import Camera, Image, Light
from training.footage.ego import Ego, ego_path
from training.footage.mesh import Frozen
from training.footage.motion import FRAMES
from training.footage.traffic import add_vehicle, draw_traffic
from training.footage.world import build_street, draw_street

YAW_DEG = {"front": 0.0, "left": 72.0, "right": -72.0}
FOV_DEG = {"front": 76.0, "left": 84.0, "right": 84.0}
SHIFT = 4  # fractional bits of a drawn coordinate: motion below a pixel stays visible
NEAR_M, FAR_M = 0.6, 58.0
CAMERA_M = 1.35  # height over ground


class Road:
    """The outside of one clip."""

    def __init__(
        self, labels: dict[str, str], light: Light, cameras: dict[str, Camera], rng: np.random.Generator
    ) -> None:
        self.ego: Ego = ego_path(labels["vehicle_behavior"], rng)
        street = draw_street(self.ego, rng)
        mesh, walk = build_street(street, self.ego, light.name == "night", rng)
        vehicles = draw_traffic(labels["traffic_context"], street, self.ego, rng)
        asphalt = np.array(mesh.colors[0])
        for mover, vehicle in enumerate(vehicles):
            add_vehicle(mesh, vehicle.heading, mover, asphalt, rng)
        self.mesh: Frozen = mesh.freeze()
        # The last row is the standing world, so that mover -1 needs no special case.
        self.moved = np.zeros((len(vehicles) + 1, FRAMES, 3), dtype=np.float32)
        for mover, vehicle in enumerate(vehicles):
            self.moved[mover, :, 0], self.moved[mover, :, 1] = vehicle.x, vehicle.y
        self.light, self.cameras = light, cameras
        self.colors = shade(self.mesh, light)
        self.ground = np.array(light.lit(walk))
        self.skyline = draw_skyline(rng)
        self.mount_deg = {view: rng.normal(0, 2.0) for view in YAW_DEG}
        self.horizon = {view: rng.uniform(0.42, 0.52) for view in YAW_DEG}
        self.hood = np.array(light.lit(rng.uniform(20, 200, 3)))
        self.backgrounds: dict[str, Image] = {}

    def frames(self, view: str, indices: Sequence[int]) -> Iterator[Image]:
        """Developed frames of one view, (H, W, 3) uint8 each."""
        camera = self.cameras[view]
        yaw = self.ego.yaw[list(indices)] + np.radians(YAW_DEG[view] + self.mount_deg[view])
        drawing = self.project(view, list(indices), yaw)
        for index, heading in zip(indices, yaw, strict=True):
            image = self.backdrop(view, index, float(heading))
            for points, color in next(drawing):
                cv2.fillConvexPoly(image, points, color, cv2.LINE_AA, SHIFT)
            if view == "front":
                self.draw_hood(image)
            yield camera.develop(image, index)

    def project(self, view: str, indices: list[int], yaw: NDArray[np.float64]) -> Iterator[list]:
        """For each frame the list of (points in fixed-point pixels, colour), farthest first."""
        mesh, camera = self.mesh, self.cameras[view]
        focal = camera.width / 2 / np.tan(np.radians(FOV_DEG[view]) / 2)
        eye = np.stack([self.ego.x[indices], self.ego.y[indices], np.full(len(indices), CAMERA_M)], axis=1)
        frame, item = self.visible(view, indices, eye, yaw)
        offset = self.moved[mesh.movers[item]][np.arange(len(item)), np.array(indices)[frame]] - eye[frame]
        anchor = mesh.anchors[item] + offset
        distance = np.hypot(anchor[:, 0], anchor[:, 1])
        order = np.lexsort((-(distance + mesh.layers[item]), frame))
        frame, item, offset, distance = frame[order], item[order], offset[order], distance[order]
        world = (mesh.points[item] + offset[:, None]).astype(np.float32)  # (M, 8, 3) from the eye
        cos, sin = np.cos(yaw)[frame, None], np.sin(yaw)[frame, None]
        depth = cos * world[..., 0] + sin * world[..., 1]
        right = sin * world[..., 0] - cos * world[..., 1]
        seen = np.stack([right, -world[..., 2], depth], axis=2)  # (M, 8, 3) right, down, ahead
        shake = camera.shake_px[indices][frame]
        center = np.array([camera.width / 2, camera.height * self.horizon[view]]) + shake
        haze = np.clip(distance / 130, 0, 0.45)[:, None]
        colors = self.colors[item] * (1 - haze) + self.light.sky_low * haze
        return emit(seen, frame, colors, center, focal, len(indices))

    def visible(
        self, view: str, indices: list[int], eye: NDArray[np.float64], yaw: NDArray[np.float64]
    ) -> tuple:
        """(frame, polygon) pairs worth projecting: near enough, in the field of view, facing the camera."""
        mesh = self.mesh
        offset = self.moved[mesh.movers][:, indices].transpose(1, 0, 2) - eye[:, None]  # (T, N, 3)
        anchor = mesh.anchors + offset
        ahead = np.cos(yaw)[:, None] * anchor[..., 0] + np.sin(yaw)[:, None] * anchor[..., 1]
        aside = np.abs(np.sin(yaw)[:, None] * anchor[..., 0] - np.cos(yaw)[:, None] * anchor[..., 1])
        half = np.tan(np.radians(FOV_DEG[view]) / 2)
        inside = (ahead > NEAR_M - mesh.radii) & (ahead < FAR_M) & (aside < ahead * half + mesh.radii * 1.7)
        first = mesh.points[:, 0] + offset
        return np.nonzero(inside & ((first * mesh.normals).sum(axis=2) <= 0))

    def backdrop(self, view: str, index: int, heading: float) -> Image:
        """Sky, far skyline and pavement; the skyline turns with the car."""
        camera = self.cameras[view]
        if view not in self.backgrounds:
            self.backgrounds[view] = paint_backdrop(camera, self.light, self.ground, self.horizon[view])
        image = self.backgrounds[view].copy()
        angles, heights, color = self.skyline
        relative = (angles + heading + np.pi) % (2 * np.pi) - np.pi
        focal = camera.width / 2 / np.tan(np.radians(FOV_DEG[view]) / 2)
        x0, y0 = (
            camera.width / 2 + camera.shake_px[index, 0],
            camera.height * self.horizon[view] + camera.shake_px[index, 1],
        )
        tint = tuple(0.5 * np.array(self.light.lit(color)) + 0.5 * self.light.sky_low)
        for k in np.nonzero(np.abs(relative) < 1.1)[0]:
            span = x0 + focal * np.tan(np.clip(relative[k] + np.array([-0.06, 0.06]), -1.3, 1.3))
            top = y0 - focal * heights[k]
            corners = np.array([[span[0], y0], [span[1], y0], [span[1], top], [span[0], top]])
            cv2.fillConvexPoly(image, (corners * 16).astype(np.int32), tint, cv2.LINE_AA, SHIFT)
        return image

    def draw_hood(self, image: Image) -> None:
        height, width = image.shape[:2]
        x = np.linspace(-0.62, 0.62, 9)
        y = 0.93 + 0.28 * x**2
        points = np.concatenate([np.stack([0.5 + x, y], 1), [[1.12, 1.2], [-0.12, 1.2]]])
        cv2.fillConvexPoly(
            image, (points * [width, height] * 16).astype(np.int32), tuple(self.hood), cv2.LINE_AA, SHIFT
        )


def shade(mesh: Frozen, light: Light) -> NDArray[np.float64]:
    """Polygon colours under the light: faces towards the sun are brighter."""
    normals = np.cross(mesh.points[:, 1] - mesh.points[:, 0], mesh.points[:, 2] - mesh.points[:, 0])
    length = np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-6)
    towards = np.abs(normals / length @ light.sun)
    upright = np.abs(normals[:, 2:3] / length) < 0.5
    factor = np.where(upright, 0.82 + 0.3 * towards[:, None], 1.0)
    return np.clip(mesh.colors * factor * light.gain, 0, 255)


def draw_skyline(rng: np.random.Generator) -> tuple:
    """Far blocks around the horizon: angle, height as a tangent, colour."""
    count = 40
    angles = (np.arange(count) + rng.uniform(-0.3, 0.3, count)) * 2 * np.pi / count
    return angles, rng.uniform(0.01, 0.16, count) * (rng.random(count) < 0.75), rng.uniform(60, 150, 3)


def paint_backdrop(camera: Camera, light: Light, ground: NDArray[np.float64], horizon: float) -> Image:
    rows = (np.arange(camera.height) + 0.5) / camera.height
    sky = light.sky_top + (light.sky_low - light.sky_top) * np.clip(rows / horizon, 0, 1)[:, None]
    near = np.clip((rows - horizon) / 0.2, 0, 1)[:, None]
    floor = light.sky_low * 0.35 * (1 - near) + ground * (0.65 + 0.35 * near)
    column = np.where(rows[:, None] < horizon, sky, floor)
    return np.ascontiguousarray(
        np.broadcast_to(column[:, None], (camera.height, camera.width, 3)).astype(np.uint8)
    )


def cut_near(corners: NDArray[np.float32]) -> NDArray[np.float32]:
    """The part of a convex polygon (n, 3) beyond the near plane."""
    kept = []
    for k in range(len(corners)):
        a, b = corners[k], corners[(k + 1) % len(corners)]
        if a[2] > NEAR_M:
            kept.append(a)
        if (a[2] > NEAR_M) != (b[2] > NEAR_M):
            kept.append(a + (b - a) * (NEAR_M - a[2]) / (b[2] - a[2]))
    return np.array(kept, dtype=np.float32).reshape(-1, 3)


def emit(
    seen: NDArray, frame: NDArray, colors: NDArray, center: NDArray, focal: float, count: int
) -> Iterator[list]:
    """Project sorted polygons (M, 8, 3) and hand them out frame by frame."""
    beyond = seen[..., 2] > NEAR_M
    flat = (seen[..., :2] / np.maximum(seen[..., 2:], NEAR_M) * focal + center[:, None]) * 2**SHIFT
    pixels = np.rint(flat).astype(np.int32)
    whole, cut = beyond.all(axis=1), beyond.any(axis=1)
    paints = [tuple(color) for color in colors.tolist()]
    bounds = np.searchsorted(frame, np.arange(count + 1))
    for start, stop in zip(bounds[:-1], bounds[1:], strict=True):
        shapes = []
        for k in range(start, stop):
            if whole[k]:
                shapes.append((pixels[k], paints[k]))
            elif cut[k]:
                corners = cut_near(seen[k])
                points = np.rint((corners[:, :2] / corners[:, 2:] * focal + center[k]) * 2**SHIFT)
                if len(points) > 2:
                    shapes.append((points.astype(np.int32), paints[k]))
        yield shapes
