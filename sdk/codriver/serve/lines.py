"""Percepts as JSON lines in a file that does not grow for ever, or in a named pipe. A full disk loses lines alone."""

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
            size = 0 if self._file.closed or not self._file.seekable() else self._file.tell()
            if 0 < size > self._limit_bytes - len(line):
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
        file = self._path.open("a+b", buffering=0)  # of a pipe that nobody reads yet, "ab" would wait for a reader
        if file.seekable() and file.tell() > 0:
            file.seek(-1, 2)
            if file.read(1) != b"\n":  # the power went
                file.write(b"\n")
        return file

    def close(self) -> None:
        self._file.close()
