"""How well the finder finds, beside the two answers that cost nothing: the mean pose, and the frame before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from codriver.finder.peaks import Sight, read_sight
from codriver.finder_graph import CORNERS, HEIGHT_PX, JOINT_POINTS, OUTPUTS, PRESENCE, WIDTH_PX
from codriver.tasks import POSTURE_POINTS
from training.finder.model import Finder
from training.finder.pictures import Pictures

PCK = 0.1  # of the body box's height: a point within this is found
GROUPS = {  # rows of the graph: which joints are scored together
    "head": (0, 1, 2, 3, 4, 17, 18),
    "upper_body": tuple(range(5, 11)),
    "below_frame": (*range(11, 17), *range(19, 26)),  # hips and legs, which the camera does not see
    "hands": tuple(range(len(POSTURE_POINTS), len(JOINT_POINTS))),
}
SIZE_PX = np.array([WIDTH_PX, HEIGHT_PX], np.float32)
Floats = NDArray[np.float64]


@torch.inference_mode()
def sights_of(model: Finder, pictures: Pictures, batch: int = 32, progress: Callable[[Any], Any] = iter) -> list[Sight]:
    """What the model sees in each frame, read as the device reads it."""
    model.eval()
    sights = []
    for start in progress(range(0, len(pictures), batch)):
        outputs = model(torch.from_numpy(pictures.pixels[start : start + batch]))
        arrays = [some.numpy() for some in outputs]
        sights += [
            read_sight({name: some[row : row + 1] for name, some in zip(OUTPUTS, arrays, strict=True)})
            for row in range(len(arrays[0]))
        ]
    return sights


def score_points(points: NDArray[np.float32], pictures: Pictures) -> dict[str, float]:
    """points: (n, P, 2) shares of the frame. Frames without a driver do not count, nor hands that nobody looked for."""
    pictures = pictures.of(points.shape[1])
    there = pictures.presence[:, 0] == 1
    found, truth, known = points[there], pictures.points[there], pictures.weights[there] > 0
    joints = points.shape[1] - len(CORNERS)
    corners, wanted = found[:, joints:].reshape(-1, 2, 4), truth[:, joints:].reshape(-1, 2, 4)
    boxed = known[:, joints:].reshape(-1, 2, 2).all(axis=2)
    overlap = np.where(boxed, iou(corners, wanted), np.nan)  # (n, 2)
    height = (wanted[:, 1, 3] - wanted[:, 1, 1]) * HEIGHT_PX
    off_px = np.linalg.norm((found - truth) * SIZE_PX, axis=2)[:, :joints]
    countable = known[:, :joints] & boxed[:, 1:]
    right = np.where(countable, off_px <= PCK * height[:, None], np.nan)
    scores = {
        "face_iou": float(np.nanmean(overlap[:, 0])),
        "face_iou_50": float(np.nanmean(np.where(boxed[:, 0], overlap[:, 0] >= 0.5, np.nan))),
        "body_iou": float(np.nanmean(overlap[:, 1])),
    }
    groups = {group: list(rows) for group, rows in GROUPS.items() if max(rows) < joints}
    return scores | {f"pck_{group}": float(np.nanmean(right[:, rows])) for group, rows in groups.items()}


def iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> Floats:
    """(..., 4) low x, low y, high x, high y -> (...) intersection over union."""
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    overlap = np.clip(sides, 0, None).prod(axis=-1)
    areas = [np.clip(some[..., 2:] - some[..., :2], 0, None).prod(axis=-1) for some in (a, b)]
    return np.asarray(overlap / np.maximum(areas[0] + areas[1] - overlap, 1e-9), np.float64)


def mean_pose(pictures: Pictures) -> NDArray[np.float32]:
    """(P, 2) the mean place of every point over the frames that know it."""
    known = (pictures.weights > 0)[..., None]
    return np.asarray((pictures.points * known).sum(axis=0) / np.maximum(known.sum(axis=0), 1), np.float32)


def frame_before(pictures: Pictures) -> NDArray[np.float32]:
    """(n, P, 2) the truth of the frame before in the same clip; of a clip's first frame, of the one after."""
    before, after = np.roll(pictures.points, 1, axis=0), np.roll(pictures.points, -1, axis=0)
    first = np.array([i == 0 or pictures.clips[i] != pictures.clips[i - 1] for i in range(len(pictures))])
    return np.asarray(np.where(first[:, None, None], after, before), np.float32)


def score_presence(presence: NDArray[np.float32], pictures: Pictures) -> dict[str, dict[str, float]]:
    """By scene, the share of frames in which each presence was told right, as far as it is known."""
    scores: dict[str, dict[str, float]] = {}
    for scene in dict.fromkeys(pictures.scenes):
        rows = np.array([name == scene for name in pictures.scenes])
        truth = pictures.presence[rows]
        right = np.where(np.isfinite(truth), (presence[rows] > 0.5) == (truth > 0.5), np.nan)
        scores[scene] = {name: float(np.nanmean(right[:, k])) for k, name in enumerate(PRESENCE)}
    return scores


def evaluate(sights: list[Sight], pictures: Pictures, mean: NDArray[np.float32]) -> dict[str, Any]:
    """All figures of one set of frames, JSON-ready. mean: the training split's mean pose."""
    drives = np.array([scene == "drive" for scene in pictures.scenes])
    pictures = pictures.of(len(sights[0].points))
    scores: dict[str, Any] = {"frames": len(pictures)}
    scores["presence"] = score_presence(np.stack([some.presence for some in sights]), pictures)
    if (pictures.presence[:, 0] == 1).any():
        found = np.stack([some.points for some in sights])
        scores["finder"] = score_points(found, pictures)
        scores["mean_pose"] = score_points(np.broadcast_to(mean, found.shape), pictures)
        if drives.all():
            scores["frame_before"] = score_points(frame_before(pictures), pictures)
    return scores
