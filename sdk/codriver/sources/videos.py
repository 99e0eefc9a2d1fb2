"""One video file per view, put together by the time stamps in their containers."""

from __future__ import annotations

import math
import os
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from codriver.arrays import Image
from codriver.device.closing import Closing
from codriver.errors import SourceError
from codriver.percept import Frame
from codriver.sources.base import FrameSet
from codriver.sources.stamps import Stamps

DEFAULT_RATE_HZ = 15.0  # for a container that does not tell its rate
TOGETHER_S = 0.02  # frames further apart than this are of two instants: a step takes none that is 25 ms off
AHEAD = 3  # frames that are read ahead, to know a wrong time stamp by those that follow
HOLE = 300  # frames in a row that cannot be decoded, after which nothing more is expected of a file
CODECS = {"av01": "AV1", "hevc": "H.265", "hvc1": "H.265", "hev1": "H.265", "vp90": "VP9", "h264": "H.264"}


class Videos(Closing):
    """Frames of several files, whose containers' clocks are one. Each step holds the frames of one instant.

    Files may differ in rate, start and length: a slow view is in fewer steps, one that ended is absent from then on.
    """

    live = False

    def __init__(self, paths: Mapping[str, str | Path]) -> None:
        self.problems: list[str] = []
        self.truth: Mapping[str, str] = {}
        self.views = tuple(paths)
        self._files: dict[str, _File] = {}
        try:
            for view, path in paths.items():
                self._files[view] = _File(view, Path(path))
        except SourceError:
            self.close()
            raise
        files = self._files.values()
        self.name = " ".join(file.name for file in files)
        self.rate_hz = max(file.rate_hz for file in files)
        self._align()
        counts = [round((file.offset_s + file.frames / file.rate_hz) * self.rate_hz) for file in files if file.frames]
        self.length: int | None = max(counts, default=0) or None

    def _align(self) -> None:
        """By the times at which their containers say that they start, if they tell and overlap at all."""
        files = list(self._files.values())
        starts_s = [file.start_s for file in files if file.start_s is not None]
        if len(files) > 1 and len(starts_s) < len(files):
            what = "this OpenCV does not tell when a file starts (4.11 does)"
            self.problems.append(f"{what}: all are taken to start together")
        elif max(starts_s, default=0.0) >= min(file.promised_end_s for file in files):
            self.problems.append("by their containers' times these files do not overlap: taken to start together")
        else:
            for file, start_s in zip(files, starts_s, strict=False):
                file.offset_s = start_s - min(starts_s)

    def __iter__(self) -> Iterator[FrameSet]:
        while True:
            waiting = {view: file for view, file in self._files.items() if file.fill()}
            self._report(
                [f"{view}: {file.name}: {what}" for view, file in self._files.items() for what in file.problems]
            )
            if not waiting:
                return
            now_s = min(file.t for file in waiting.values())
            ended = self._ended_before(now_s)
            self._report([f"{view}: {why}" for view, why in ended.items()])
            apart_s = min(0.5 / self.rate_hz, TOGETHER_S)
            together = {v: f for v, f in waiting.items() if f.t - now_s < apart_s}
            yield FrameSet({view: file.take() for view, file in together.items()}, now_s, None, ended)

    def _ended_before(self, now_s: float) -> dict[str, str]:
        """Views whose file ended clearly before the others: not just for having the slower rate."""
        return {
            view: f"{file.name} ended at {file.t:.2f} s"
            for view, file in self._files.items()
            if file.frame is None and now_s - file.t > 1.5 / file.rate_hz
        }

    def _report(self, said: list[str]) -> None:
        self.problems.extend(line for line in said if line not in self.problems)

    def close(self) -> None:
        for file in self._files.values():
            file.close()


