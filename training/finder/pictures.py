"""In-car frames with what the finder should say of them, in memory, from drives and from scenes."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codriver.errors import SourceError
from codriver.files.images import numbered
from codriver.finder_graph import CORNERS, HEIGHT_PX, JOINT_POINTS, POINTS, WIDTH_PX
from codriver.resize import resize_to
from codriver.sources.aide import read_annotation
from training.data.cache import run_all
from training.data.clips import read_frame
from training.finder.targets import Target, target_of, unusable_camera
from training.scenes import MARKER
from training.scenes import SCHEMA as SCENES_SCHEMA
from workshop.aide_splits import ClipRef

Batch = tuple[Tensor, Tensor, Tensor, Tensor]  # pixels (N, H, W, 3) uint8, points (N, P, 2), weights (N, P), presence


GRAINS_PX = (1, 2, 4, 8)  # of noise alone


def rows_of(points: int) -> list[int]:
    """Of all points, those that a finder of so many looks for, in the order of its rows: corners always come last."""
    return [*range(points - len(CORNERS)), *range(len(JOINT_POINTS), POINTS)]


@dataclass(frozen=True, kw_only=True)
class FinderVaryConfig:
    """What varies while training. No mirror: the driver's side is a property of the car."""

    gain: float = 0.25  # brightness factor varies by up to this
    shift: float = 0.06  # the frame moves by up to this share of its sides
    scale: float = 0.10  # and grows or shrinks by up to this
    noisy: float = 0.3  # share of frames under a sensor's noise, which tells nothing of who is there
    noise: float = 40.0  # its sigma, in levels, is up to this
    only_noise: float = 0.03  # share of frames that are noise alone: an unusable camera


@dataclass(frozen=True)
class Pictures:
    """n frames, in the order of their clips."""

    pixels: NDArray[np.uint8]  # (n, 144, 256, 3) BGR
    points: NDArray[np.float32]  # (n, P, 2)
    weights: NDArray[np.float32]  # (n, P)
    presence: NDArray[np.float32]  # (n, 3)
    clips: tuple[str, ...]  # of each frame, the clip's id
    scenes: tuple[str, ...]  # of each frame, the scene's name; "drive" for a data set's

    def __len__(self) -> int:
        return len(self.pixels)

    def without(self, clips: Collection[str]) -> Pictures:
        """Those of all other clips."""
        return self.at([row for row, clip in enumerate(self.clips) if clip not in clips])

    def of(self, points: int) -> Pictures:
        """The same for a finder that looks for so many points."""
        rows = rows_of(points)
        if len(rows) == self.points.shape[1]:
            return self
        return replace(self, points=self.points[:, rows], weights=self.weights[:, rows])

    def at(self, rows: Sequence[int]) -> Pictures:
        kept = list(rows)
        return Pictures(
            self.pixels[kept],
            self.points[kept],
            self.weights[kept],
            self.presence[kept],
            tuple(self.clips[row] for row in kept),
            tuple(self.scenes[row] for row in kept),
        )

    def batch(self, rows: Iterable[int], vary: FinderVaryConfig | None = None, seed: Sequence[int] = ()) -> Batch:
        """seed: of this epoch. Each frame varies by a draw of its own, whatever batch it lies in."""
        frames = [self._frame(int(row), vary, seed) for row in rows]
        pixels, points, weights, presence = (torch.from_numpy(np.stack(some)) for some in zip(*frames, strict=True))
        return pixels, points, weights, presence

    def _frame(self, row: int, vary: FinderVaryConfig | None, seed: Sequence[int]) -> tuple[NDArray[Any], ...]:
        pixels, points, weights, presence = self.pixels[row], self.points[row], self.weights[row], self.presence[row]
        if vary is not None:
            rng = np.random.default_rng([*seed, 1, row])
            pixels, points = varied(pixels, points, rng, vary)
            kind = rng.random()
            if kind < vary.only_noise:
                pixels, weights, presence = only_noise(pixels.shape, rng), 0 * weights, 0 * presence
            elif kind < vary.only_noise + vary.noisy:
                pixels = noisy(pixels, rng.uniform(0, vary.noise), rng)
        return pixels, points, weights, presence


