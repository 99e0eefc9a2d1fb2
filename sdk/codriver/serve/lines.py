"""Percepts as JSON lines in a file that does not grow for ever. A disk that is full loses lines, not the service."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from codriver.console import say
from codriver.device.closing import Closing
from codriver.errors import ConfigError
from codriver.percept import Percept


class PerceptLines(Closing):
    """Appends; each line is whole, or the next one begins after it. limit_mb: of the file and the one before it."""

    def __init__(self, path: Path, limit_mb: float) -> None:
        self.problem = ""  # why lines are lost now
        self._path, self._limit_bytes = path, limit_mb * 1e6 / 2
        try:
            self._file: BinaryIO = self._opened()
        except OSError as error:
            raise ConfigError(f"percepts.path {path}: cannot be written ({error.strerror}); give another") from error

    def send(self, values: Mapping[int, Percept]) -> None:
        """As a connection of a Publisher: a disk that hangs holds up no step."""
        for percept in values.values():
            before = self.problem
            self.add(percept)
            if self.problem and self.problem != before:
                say(f"codriver: {self.problem}")

    def add(self, percept: Percept) -> None:
        line = json.dumps(percept.to_dict(), allow_nan=False, separators=(",", ":")).encode() + b"\n"
        try:
            if not self._file.closed and 0 < self._file.tell() > self._limit_bytes - len(line):
                self._file.close()
                self._path.replace(self._path.with_name(self._path.name + ".1"))
            if self._file.closed:
                self._file = self._opened()
            if self._file.write(line) != len(line):
                raise OSError(0, "the disk is full")
            self.problem = ""
        except OSError as error:
            self.problem = f"{self._path}: percepts are lost ({error.strerror})"
            with suppress(OSError):
                self._file.close()

    def _opened(self) -> BinaryIO:
        file = self._path.open("ab", buffering=0)
        if file.tell() > 0 and _last_byte(self._path) != b"\n":  # the power went
            file.write(b"\n")
        return file

    def close(self) -> None:
        self._file.close()


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1)
