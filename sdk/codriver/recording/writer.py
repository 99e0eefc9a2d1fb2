"""Record steps: what came in, what was answered. Nobody records unless asked to: `codriver run --record`, or this.

A folder of MCAP files, which is never larger than it may be: the oldest file goes first. A file is cut short only where
the power was: chunks are small, and what is complete on the disk can be read.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from codriver.arrays import Image
from codriver.device.closing import Closing
from codriver.errors import ConfigError
from codriver.files.decode import encode
from codriver.perceiver import Perceiver
from codriver.percept import Driver, Frame, Percept
from codriver.recording.mcap_file import McapFile, mcap_writer
from codriver.recording.schemas import HEALTH, INPUT, META, PERCEPT, STEP, RecordingMetadata, picture
from codriver.version import VERSION

HEALTH_S = 1.0
IMAGES = ("png", "jpeg", "none")


@dataclass(frozen=True, kw_only=True)
class RecorderConfig:
    """How much is kept. Pictures show a person: keep as little as the purpose needs."""

    images: str = "png"  # png: without loss, so that a replay can be exact; jpeg: a tenth of that; none: answers only
    width_px: int | None = None  # wider pictures are scaled down to it, and a replay is not exact; None: as they are
    jpeg_quality: int = 90
    limit_mb: float = 1000.0  # of the whole folder
    file_s: float = 60.0  # a new file after this much recorded time; the bound is kept by whole files
    live: bool = False  # the steps' times are time.monotonic()'s, as cameras': each file tells the wall clock's offset

    def __post_init__(self) -> None:
        if self.images not in IMAGES:
            raise ConfigError(f"images {self.images!r}: expected one of {', '.join(IMAGES)}")
        for name in ("limit_mb", "file_s"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"{name} {getattr(self, name)!r}: expected a number above 0")
        if self.width_px is not None and self.width_px < 16:
            raise ConfigError(f"width_px {self.width_px!r}: expected 16 or more, or None")

    @property
    def lossless(self) -> bool:
        return self.images == "png" and self.width_px is None


class Recorder(Closing):
    """Hand it each step and its percept; close it, or use it in a `with`. It belongs to one thread at a time.

    folder: new or empty. A ConfigError says why not, or that the disk is full: recording ends, stepping need not.
    """

    def __init__(
        self, folder: str | os.PathLike[str], perceiver: Perceiver, config: RecorderConfig | None = None
    ) -> None:
        self.folder = Path(folder)
        self.config = config or RecorderConfig()
        self._about = _about(perceiver, self.config)
        self._stats = perceiver.stats
        mcap_writer()
        _check_folder(self.folder)
        self._file: McapFile | None = None
        self._number = self._steps = self._dropped = 0
        self._health: tuple[float, Any] = (-math.inf, None)  # when it was last written, and what

    def add(self, frames: Mapping[str, Image | Frame], driver: Driver | None, percept: Percept) -> None:
        """Record one step as it was given, and what it answered."""
        images = {view: frame.image if isinstance(frame, Frame) else frame for view, frame in frames.items()}
        times = {view: frame.t for view, frame in frames.items() if isinstance(frame, Frame) and frame.t is not None}
        clocks = {view: frame.clock for view, frame in frames.items() if isinstance(frame, Frame) and frame.clock}
        try:
            file = self._current(percept.t)
            driver = self._add_images(file, images, driver, percept.t)
            sizes = {view: [image.shape[1], image.shape[0]] for view, image in images.items()}
            step = {"t": percept.t, "views": list(frames), "times": times, "clocks": clocks, "sizes_px": sizes}
            file.write(STEP, step | _plain(driver), _ns(percept.t))
            file.write(PERCEPT, percept.to_dict(), _ns(percept.t))
            self._steps += 1
            self._add_health(file, percept)
            file.flush()
        except OSError as error:
            raise self._fault(error) from error

    def close(self) -> None:
        """End the newest file. Closing twice is fine."""
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError as error:
                raise self._fault(error) from error

    def _fault(self, error: OSError) -> ConfigError:
        return ConfigError(f"{self.folder}: cannot be recorded to ({error.strerror}); make room there")

    def _current(self, t: float) -> McapFile:
        if self._file is not None and not 0 <= t - self._file.since_s < self.config.file_s:
            self.close()
        if self._file is None:
            self._make_room()
            path = self.folder / f"codriver-{self._number:06d}.mcap"
            offset = str(wall_offset_ns()) if self.config.live else None
            about = replace(self._about, file=str(self._number), wall_offset_ns=offset)
            self._file = McapFile(path, META, encode(about), t)
            self._number += 1
        elif self._file.size_mb > self._file_limit_mb:
            self.close()
            return self._current(t)
        return self._file

    @property
    def _file_limit_mb(self) -> float:
        """A file takes at most a quarter of the folder, so that the bound holds while one is being written."""
        return self.config.limit_mb / 4

    def _make_room(self) -> None:
        paths = sorted(self.folder.glob("codriver-*.mcap"))
        sizes = [path.stat().st_size / 1e6 for path in paths]
        while paths and sum(sizes) > self.config.limit_mb - 1.25 * self._file_limit_mb:
            paths.pop(0).unlink()
            sizes.pop(0)
            self._dropped += 1

    def _add_images(
        self, file: McapFile, frames: Mapping[str, Image], driver: Driver | None, t: float
    ) -> Driver | None:
        """Write the pictures; return the driver in pixels of the recorded in-car picture."""
        if self.config.images == "none":
            return driver
        for view, frame in frames.items():
            scale = self._scale(frame)
            if view == "incar" and scale < 1 and driver is not None:
                driver = _scaled_driver(driver, scale)
            content = picture(_ns(t), view, self._encoded(frame, scale), self.config.images)
            file.write(INPUT + view, content, _ns(t))
        return driver

    def _scale(self, frame: Image) -> float:
        width = frame.shape[1]
        return 1.0 if self.config.width_px is None else min(1.0, self.config.width_px / int(width))

    def _encoded(self, frame: Image, scale: float) -> bytes:
        import cv2

        if scale < 1:
            frame = np.asarray(cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
        if self.config.images == "png":
            done, data = cv2.imencode(".png", frame, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        else:
            done, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, self.config.jpeg_quality])
        assert done, frame.shape
        return bytes(data.tobytes())

    def _add_health(self, file: McapFile, percept: Percept) -> None:
        """Once a second, and whenever something changes."""
        views = {name: view.status for name, view in percept.views.items()}
        now = (percept.state, views)
        if now != self._health[1] or abs(percept.t - self._health[0]) >= HEALTH_S:
            self._health = (percept.t, now)
            content = {"t": percept.t, "state": percept.state, "views": views, "stats": self._stats().to_dict()}
            content |= {"recorded": self._steps, "dropped_files": self._dropped}
            file.write(HEALTH, content, _ns(percept.t))


def _ns(t: float) -> int:
    return max(int(t * 1e9), 0)


def wall_offset_ns() -> int:
    """The wall clock less the monotonic one. The largest: what passes between the two readings makes it smaller."""
    return max(time.time_ns() - time.monotonic_ns() for _ in range(3))


def _check_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ConfigError(f"{folder}: there is something in it; give a new or an empty folder to record to")
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be recorded to ({error.strerror}); give a folder of yours") from error


def _about(perceiver: Perceiver, config: RecorderConfig) -> RecordingMetadata:
    return RecordingMetadata(
        codriver=VERSION,
        bundle=perceiver.manifest.id,
        variant=perceiver.variant,
        engine=perceiver.engine,
        color=perceiver.bundle.color,
        policy=json.dumps(encode(perceiver.bundle.policy)),
        images=config.images,
        lossless=str(config.lossless).lower(),
        file="0",
        dense_view=perceiver.manifest.dense.view if perceiver.manifest.dense else "front",
    )


def _plain(driver: Driver | None) -> dict[str, Any]:
    driver = driver or Driver()
    keypoints = None
    if driver.keypoints is not None:
        points = np.asarray(driver.keypoints, np.float64).tolist()
        keypoints = [[value if math.isfinite(value) else None for value in point] for point in points]
    return {
        "face_px": None if driver.face_px is None else [float(value) for value in driver.face_px],
        "body_px": None if driver.body_px is None else [float(value) for value in driver.body_px],
        "keypoints": keypoints,
    }


def _scaled_driver(driver: Driver, scale: float) -> Driver:
    face, body = (None if box is None else [float(v) * scale for v in box] for box in (driver.face_px, driver.body_px))
    points = driver.keypoints
    if points is not None:
        points = np.asarray(points, np.float32) * np.array([scale, scale, 1.0], np.float32)
    return Driver(face_px=face, body_px=body, keypoints=points)
