"""Procedural scenes in a benchmark's own layout, so that its loader reads them unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.dense.layouts import bdd100k, cityscapes, nyudv2, pascal_context
from training.dense.layouts.job import Job
from training.footage import room
from training.footage.clip import RenderedClip
from training.footage.labels import plan
from training.footage.scene import labels
from training.footage.spec import ClipSpec

MOMENTS = (8, 22, 36)  # frames of a clip that become pictures
LAYOUTS = {"bdd100k": bdd100k, "cityscapes": cityscapes, "nyudv2": nyudv2, "pascal-context": pascal_context}
PEOPLED = ("pascal-context",)  # layouts whose streets have people on foot


@dataclass(frozen=True)
class ClipJob:
    """One clip's pictures."""

    spec: ClipSpec
    out: Path
    split: str  # the benchmark's
    jpeg_quality: int


def write_clip(layout: str, job: ClipJob) -> list[dict[str, Any]]:
    """Write all pictures of one clip; returns what the layout's lists take."""
    return [LAYOUTS[layout].picture(*one) for one in SCENES.get(layout, street)(job)]


def street(job: ClipJob) -> Iterator[tuple[Job, NDArray[np.uint8], Any]]:
    """What the front camera of a clip sees."""
    road = (clip := RenderedClip(job.spec)).road
    focal_px, _ = road.lens("front", list(MOMENTS))
    for moment, image, known in zip(
        MOMENTS, clip.frames("front", MOMENTS), labels(road, "front", MOMENTS), strict=True
    ):
        y = float(road.ego.y[moment])
        yield Job(job.out, job.split, job.spec.number, moment, job.jpeg_quality, y, focal_px), image, known


def indoors(job: ClipJob) -> Iterator[tuple[Job, NDArray[np.uint8], Any]]:
    """As many pictures of a room."""
    spec = job.spec
    views = room.seen(spec.seed, spec.number, len(MOMENTS), (spec.height, spec.width))
    for number, view in enumerate(views):
        job_of_view = Job(job.out, job.split, spec.number, number, job.jpeg_quality, 0.0, room.FOCAL * spec.width)
        yield job_of_view, view.image, view


SCENES = {"nyudv2": indoors}  # where a layout's pictures come from; else from the street


def jobs(layout: str, out: Path, clips: int, seed: int, size: tuple[int, int], jpeg_quality: int) -> Iterator[ClipJob]:
    """size: width, height. The footage's test clips become the benchmark's val, all others its train."""
    for number, (split, chosen) in enumerate(plan(clips, seed), start=1):
        theirs = "val" if split == "testing" else "train"
        spec = ClipSpec(seed, number, chosen, *size, people=layout in PEOPLED)
        yield ClipJob(spec, out, theirs, jpeg_quality)
