"""SIGTERM, SIGHUP and Ctrl-C: training finishes its step, leaves a checkpoint and says how to go on."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from workshop.command import ENDING

SAME_SIGNAL_S = 2.0  # torchrun passes Ctrl-C on to processes that the terminal has already told


class Signals:
    """SIGTERM, SIGHUP and Ctrl-C ask to stop after the step; asked again, training ends at once."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._first = 0.0

    def note(self, number: int, _: Any = None) -> None:
        if self.number is None:
            self.number, self._first = number, time.monotonic()
        elif time.monotonic() - self._first > SAME_SIGNAL_S:
            raise SystemExit(128 + number)


@contextmanager
def noted_signals() -> Iterator[Signals]:
    """Within the block, SIGINT and ENDING are noted instead of obeyed. Only the main thread can do that."""
    signals = Signals()
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return
    obeyed = [number for number in (signal.SIGINT, *ENDING) if signal.getsignal(number) != signal.SIG_IGN]  # nohup
    before = {number: signal.signal(number, signals.note) for number in obeyed}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
