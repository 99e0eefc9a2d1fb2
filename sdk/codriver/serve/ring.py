"""Steps recorded as MCAP in a folder that does not grow for ever. A disk that is full loses steps, not the service."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from codriver.errors import ConfigError
from codriver.perceiver import Perceiver
from codriver.percept import Percept
from codriver.recording.writer import Recorder, RecorderConfig
from codriver.serve.config import RecordingConfig
from codriver.sources import FrameSet

RETRY_S = 10.0  # before another attempt to record


class Ring:
    """A folder for each start, and for each bundle that is exchanged: each is one drive, for `codriver replay`.

    Half of the limit is for the newest drive, in which the oldest file goes first, half for all drives before it.
    """

    def __init__(self, folder: Path, config: RecordingConfig, perceiver: Perceiver) -> None:
        self.problem = ""  # why steps are lost now
        self._folder, self._perceiver, self._half_mb = folder, perceiver, config.limit_mb / 2
        kept: dict[str, Any] = {"images": config.images, "width_px": config.width_px, "file_s": config.file_s}
        self._config = RecorderConfig(**kept, limit_mb=self._half_mb, live=True)
        self._model, self._retry_s = "", 0.0
        self._recorder: Recorder | None = self._begun()

    def add(self, at: FrameSet, percept: Percept) -> None:
        if self._recorder is None and time.monotonic() < self._retry_s:
            return
        try:
            if self._recorder is not None and percept.model != self._model:
                self._recorder.close()
                self._recorder = None
            if self._recorder is None:
                self._recorder = self._begun()
            self._recorder.add(at.frames, at.driver, percept)
            self.problem = ""
        except ConfigError as error:
            self.problem = f"steps are not recorded: {error}"
            self._retry_s = time.monotonic() + RETRY_S
            self.close()

    def _begun(self) -> Recorder:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            drives = sorted(path for path in self._folder.glob("[0-9]" * 6) if path.is_dir())
            self._make_room(drives)
        except OSError as error:
            raise ConfigError(f"{self._folder}: cannot be recorded to ({error.strerror})") from error
        self._model = self._perceiver.manifest.id
        number = int(drives[-1].name) + 1 if drives else 0
        return Recorder(self._folder / f"{number:06d}", self._perceiver, self._config)

    def _make_room(self, drives: list[Path]) -> None:
        files = [file for drive in drives for file in sorted(drive.glob("codriver-*.mcap"))]
        sizes_mb = [file.stat().st_size / 1e6 for file in files]
        while files and sum(sizes_mb) > self._half_mb:
            files.pop(0).unlink()
            sizes_mb.pop(0)
        for drive in drives:
            with suppress(OSError):  # it holds files
                drive.rmdir()

    def close(self) -> None:
        """End the newest file, so that it is whole."""
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            with suppress(ConfigError):  # of a disk that is full
                recorder.close()
