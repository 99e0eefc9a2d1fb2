"""Whether a bundle sees a driver where there is one, and none where there is none, over time, by `Perceiver.step`.

A driver is believed in while the percept answers about one: `percept.driver.present`, without a reason against it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codriver.arrays import Image
from codriver.errors import SourceError
from codriver.files.images import numbered, read_image
from codriver.finder_graph import JOINT_POINTS, PART_ROWS
from codriver.perceiver import Perceiver
from codriver.percept import DriverSight
from codriver.sources.clip import RATE_HZ

WRONG_S, FOUND_S = 0.5, 1.0  # longest wrong belief; until somebody who sat down is found
STILL_FRAMES, SENSOR_NOISE = 45, 2.0  # of a still clip; levels, sigma
Timed = tuple[float, Image]


@dataclass(frozen=True, kw_only=True)
class Belief:
    """One clip: how long, at most, something wrong was believed without a break."""

    clip: str
    frames: int
    longest_s: float


def in_car(folder: Path, noise: float = 0.0) -> Iterator[Timed]:
    """The in-car frames of a clip with their times, by number at AIDE's rate. noise: of a sensor, sigma in levels."""
    paths = numbered(folder / "incarframes")
    if not paths:
        raise SourceError(f"{folder}/incarframes holds no frames; expected a clip, or one of training.scenes")
    for number, path in paths.items():
        image = read_image(path)
        yield number / RATE_HZ, noisy(image, noise, number) if noise else image


def noisy(image: Image, sigma: float, seed: int) -> Image:
    grain = np.random.default_rng(seed).normal(0.0, sigma, image.shape)
    return np.asarray(np.clip(np.rint(image + grain), 0, 255), np.uint8)


def seen(perceiver: Perceiver, frames: Iterable[Timed]) -> list[tuple[float, DriverSight]]:
    """From a fresh start, what is held of the driver at each frame."""
    perceiver.reset()
    return [(t, perceiver.step({"incar": image}, t).driver) for t, image in frames]


def believed(sight: DriverSight) -> bool:
    return bool(sight.present) and not sight.reason


def wrong(perceiver: Perceiver, folder: Path, *, driver: bool, noise: float = 0.0) -> Belief:
    """driver: whether there is one in all of the clip. noise: as `in_car` puts it."""
    told = seen(perceiver, in_car(folder, noise))
    times_s = [t for t, _ in told]
    longest_s = longest([believed(sight) != driver for _, sight in told], times_s)
    return Belief(clip=f"{folder.parent.name}/{folder.name}", frames=len(told), longest_s=longest_s)


def longest(flags: Sequence[bool], times_s: Sequence[float]) -> float:
    """Seconds of the longest run of True; a run reaches to the frame that ends it, or a frame beyond the last one."""
    beyond_s = times_s[-1] + (times_s[-1] - times_s[-2] if len(times_s) > 1 else 1 / RATE_HZ)
    most_s, began_s = 0.0, None
    for flag, t in [*zip(flags, times_s, strict=True), (False, beyond_s)]:
        if flag and began_s is None:
            began_s = t
        elif not flag and began_s is not None:
            most_s, began_s = max(most_s, t - began_s), None
    return round(most_s, 3)


def sits_down(perceiver: Perceiver, empty: Path, drive: Path, noise: float = 0.0) -> Belief:
    """An empty cabin, then another's drive without a break: how long until the driver is believed in."""
    before = list(in_car(empty, noise))
    begins_s = before[-1][0] + 0.2
    told = seen(perceiver, [*before, *((begins_s + t, image) for t, image in in_car(drive, noise))])
    after = [(t, believed(sight)) for t, sight in told if t >= begins_s]
    found_s = next((t - begins_s for t, there in after if there), after[-1][0] - begins_s + WRONG_S + FOUND_S)
    return Belief(clip=f"{empty.name} then {drive.name}", frames=len(after), longest_s=round(found_s, 3))


def jitter_px(perceiver: Perceiver, folder: Path) -> float:
    """Mean distance, in pixels of the frame, that a point moves from one frame to the next while nothing does.

    The clip's first frame, again and again, each time with its own noise of a sensor.
    """
    first, rng = next(in_car(folder))[1], np.random.default_rng(0)
    noise = rng.normal(0.0, SENSOR_NOISE, (STILL_FRAMES, *first.shape))
    stills = np.clip(np.rint(first + noise), 0, 255).astype(np.uint8)
    told = seen(perceiver, ((n / RATE_HZ, still) for n, still in enumerate(stills)))
    points = [place for place in (_points(sight) for _, sight in told) if place is not None]
    moved = [np.linalg.norm(b - a, axis=1) for a, b in pairwise(points)]
    return float(np.mean(np.concatenate(moved))) if moved else float("nan")


def _points(sight: DriverSight) -> NDArray[Any] | None:
    """(P, 2) joints and corners of what is looked for; None if a part of it was left out."""
    if sight.keypoints is None or sight.face_px is None or sight.body_px is None or sight.notes:
        return None
    boxes = np.array([sight.face_px, sight.body_px])
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])
    joints = [
        point for part, rows in PART_ROWS.items() if sight.sources[part] == "found" for point in JOINT_POINTS[rows]
    ]
    return np.concatenate([sight.keypoints[joints, :2], corners])


def summed(name: str, beliefs: Sequence[Belief], limit_s: float, what: str) -> dict[str, Any]:
    """One line of the result. what: what the seconds are of."""
    values = np.array([some.longest_s for some in beliefs])
    beyond = [some.clip for some in beliefs if some.longest_s > limit_s + 1e-6]
    return {
        "name": name,
        "what": what,
        "clips": len(beliefs),
        "frames": sum(some.frames for some in beliefs),
        "longest_s": float(values.max()),
        "limit_s": limit_s,
        "beyond": len(beyond),
        "first_beyond": beyond[:5],
    }
