"""Live cameras: the newest frame of each, at a steady pace."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from codriver.arrays import Image
from codriver.errors import BackendMissing, SourceError
from codriver.sources.base import FrameSet
from codriver.sources.spelling import Camera

RATE_HZ = 15.0  # what the model was trained with; cameras may run faster
START_S = 10.0  # a USB camera takes up to a few seconds to its first frame
RETRY_S = 1.0  # between two attempts to reopen a camera that went away


class Cameras:
    """One reader thread per camera, so that a stalled camera blocks nobody.

    A camera without a new frame is absent from the step, and `absent` says why. One that was unplugged is
    tried again every second. t is time.monotonic(). open_camera: index, path or address -> a capture.
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
            _check_pipelines(described)
        self.name = " ".join(f"{view}={camera}" for view, camera in described.items())
        self.views = tuple(cameras)
        self.rate_hz = rate_hz
        self.truth: Mapping[str, str] = {}
        self.problems: list[str] = []
        self._stop = threading.Event()
        self._readers = {view: _Reader(view, camera, open_camera, self._stop) for view, camera in described.items()}
        for reader in self._readers.values():
            reader.thread.start()
        self._wait_for_first_frame()

    def _wait_for_first_frame(self) -> None:
        """Until every camera has shown a frame or failed. A SourceError if all of them failed."""
        end_s = time.monotonic() + START_S
        while time.monotonic() < end_s and not all(r.known for r in self._readers.values()):
            time.sleep(0.01)
        if not any(reader.newest for reader in self._readers.values()):
            self.close()
            why = "; ".join(f"{view}: {reader.why_absent()}" for view, reader in self._readers.items())
            raise SourceError(f"no camera gave a frame: {why}; `v4l2-ctl --list-devices` lists them")

    def __iter__(self) -> Iterator[FrameSet]:
        next_s = time.monotonic()
        while not self._stop.is_set():
            self._wait_for_new_frames(until_s=time.monotonic() + 0.5 / self.rate_hz)
            taken = {view: reader.take() for view, reader in self._readers.items()}
            frames = {view: frame for view, frame in taken.items() if frame is not None}
            absent = {view: self._readers[view].why_absent() for view in taken if view not in frames}
            self._report()
            yield FrameSet(frames, time.monotonic(), None, absent)
            next_s = max(next_s + 1.0 / self.rate_hz, time.monotonic())  # late once is not late for ever
            self._stop.wait(max(next_s - time.monotonic(), 0.0))

    def _wait_for_new_frames(self, until_s: float) -> None:
        """Cameras are not in step with us: one whose frame is a moment away is not late yet."""
        while time.monotonic() < until_s and any(r.awaited for r in self._readers.values()):
            self._stop.wait(0.002)

    def _report(self) -> None:
        said = [f"{view}: {why}" for view, reader in self._readers.items() for why in tuple(reader.failures)]
        self.problems.extend(line for line in said if line not in self.problems)

    def close(self) -> None:
        self._stop.set()
        for reader in self._readers.values():
            reader.thread.join(timeout=2.0)  # a camera that hangs in its driver must not hang the program

    def __enter__(self) -> Cameras:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class _Reader:
    """Reads one camera as fast as it delivers and keeps the newest frame alone."""

    def __init__(
        self, view: str, camera: Camera, open_camera: Callable[[int | str], Any] | None, stop: threading.Event
    ) -> None:
        self.view = view
        self.camera = camera
        self.where = str(camera)
        self.newest: tuple[Image, float] | None = None  # frame, when it came
        self.failure = ""  # why it does not deliver now
        self.failures: list[str] = []  # all that there have been, even between steps
        self._open = open_camera
        self._stop = stop
        self._taken_s = float("-inf")
        self.thread = threading.Thread(target=self._run, name=f"codriver-camera-{view}", daemon=True)

    @property
    def known(self) -> bool:
        return self.newest is not None or bool(self.failure)

    @property
    def awaited(self) -> bool:
        """It delivers, but nothing new is here yet."""
        return not self.failure and (self.newest is None or self.newest[1] <= self._taken_s)

    def take(self) -> Image | None:
        """The newest frame, unless it was taken before."""
        newest = self.newest
        if newest is None or newest[1] <= self._taken_s:
            return None
        self._taken_s = newest[1]
        return newest[0]

    def why_absent(self) -> str:
        if self.failure:
            return self.failure
        if self.newest is None:
            return f"camera {self.where} has not sent a frame yet"
        return f"camera {self.where} has sent nothing new for {time.monotonic() - self.newest[1]:.1f} s"

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                why = self._read_until_it_fails()
            except Exception as error:  # nobody to raise to in a thread: the view is absent
                why = f"failed: {error}"
            if not self._stop.is_set():
                self.failure = self._say(why)
            self._stop.wait(RETRY_S)

    def _say(self, why: str) -> str:
        said = f"camera {self.where} {why}"
        if said not in self.failures:
            self.failures.append(said)
        return said

    def _read_until_it_fails(self) -> str:
        capture = _opened(self.camera) if self._open is None else self._open(self.camera.where)
        try:
            if not capture.isOpened():
                return "cannot be opened"
            for setting in _refused(self.camera, capture):
                self._say(setting)
            while not self._stop.is_set():
                came, frame = capture.read()
                if not came:
                    return "stopped sending"
                if frame is None:  # some drivers call this a frame
                    self._say("handed out an empty frame")
                    self._stop.wait(0.01)
                    continue
                self.newest, self.failure = (frame, time.monotonic()), ""
            return ""
        finally:
            capture.release()


def _opened(camera: Camera) -> Any:
    import cv2

    if camera.pipeline:
        return cv2.VideoCapture(camera.where, cv2.CAP_GSTREAMER)
    asked = _asked(camera)
    if not asked:
        return cv2.VideoCapture(camera.where)
    capture = cv2.VideoCapture(camera.where, cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY)
    for _, number, value in asked:
        capture.set(number, value)
    return capture


def _asked(camera: Camera) -> list[tuple[str, int, float]]:
    """What is asked of a camera, in the order in which drivers take it: its name, OpenCV's number of it, the value."""
    import cv2

    width, height = camera.size_px or (0, 0)
    wishes = [
        ("format", cv2.CAP_PROP_FOURCC, int.from_bytes(camera.format.encode(), "little")),
        ("width", cv2.CAP_PROP_FRAME_WIDTH, width),
        ("height", cv2.CAP_PROP_FRAME_HEIGHT, height),
        ("rate", cv2.CAP_PROP_FPS, camera.rate_hz or 0),
    ]
    return [(name, number, float(value)) for name, number, value in wishes if value]


def _refused(camera: Camera, capture: Any) -> Iterator[str]:
    """What a camera does otherwise than it was asked to: drivers take the nearest they have, without a word."""
    for name, number, value in _asked(camera):
        found = float(capture.get(number))
        if name == "format" and found != value:
            yield f"does not have the format {camera.format}"
        elif abs(found - value) > 0.01 * value:
            yield f"has {name} {found:g}, not {value:g} as asked"


def _check_pipelines(cameras: Mapping[str, Camera]) -> None:
    import cv2

    if not any(camera.pipeline for camera in cameras.values()) or cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        return
    views = ", ".join(view for view, camera in cameras.items() if camera.pipeline)
    raise BackendMissing(
        f"{views}: a GStreamer pipeline, and this OpenCV {cv2.__version__} has no GStreamer, as none of pip's has; "
        "pip uninstall opencv-python-headless, sudo apt install python3-opencv (on a Jetson: libopencv-python), in a "
        "virtual environment made with --system-site-packages: docs/device.md, Cameras"
    )
