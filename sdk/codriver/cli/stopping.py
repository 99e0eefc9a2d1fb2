"""How a command is stopped: Ctrl-C, systemd's SIGTERM, and SIGHUP of a terminal that goes away are one thing."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
PIPE = 13  # SIGPIPE, which not every system has
KILLED = 128  # what shells add to the number of the signal that ended a command


class Stopped(KeyboardInterrupt):
    """A signal asked for the end. number: which."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class Stop:
    """A signal raises Stopped; in a block that is `finishing`, the first one only sets `asked`.

    There a second Ctrl-C raises. A second SIGTERM or SIGHUP does not: systemd sends both, one right after the other.
    """

    def __init__(self) -> None:
        self.asked = 0  # number of the signal
        self._finishing = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle the signals meanwhile. One that is ignored, as SIGHUP under nohup, stays so."""
        before = {}
        if threading.current_thread() is threading.main_thread():  # nobody else may
            before = {number: signal.getsignal(number) for number in SIGNALS}
        taken = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
        for number in taken:
            signal.signal(number, self._on_signal)
        try:
            yield
        finally:
            for number, handler in taken.items():
                signal.signal(number, handler)

    @contextmanager
    def finishing(self, patient: bool) -> Iterator[None]:
        self._finishing = patient
        try:
            yield
        finally:
            self._finishing = False

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self._finishing or (self.asked and number == signal.SIGINT):
            raise Stopped(number)
        self.asked = self.asked or number


def leave(code: int) -> NoReturn:
    """End the process; all files are closed and whole. What may be left are threads that read a slow or hanging camera.

    An interpreter that takes itself apart beside them aborts when one of them comes back from C++, and takes seconds
    of a busy machine for it.
    """
    if not any(thread.daemon for thread in threading.enumerate()):
        sys.exit(code)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with suppress(OSError):
                stream.flush()
    os._exit(code)
