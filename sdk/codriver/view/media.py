"""Pictures and MP4 files, written whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from codriver.arrays import Image
from codriver.errors import ConfigError
from codriver.files.atomic import whole_file


class Video(Protocol):
    def add(self, image: Image) -> None: ...


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
        video = _Mp4(temporary, rate_hz)
        try:
            yield video
        finally:
            video.close()
        if not temporary.exists():
            raise ConfigError(f"{path}: nothing to write, the source gave no frame; check the source")


class _Mp4:
    def __init__(self, path: Path, rate_hz: float) -> None:
        self._path, self._rate_hz = path, rate_hz
        self._writer: Any = None

    def add(self, image: Image) -> None:
        import cv2

        if self._writer is None:
            codec = cv2.VideoWriter_fourcc(*"mp4v")  # type: ignore[attr-defined, unused-ignore]
            size = (image.shape[1], image.shape[0])
            self._writer = cv2.VideoWriter(str(self._path), codec, self._rate_hz, size)
            if not self._writer.isOpened():
                raise ConfigError(f"{self._path}: this OpenCV cannot write MP4 there; check the folder, or its build")
        self._writer.write(image)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.release()