def varied(
    pixels: NDArray[np.uint8], points: NDArray[np.float32], rng: np.random.Generator, config: FinderVaryConfig
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The frame with other light and framing, and its points moved with it. points: (P, 2) shares of the frame."""
    gain = 1.0 + rng.uniform(-config.gain, config.gain)
    scale = 1.0 + rng.uniform(-config.scale, config.scale)
    shift = rng.uniform(-config.shift, config.shift, 2)
    size = np.array([pixels.shape[1], pixels.shape[0]])
    offset = 0.5 * (1 - scale) + shift  # the middle stays, then moves
    move = np.array([[scale, 0, offset[0] * size[0]], [0, scale, offset[1] * size[1]]])
    seen = cv2.warpAffine(pixels, move, size.tolist(), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    lit = cv2.convertScaleAbs(seen, alpha=gain)
    return np.asarray(lit, np.uint8), np.asarray(points * scale + offset, np.float32)


def noisy(pixels: NDArray[Any], sigma: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The frame under a sensor's noise of this sigma, in levels."""
    noise = rng.standard_normal(pixels.shape, np.float32) * np.float32(sigma)
    return np.asarray(np.clip(np.rint(pixels + noise), 0, 255), np.uint8)


def only_noise(shape: Sequence[int], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A frame of noise alone, (H, W, 3), of any light, strength and grain."""
    height, width, _ = shape
    grain, level, sigma = int(rng.choice(GRAINS_PX)), rng.uniform(0, 255), rng.uniform(15, 120)
    coarse = np.full((height // grain, width // grain, 3), level, np.float32)
    return np.asarray(cv2.resize(noisy(coarse, sigma, rng), (width, height)), np.uint8)


def drive_pictures(
    refs: Sequence[ClipRef], per_clip: int, progress: Callable[[Any], Any] = iter, workers: int = 1
) -> Pictures:
    """`per_clip` frames of each clip, spread evenly over it, that have an annotation."""
    found = run_all(lambda index: _of_drive(refs[index], per_clip), len(refs), progress, workers)
    return _joined([frame for some in found for frame in some])


def scene_pictures(folder: Path, per_clip: int | None = None, progress: Callable[[Any], Any] = iter) -> Pictures:
    """Frames that training.scenes drew; per_clip None: all of them."""
    path = folder / MARKER
    if not path.is_file():
        raise SourceError(f"{folder} holds no {MARKER}; make it with training.scenes")
    content = json.loads(path.read_text(encoding="utf-8"))
    if content.get("schema") != SCENES_SCHEMA or content.get("kind") != "scenes":
        raise SourceError(f"{path}: schema {content.get('schema')!r}, expected {SCENES_SCHEMA}; make the scenes again")
    clips = [(name, number) for name in content["scenes"] for number in range(1, content["each"] + 1)]
    frames: list[_Frame] = []
    for name, number in progress(clips):
        covered = bool(content["scenes"][name]["covered"])
        place = folder / name / f"{number:04d}"
        frames += _of_clip(place, place.with_suffix(".json"), per_clip, (f"{name}/{number:04d}", name), covered)
    return _joined(frames)


def together(*parts: Pictures) -> Pictures:
    return Pictures(
        np.concatenate([p.pixels for p in parts]),
        np.concatenate([p.points for p in parts]),
        np.concatenate([p.weights for p in parts]),
        np.concatenate([p.presence for p in parts]),
        tuple(clip for p in parts for clip in p.clips),
        tuple(scene for p in parts for scene in p.scenes),
    )


_Frame = tuple[NDArray[np.uint8], Target, tuple[str, str]]


def _of_drive(ref: ClipRef, per_clip: int) -> list[_Frame]:
    return _of_clip(ref.folder, ref.annotation, per_clip, (ref.id, "drive"))


def _of_clip(
    folder: Path, annotation: Path, per_clip: int | None, names: tuple[str, str], covered: bool = False
) -> list[_Frame]:
    """A frame that the annotation does not name is left out: nobody has said whether there is a driver."""
    said, paths = read_annotation(annotation), numbered(folder / "incarframes")
    known = [path for path in paths.values() if path.name in said.drivers or path.name in said.nobody]
    if per_clip is not None and len(known) > per_clip:
        known = [known[round(i)] for i in np.linspace(0, len(known) - 1, per_clip)]
    frames: list[_Frame] = []
    for path in known:
        image = read_frame(path)
        height, width = image.shape[:2]
        target = unusable_camera() if covered else target_of(said.drivers.get(path.name), width, height)
        frames.append((resize_to(image, WIDTH_PX, HEIGHT_PX), target, names))
    return frames


def _joined(frames: Sequence[_Frame]) -> Pictures:
    if not frames:
        raise SourceError("no in-car frame has an annotation of who is in it; the finder cannot learn from this data")
    pixels, targets, names = zip(*frames, strict=True)
    return Pictures(
        np.stack(pixels),
        np.stack([t.points for t in targets]),
        np.stack([t.weights for t in targets]),
        np.stack([t.presence for t in targets]),
        tuple(n for n, _ in names),
        tuple(s for _, s in names),
    )
