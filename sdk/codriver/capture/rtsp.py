"""A network camera read by PyAV, which hands on when the sender says that each picture was taken."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from codriver.arrays import Image
from codriver.capture.camera import Camera, Ended
from codriver.device.imports import load

MISSING = "rtsp:// with the sender's time needs the package av: pip install 'codriver[rtsp]'"
CONNECT_S, READ_S = 5.0, 3.0  # longer than the reader's own patience, which is what is told; this ends the thread
# TCP: a lost packet is late, not a torn picture. Nothing is held back to look at: the first picture is shown.
OPTIONS = {"rtsp_transport": "tcp", "fflags": "nobuffer", "analyzeduration": "0"}


def pyav() -> Any:
    """The module. A BackendMissing says how to get it."""
    return load("av", MISSING, "open")


class RtspCapture:
    """Frames of the first video stream. The time is the sender's once its first report came (RTCP), before that none.

    The sender's clock has to be ours, or one that both are set by (NTP, PTP): the reader holds it against ours.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, camera: Camera) -> None:
        self._av = pyav()
        try:
            self._container = self._av.open(camera.where, options=OPTIONS, timeout=(CONNECT_S, READ_S))
        except (self._av.FFmpegError, OSError) as error:
            raise Ended(f"cannot be opened: {_why(error)}") from error
        if not self._container.streams.video:
            self.close()
            raise Ended("has no video stream")
        self._stream = self._container.streams.video[0]
        self._stream.codec_context.thread_count = 1  # more of them hold frames back, and take what a step has
        self._offset_s: float | None = None  # from the stream's time to the monotonic clock
        self._reported = False
        self._frames = self._decoded()

    def read(self) -> tuple[Image | None, float | None]:
        try:
            frame = next(self._frames)
        except StopIteration:
            raise Ended("stopped sending") from None
        except (self._av.FFmpegError, OSError) as error:
            raise Ended(f"stopped sending: {_why(error)}") from error
        image = np.asarray(frame.to_ndarray(format="bgr24"))
        if frame.pts is None or self._offset_s is None:
            return image, None
        return image, float(frame.pts * self._stream.time_base) + self._offset_s

    def _decoded(self) -> Iterator[Any]:
        for packet in self._container.demux(self._stream):
            self._set_clock(packet)
            try:
                yield from packet.decode()
            except self._av.error.InvalidDataError:  # begins in the middle of a group of pictures, or lost a part
                yield from ()

    def _set_clock(self, packet: Any) -> None:
        """By the sender's time of this packet. A frame may come packets later, so its own time is the stream's."""
        if packet.pts is None or not packet.has_sidedata("prft"):
            return
        if not self._reported:  # FFmpeg puts the first one, which is of the next picture, on the one it has at hand
            self._reported = True
            return
        (sent_us,) = struct.unpack_from("<q", bytes(packet.get_sidedata("prft")))  # since 1970
        from_monotonic_s = time.time_ns() / 1e9 - time.monotonic()  # anew each time: the wall clock may be set
        self._offset_s = sent_us / 1e6 - from_monotonic_s - float(packet.pts * self._stream.time_base)

    def close(self) -> None:
        self._container.close()


def _why(error: Exception) -> str:
    """Without the address, in which there may be a password."""
    return str(getattr(error, "strerror", "") or type(error).__name__)
