"""Writing one clip as AIDE lays it out: JPEG frames, videos, one JSON."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import cv2

from codriver.errors import CodriverError
from codriver.tasks import AIDE, VIEWS
from training.footage.clip import RenderedClip
from training.footage.motion import RATE_HZ
from training.footage.spec import ClipSpec

ROOT = "AIDE_Dataset"
PARTIAL = ".partial"  # clips under way; a finished one is moved out in one step
FORWARD_QUIRK_EVERY = 10  # AIDE writes "Forward" for "Forward Moving" in some files


@dataclass(frozen=True)
class RenderJob:
    """One clip to write."""

    spec: ClipSpec
    out: str
    jpeg_quality: int
    video: bool
    written: dict[str, str]  # task -> class that the annotation says; the pixels show the spec's

    @property
    def name(self) -> str:
        return f"{self.spec.number:04d}"


def write_clip(job: RenderJob) -> tuple[str, str]:
    """Write the clip beside its place, then move it there. Returns its name and its annotation's SHA-256."""
    out = Path(job.out)
    partial = out / PARTIAL / job.name
    partial.mkdir(parents=True)
    clip = RenderedClip(job.spec)
    for view in VIEWS:
        write_view(clip, view, partial, job)
    annotation = annotation_bytes(clip, job.written)
    waiting = out / PARTIAL / f"{job.name}.json"
    waiting.write_bytes(annotation)
    os.replace(partial, out / ROOT / job.name)
    os.replace(waiting, out / ROOT / "annotation" / f"{job.name}.json")
    return job.name, hashlib.sha256(annotation).hexdigest()


def write_view(clip: RenderedClip, view: str, folder: Path, job: RenderJob) -> None:
    frames = folder / f"{view}frames"
    frames.mkdir()
    video = None
    if job.video:
        size = (job.spec.width, job.spec.height)
        video = cv2.VideoWriter(str(folder / f"{view}.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), RATE_HZ, size)
        if not video.isOpened():
            raise CodriverError(f"{folder}/{view}.mp4: this OpenCV cannot encode mp4v; use --videos none")
    for index, image in enumerate(clip.frames(view)):
        done, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, job.jpeg_quality])
        assert done, (view, index)
        (frames / f"{index}.jpg").write_bytes(jpeg.tobytes())
        if video is not None:
            video.write(image)
    if video is not None:
        video.release()


def annotation_bytes(clip: RenderedClip, written: dict[str, str]) -> bytes:
    """The clip's JSON in AIDE's keys and spelling. written: task -> class."""
    record: dict[str, object] = {"pose_list": clip.poses()}
    for task in AIDE.tasks:
        record[task.annotation_key] = written_label(task.name, written[task.name], clip.spec.number)
    return json.dumps(record, separators=(",", ":")).encode()


def written_label(task: str, label: str, number: int) -> str:
    """AIDE's own spelling: emotions in lower case, and 'Forward' for 'Forward Moving' in some files."""
    if task == "driver_emotion":
        return label.lower()
    if label == "Forward Moving" and number % FORWARD_QUIRK_EVERY == 0:
        return "Forward"
    return label


def remove_partial(out: Path) -> None:
    shutil.rmtree(out / PARTIAL, ignore_errors=True)
