"""Read recordings, whole or cut short, and step through them again.

A recording may come from anywhere: lengths are bounded, nothing in it is compressed but pictures, and whatever does not
fit is a SourceError.
"""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from codriver.arrays import Image
from codriver.device.imports import load
from codriver.errors import SourceError
from codriver.files.decode import Fault, decode
from codriver.files.images import PNG, decode_image
from codriver.percept import Driver, Frame
from codriver.recording.schemas import (
    HEALTH,
    INPUT,
    META,
    PERCEPT,
    RECORDING_SCHEMA,
    STEP,
    RecordingMetadata,
    StepInput,
)

LAST_S = 1 << 31  # ROS 2 knows no later time
MAX_RECORD_BYTES = 1 << 28  # a picture of 4096 x 4096 as PNG in base64 has less
MAX_PIXELS = 1 << 25
NOT_COMPARED = ("latency_ms", "deadline_missed", "model", "sequence")  # of machine and session, not of the answer


@dataclass(frozen=True)
class RecordedStep:
    """One step as it was given, and what it answered then."""

    frames: Mapping[str, Frame]
    t: float
    driver: Driver | None
    percept: Mapping[str, Any]  # Percept.to_dict()
    complete: bool  # whether all of its pictures are there
    pictures: Mapping[str, bytes]  # view -> PNG or JPEG, as it lies in the file
    sizes_px: Mapping[str, tuple[int, ...]]  # view -> width, height of its picture before it was recorded, where known
    about: RecordingMetadata  # of the step's file

    def stamp_ns(self, t: float) -> int:
        """A time of the drive by the wall clock, if that was recorded, else as it is; from 0."""
        at_ns = round(t * 1e9) + int(self.about.wall_offset_ns or 0)
        if at_ns >= LAST_S * 10**9:
            raise SourceError(f"time {at_ns / 1e9:.6g} s is after 2038, expected an earlier one; record the drive anew")
        return max(at_ns, 0)

    def taken_ns(self, view: str) -> int:
        """When its picture was taken, likewise."""
        own = self.frames[view].t
        return self.stamp_ns(self.t if own is None else own)

    def scale(self, view: str) -> tuple[float, float] | None:
        """Across and down, from pixels of the picture as it was given to those of the recorded one; None if unknown."""
        height, width = self.frames[view].image.shape[:2]
        if view in self.sizes_px:
            given_width, given_height = self.sizes_px[view]
            return width / given_width, height / given_height
        return (1.0, 1.0) if self.about.lossless == "true" else None

    def bgr(self, view: str) -> Image:
        """Its picture as others expect it."""
        image = self.frames[view].image
        return np.ascontiguousarray(image[..., ::-1]) if self.about.color == "rgb" else image


