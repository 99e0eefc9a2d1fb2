"""One video file per view, put together by the time stamps in their containers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from codriver.arrays import Image
from codriver.errors import SourceError
from codriver.sources.base import FrameSet

DEFAULT_RATE_HZ = 15.0  # for a container that does not tell its rate


class Videos:
    """Frames of several files whose clocks start together. Each step holds the frames of one instant.

    Files may differ in rate and length: a slow view is in fewer steps, one that ended is absent from then on.
    """

    live = False

    def __init__(self, paths: Mapping[str, str | Path]) -> None:
        self.problems: list[str] = []
        self.truth: Mapping[str, str] = {}
        self.views = tuple(paths)
        self.name = " ".join(Path(path).name for path in paths.values())
        self._files: dict[str, _File] = {}
        try:
            for view, path in paths.items():
                self._files[view] = _File(view, Path(path))
        except SourceError:
            self.close()
            raise
        self.rate_hz = max(file.rate_hz for file in self._files.values())
        counts = [round(file.frames / file.rate_hz * self.rate_hz) for file in self._files.values()]
        self.length: int | None = max(counts) or None

    def __iter__(self) -> Iterator[FrameSet]:
        while True:
            waiting = {view: file for view, file in self._files.items() if file.fill()}
            if not waiting:
                return
            now_s = min(file.t for file in waiting.values())
            ended = self._ended_before(now_s)
            together = {v: f for v, f in waiting.items() if f.t - now_s < 0.5 / self.rate_hz}
            yield FrameSet({view: file.take() for view, file in together.items()}, now_s, None, ended)

    def _ended_before(self, now_s: float) -> dict[str, str]:
        """Views whose file ended clearly before the others: not just for having the slower rate."""
        ended = {
            view: f"{file.path.name} ended at {file.t:.2f} s"
            for view, file in self._files.items()
            if file.frame is None and now_s - file.t > 1.5 / file.rate_hz
        }
        said = [f"{view}: {why}" for view, why in ended.items()]
        self.problems.extend(line for line in said if line not in self.problems)
        return ended

    def close(self) -> None:
        for file in self._files.values():
            file.close()

    def __enter__(self) -> Videos:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _File:
    """One video, one frame ahead. `frame` is the next one, None after the end; `t` is the newest's time."""

    def __init__(self, view: str, path: Path) -> None:
        import cv2

        if not path.is_file():
            raise SourceError(f"view {view!r}: there is no file {path}; check the path")
        self.path = path
        self._capture: Any = cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise SourceError(f"view {view!r}: {path} is no video that this OpenCV decodes; convert it")
        rate_hz = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.rate_hz = rate_hz if 0.1 < rate_hz < 1000.0 else DEFAULT_RATE_HZ
        self.frames = max(int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
        self.frame: Image | None = None
        self.t = 0.0
        self._count = 0
        self._ended = False
        if not self.fill():
            raise SourceError(f"view {view!r}: {path} holds no frame that can be decoded; is it cut off?")

    def fill(self) -> bool:
        """Have a frame waiting. False at the end."""
        import cv2

        if self.frame is None and not self._ended:
            came, frame = self._capture.read()
            if came:
                stamp_s = float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000.0
                # Some containers carry no time stamps, and OpenCV then says 0 for ever: count frames instead.
                self.t = stamp_s if self._count == 0 or stamp_s > self.t else self.t + 1.0 / self.rate_hz
                self._count += 1
                self.frame = frame
            self._ended = not came
        return self.frame is not None

    def take(self) -> Image:
        assert self.frame is not None
        frame, self.frame = self.frame, None
        return frame

    def close(self) -> None:
        self._capture.release()
