"""Talking to whoever started the command: lines, tables, and a progress bar where somebody watches."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from codriver.errors import ConfigError

QUIET_S = 2.0  # what is done by then needs no bar
WIDTH = 28


def say(text: str = "") -> None:
    """A line for people, on stderr: stdout is for the result. Nothing is raised where nobody listens."""
    if sys.stderr is not None:
        with suppress(OSError):
            sys.stderr.write(text + "\n")


def put(text: str) -> None:
    """A line of the result. A BrokenPipeError if the reader went away, a ConfigError if it cannot be written."""
    if sys.stdout is None:
        raise ConfigError("stdout is closed, and the result goes there; redirect it to a file, or to /dev/null")
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        leave_stdout()
        raise ConfigError(f"stdout cannot be written: {error.strerror}; free some room, or write elsewhere") from error


def leave_stdout() -> None:
    """Give up on what stdout could not take: Python would complain of it once more when it closes it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def put_json(content: Mapping[str, Any]) -> None:
    put(json.dumps(content, indent=1, allow_nan=False))


def put_result(content: Mapping[str, Any], lines: Iterable[str], as_json: bool) -> None:
    """A command's result, for a program or for people."""
    put_json(content) if as_json else put("\n".join(lines))


def table(rows: Sequence[Sequence[str]], numbers_from: int | None = None) -> list[str]:
    """Lines with aligned columns; from column `numbers_from` on they are aligned at the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) if rows else 0)]
    right = len(widths) if numbers_from is None else numbers_from
    return [
        "  ".join(cell.rjust(w) if at >= right else cell.ljust(w) for at, (cell, w) in cells).rstrip()
        for cells in (enumerate(zip(row, widths, strict=True)) for row in rows)
    ]


class Progress:
    """A bar on stderr, from the second second on, and only on a terminal.

    with Progress("clip 0001", total=45) as progress:
        progress.step()
    """

    def __init__(self, what: str, total: int | None) -> None:
        self.what, self.total, self.count = what, total, 0
        self._start_s = self._shown_s = time.monotonic()
        self._width = 0

    def step(self, count: int = 1) -> None:
        self.count += count
        now_s = time.monotonic()
        if not sys.stderr.isatty() or now_s - self._start_s < QUIET_S or now_s - self._shown_s < 0.1:
            return
        self._shown_s = now_s
        rate = f"{self.count / (now_s - self._start_s):.1f}/s"
        if self.total:
            done = round(WIDTH * min(self.count / self.total, 1.0))
            self._show(f"{self.what}  {'━' * done}{'·' * (WIDTH - done)}  {self.count}/{self.total}  {rate}")
        else:
            self._show(f"{self.what}  {self.count}  {rate}")

    def _show(self, line: str) -> None:
        sys.stderr.write("\r" + line.ljust(self._width))
        sys.stderr.flush()
        self._width = len(line)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        if self._width:
            self._show("")
            sys.stderr.write("\r")
