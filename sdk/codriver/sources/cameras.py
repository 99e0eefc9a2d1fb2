"""Live cameras: frames of one instant, at a steady pace."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from codriver.capture.camera import Camera
from codriver.capture.news import CameraCounts
from codriver.capture.opening import check_pipelines
from codriver.capture.pairing import shared_time_s
from codriver.capture.reader import START_S, Reader
from codriver.device.closing import Closing
from codriver.errors import SourceError
from codriver.sources.base import FrameSet

RATE_HZ = 15.0  # what the model was trained with; cameras may run faster
CLOSE_S = 0.5  # for all cameras together to end


class Cameras(Closing):
    """One reader per camera, so that a stalled camera blocks nobody.

    A camera without a new frame is absent from the set, and `absent` says why. One that fails or is silent is opened
    again, after a while that grows. Times are of the monotonic clock: of capture where the driver tells, else of
    arrival; each frame says which. open_camera: index, path or address -> a capture.
    """

    live = True
    length: int | None = None

    def __init__(
        self,
        cameras: Mapping[str, int | str | Camera],
        *,
        rate_hz: float = RATE_HZ,
        open_camera: Callable[[int | str], Any] | None = None,
    ) -> None:
        described = {view: c if isinstance(c, Camera) else Camera(where=c) for view, c in cameras.items()}
        if open_camera is None:
            check_pipelines(described)
        self.name = " ".join(f"{view}={camera}" for view, camera in described.items())
        self.views = tuple(cameras)
        self.rate_hz = rate_hz
        self.truth: Mapping[str, str] = {}
        self.problems: list[str] = []
        self._stop = threading.Event()
        self._readers = {view: Reader(view, camera, open_camera) for view, camera in described.items()}
        self._last: tuple[float, float] | None = None  # time of the last set, and when it was given
        self._wait_for_first_frame()

    def counts(self) -> dict[str, CameraCounts]:
        return {view: reader.counts for view, reader in self._readers.items()}

    def _wait_for_first_frame(self) -> None:
        """Until every camera has shown a frame or failed. A SourceError if all of them failed."""
        end_s = time.monotonic() + START_S
        while time.monotonic() < end_s:
            for reader in self._readers.values():
                reader.tend(time.monotonic())
            if all(reader.known for reader in self._readers.values()):
                break
            time.sleep(0.01)
        if not any(reader.counts.frames for reader in self._readers.values()):
            self.close()
            why = "; ".join(f"{view}: {reader.why_absent(time.monotonic())}" for view, reader in self._readers.items())
            raise SourceError(f"no camera gave a frame: {why}; `codriver doctor --cameras` lists what is there")

    def __iter__(self) -> Iterator[FrameSet]:
        next_s = time.monotonic()
        while not self._stop.is_set():
            for reader in self._readers.values():
                reader.tend(time.monotonic())
            self._wait_for_new_frames(until_s=time.monotonic() + 0.5 / self.rate_hz)
            yield self._set(time.monotonic())
            next_s = max(next_s + 1.0 / self.rate_hz, time.monotonic())  # late once is not late for ever
            self._stop.wait(max(next_s - time.monotonic(), 0.0))

    def _wait_for_new_frames(self, until_s: float) -> None:
        """Cameras are not in step with us: one whose frame is a moment away is not late yet."""
        while time.monotonic() < until_s and any(r.awaited for r in self._readers.values()):
            self._stop.wait(0.002)

    def _set(self, now_s: float) -> FrameSet:
        newest_s = [own_s for reader in self._readers.values() if (own_s := reader.newest_s()) is not None]
        t = shared_time_s(newest_s, now_s, self._last, 1.0 / self.rate_hz)
        self._last = (t, now_s)
        taken = {view: reader.take(t) for view, reader in self._readers.items()}
        frames = {view: frame for view, frame in taken.items() if frame is not None}
        absent = {view: r.why_absent(now_s) for view, r in self._readers.items() if view not in frames}
        said = [f"{view}: {what}" for view, reader in self._readers.items() for what in tuple(reader.said)]
        self.problems.extend(line for line in said if line not in self.problems)
        news = [f"{view}: {what}" for view, reader in self._readers.items() for what in reader.news(now_s)]
        return FrameSet(frames, t, absent=absent, news=tuple(news))

    def close(self) -> None:
        self._stop.set()
        for reader in self._readers.values():
            reader.stop()
        until_s = time.monotonic() + CLOSE_S
        for reader in self._readers.values():
            reader.join(until_s)