class _File:
    """One video, a few frames ahead. `frame` is the next one, None after the end; `t` is the newest's time."""

    def __init__(self, view: str, path: Path) -> None:
        import cv2

        self.name = os.fsencode(path.name).decode(errors="backslashreplace")
        if not path.is_file():
            raise SourceError(f"view {view!r}: there is no file {path}; check the path")
        self._descriptor: int | None = None
        self._capture: Any = cv2.VideoCapture(self._openable(path))
        self._capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)  # versions differ in whether they do it: see _upright
        if not self._capture.isOpened():
            self.close()
            raise SourceError(f"view {view!r}: {path} is no video that this OpenCV decodes; convert it")
        rate_hz = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.rate_hz = rate_hz if 0.1 < rate_hz < 1000.0 else DEFAULT_RATE_HZ
        self.frames = max(int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)  # that the container promises
        self.frame: Image | None = None
        self.t = 0.0
        self.start_s: float | None = None  # by the container's clock, which may have begun long before
        self.offset_s = 0.0  # to add to this file's times, for those of all files to be of one clock
        self.problems: list[str] = []
        self._stamps = Stamps(self.rate_hz)
        self._ahead: deque[tuple[float, Image]] = deque()
        self._tried = self._count = self._lost = self._failed = 0
        self._ended = False
        if not self._read():
            why = self._why_no_frame()
            self.close()
            raise SourceError(f"view {view!r}: {path}{why}")
        if hasattr(cv2, "CAP_PROP_PTS"):
            self.start_s = float(self._capture.get(cv2.CAP_PROP_PTS)) / self.rate_hz

    def _openable(self, path: Path) -> str:
        """OpenCV takes names that are UTF-8."""
        try:
            path.as_posix().encode()
        except UnicodeEncodeError:
            if sys.platform != "linux":
                raise SourceError(f"{path}: its name is not UTF-8; rename it") from None
            self._descriptor = os.open(path, os.O_RDONLY)
            return f"/proc/self/fd/{self._descriptor}"
        return str(path)

    def _why_no_frame(self) -> str:
        import cv2

        letters = int(self._capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little", signed=True)
        code = letters.decode("ascii", "replace").strip("\0 ").lower()
        codec = f"{CODECS[code]} ({code})" if code in CODECS else code or "a codec that is not told"
        return (
            f" is {codec}, and this OpenCV decodes no frame of it: it is cut off, or there is no decoder for it; "
            "convert it: ffmpeg -i IN -c:v libx264 OUT.mp4"
        )

    def fill(self) -> bool:
        """Have a frame waiting. False at the end."""
        while len(self._ahead) <= AHEAD and self._read():
            pass
        if self.frame is None and self._ahead:
            stamp_s, self.frame = self._ahead.popleft()
            self.t = self.offset_s + self._stamps.time_s(stamp_s, [after_s for after_s, _ in self._ahead])
            self.problems += [said for said in self._stamps.problems if said not in self.problems]
            if self._ended and not self._ahead:
                self.problems += self._shortfall()
        return self.frame is not None

    def _read(self) -> bool:
        """One more frame ahead. Behind some that cannot be decoded there may be others."""
        import cv2

        while not self._ended:
            came, frame = self._capture.read()
            self._tried += 1
            if came:
                self._count, self._lost, self._failed = self._count + 1, self._lost + self._failed, 0
                self._ahead.append((float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000.0, self._upright(frame)))
                return True
            self._failed += 1
            self._ended = self._tried >= self.frames or self._failed >= HOLE
        return False

    def _upright(self, frame: Image) -> Image:
        """Turned as its container asks, by phones that were held upright."""
        import cv2

        turns = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
        turn = turns.get(int(self._capture.get(cv2.CAP_PROP_ORIENTATION_META)) % 360)
        return frame if turn is None else np.asarray(cv2.rotate(frame, turn), np.uint8)

    def _shortfall(self) -> list[str]:
        """What the container promised and did not give. Some promise by their length, which includes a late start."""
        said, promised_s = [], self.frames / self.rate_hz
        end_s = self.t - self.offset_s + (self.start_s or 0.0) + 1.0 / self.rate_hz
        if promised_s - end_s > 1.5 / self.rate_hz and not self._stamps.problems:  # a promise may rest on a wrong stamp
            what = f"its container promises {self.frames} frames ({promised_s:.2f} s)"
            said.append(f"{what} and gives {self._count}, until {end_s:.2f} s: is it cut off?")
        if self._lost:
            said.append(f"{self._lost} frames within it cannot be decoded: is it damaged?")
        return said

    @property
    def promised_end_s(self) -> float:
        """By the container's clock; endless if it does not say."""
        return (self.start_s or 0.0) + self.frames / self.rate_hz if self.frames else math.inf

    def take(self) -> Frame:
        assert self.frame is not None
        frame, self.frame = Frame(self.frame, self.t, "container"), None
        return frame

    def close(self) -> None:
        self._capture.release()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
