"""A camera as it is described, and what every way of reading one gives."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from codriver.arrays import Image

SECRET = re.compile(r"(?<=://)[^/@\s]+@")  # user and password within an address, which no log may hold


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A camera, and what is asked of it; None and "" leave it as it is."""

    where: int | str  # index, device, address, or a GStreamer pipeline that ends in appsink
    pipeline: bool = False
    size_px: tuple[int, int] | None = None  # width, height
    rate_hz: float | None = None
    format: str = ""  # of its pixels, in four letters: MJPG, YUYV

    def __str__(self) -> str:
        return SECRET.sub("", f"{self.where}")[:60]

    @property
    def device(self) -> bool:
        """Whether the kernel has it, as /dev/videoN."""
        return isinstance(self.where, int) or self.where.startswith("/dev/")

    @property
    def rtsp(self) -> bool:
        return isinstance(self.where, str) and not self.pipeline and self.where.startswith(("rtsp://", "rtsps://"))


class Capture(Protocol):
    """A camera that is open. One thread reads it; `close` comes from that thread too."""

    notes: tuple[str, ...]  # what it does otherwise than it was asked to, each after the camera's name

    def read(self) -> tuple[Image | None, float | None]:
        """Its next frame, (H, W, 3) uint8 BGR, and when that was taken, in seconds of the monotonic clock.

        Waits for it, or raises Ended. No image: what came was empty. No time: this camera does not tell it.
        """
        ...

    def close(self) -> None: ...


class Ended(Exception):
    """Nothing comes any more. Its text goes on from the camera's name: "stopped sending"."""