@dataclass
class Recording:
    """A file or a folder of files. What is in its fields is known when `steps` has been read."""

    path: Path
    about: RecordingMetadata | None = None
    cut: list[str] = field(default_factory=list)  # what is missing, a sentence for each file that ends early
    health: Mapping[str, Any] | None = None  # the newest
    _head: RecordingMetadata | None = None  # of the file that is being read

    def steps(self) -> Iterator[RecordedStep]:
        """In order. A file that was cut short ends where it was cut; a broken one is a SourceError."""
        for path in self._files():
            self._head = None
            yield from self._steps_of(path)
        if self.about is None:
            raise SourceError(f"{self.path}: no recording of codriver's; {'; '.join(self.cut) or 'nothing is in it'}")

    @property
    def color(self) -> str:
        """Of its pictures, by its first file."""
        return next((step.about.color for step in Recording(self.path).steps()), "bgr")

    def _files(self) -> list[Path]:
        if self.path.is_file():
            return [self.path]
        paths = sorted(self.path.glob("codriver-*.mcap")) if self.path.is_dir() else []
        if not paths:
            raise SourceError(f"{self.path}: no recording there; give a file that ends on .mcap, or its folder")
        return paths

    def _steps_of(self, path: Path) -> Iterator[RecordedStep]:
        pictures: dict[str, bytes] = {}
        step: StepInput | None = None
        for topic, content in self._messages(path):
            try:
                if topic.startswith(INPUT):
                    pictures[topic.removeprefix(INPUT)] = base64.b64decode(content["data"], validate=True)
                elif topic == STEP:
                    step = decode(StepInput, content)
                elif topic == PERCEPT and step is not None:
                    yield _step(pictures, step, content, self._head)
                    pictures, step = {}, None
                elif topic == HEALTH:
                    self.health = content
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
                what = f"{path}: a message on {topic} is not what codriver records ({type(error).__name__}: {error})"
                raise SourceError(what) from error

    def _messages(self, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
        """Topic and content of each message that the file still holds."""
        topics: dict[int, str] = {}
        try:
            for record in _records(path):
                kind = type(record).__name__
                if kind == "Channel":
                    topics[record.id] = record.topic
                elif kind == "Metadata" and record.name == META:
                    self._take_about(path, record.metadata)
                elif kind == "Message" and record.channel_id in topics:
                    yield topics[record.channel_id], _content(path, record.data)
        except _Cut as cut:
            self.cut.append(f"{path.name} is cut short ({cut})")

    def _take_about(self, path: Path, about: Mapping[str, str]) -> None:
        if about.get("schema") != str(RECORDING_SCHEMA):
            raise SourceError(f"{path}: recorded in schema {about.get('schema')!r}, expected {RECORDING_SCHEMA}")
        try:
            self._head = decode(RecordingMetadata, dict(about))
            self.about = self.about or self._head
        except Fault as fault:
            raise SourceError(f"{path}: its head {fault}; record it anew") from fault


class _Cut(Exception):
    """The file ends before its end."""


def _records(path: Path) -> Iterator[Any]:
    missing = "recordings need the package mcap: pip install 'codriver[record]'"
    faults, stream = load("mcap.exceptions", missing), load("mcap.stream_reader", missing)
    try:
        with path.open("rb") as file:
            reader: Any = stream.StreamReader(file, emit_chunks=True, record_size_limit=MAX_RECORD_BYTES)
            for record in reader.records:
                if type(record).__name__ != "Chunk":
                    yield record
                elif record.compression:
                    raise SourceError(f"{path}: packed with {record.compression!r}, and codriver packs nothing")
                else:
                    yield from stream.breakup_chunk(record, validate_crc=True)
    except (faults.EndOfFile, struct.error) as error:
        raise _Cut(str(error) or type(error).__name__) from error
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    except (faults.McapError, ValueError, KeyError, TypeError, MemoryError, OverflowError) as error:
        raise SourceError(f"{path}: not MCAP, or damaged ({error})") from error


def _content(path: Path, data: bytes) -> dict[str, Any]:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path}: a message is not JSON ({error})") from error
    if not isinstance(content, dict):
        raise SourceError(f"{path}: a message is no JSON object")
    return content


def _step(
    pictures: Mapping[str, bytes], step: StepInput, percept: Mapping[str, Any], about: RecordingMetadata | None
) -> RecordedStep:
    clocks = step.clocks or {}
    frames = {
        view: Frame(_image(pictures[view]), step.times.get(view), clocks.get(view, ""))
        for view in step.views
        if view in pictures
    }
    if about is None:
        raise ValueError("its file has no head")
    return RecordedStep(
        frames=frames,
        t=step.t,
        driver=_driver(step),
        percept=percept,
        complete=len(frames) == len(step.views),
        pictures={view: pictures[view] for view in frames},
        sizes_px=step.sizes_px or {},
        about=about,
    )


def _driver(step: StepInput) -> Driver | None:
    if step.face_px is None and step.body_px is None and step.keypoints is None:
        return None
    points = None
    if step.keypoints is not None:
        rows = [[math.nan if value is None else value for value in point] for point in step.keypoints]
        points = np.array(rows, np.float32)
    return Driver(face_px=step.face_px, body_px=step.body_px, keypoints=points)


def _image(data: bytes) -> Image:
    """Decode a picture whose header says that it is of a sane size."""
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    if data.startswith(PNG) and width * height > MAX_PIXELS:
        raise ValueError(f"a picture of {width} x {height} is too large")
    return decode_image(data)


def difference(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Where two percepts first part, as `tasks.driver_behavior.label: recorded ..., now ...`; empty if nowhere.

    A field that percepts did not have when they were recorded is no difference.
    """
    compared = [key for key in recorded if key not in NOT_COMPARED]
    then, today = ({key: one.get(key) for key in compared} for one in (recorded, now))
    return _first(then, today, "")


def _first(recorded: Any, now: Any, where: str) -> str:
    if isinstance(recorded, dict) and isinstance(now, dict):
        for key in [*recorded, *(key for key in now if key not in recorded)]:
            if found := _first(recorded.get(key), now.get(key), f"{where}.{key}" if where else key):
                return found
        return ""
    return "" if recorded == now else f"{where}: recorded {recorded!r}, now {now!r}"
