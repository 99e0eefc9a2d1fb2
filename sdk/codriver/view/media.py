"""Pictures and MP4 files, written whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from codriver.arrays import Image
from codriver.errors import CodriverError, ConfigError
from codriver.files.atomic import whole_file


def write_image(path: Path, image: Image) -> None:
    import cv2

    with whole_file(path) as temporary:
        done, data = cv2.imencode(path.suffix, image)
        assert done, path
        temporary.write_bytes(data.tobytes())


@contextmanager
def video_file(path: Path, rate_hz: float) -> Iterator[Video]:
    """An MP4 to add pictures of one size to. Its codec, MPEG-4 part 2, is in every OpenCV with FFmpeg."""
    with whole_file(path) as temporary:
        video = Video(temporary, rate_hz, path.name)
        try:
            yield video
        finally:
            video.close()
        if not video.count:
            raise ConfigError(f"{path}: nothing to write, the source gave no frame; check the source")
        video.check(path)


class Video:
    """path: that is written to. name: of the file in the end, for messages."""

    def __init__(self, path: Path, rate_hz: float, name: str) -> None:
        self._path, self._rate_hz, self._name = path, rate_hz, name
        self._writer: Any = None
        self.count = 0

    def add(self, image: Image) -> None:
        import cv2

        if self._writer is None:
            codec = cv2.VideoWriter_fourcc(*"mp4v")  # type: ignore[attr-defined, unused-ignore]
            size = (image.shape[1], image.shape[0])
            self._writer = cv2.VideoWriter(str(self._path), codec, self._rate_hz, size)
            if not self._writer.isOpened():
                path = self._path.with_name(self._name)
                raise ConfigError(
                    f"{path}: this OpenCV cannot write MP4 there; is there room, and is it built with FFmpeg?"
                )
        self._writer.write(image)
        self.count += 1

    def check(self, path: Path) -> None:
        """Read the number of pictures back: OpenCV says nothing of a disk that is full."""
        import cv2

        capture = cv2.VideoCapture(str(self._path))
        found = max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0) if capture.isOpened() else 0
        capture.release()
        if found != self.count:
            what = f"{path}: {found} of {self.count} pictures can be read back; is the disk full?"
            raise CodriverError(what, code="disk-full")

    def close(self) -> None:
        if self._writer is not None:
            self._writer.release()
