"""Tell systemd how the service is: a datagram to the socket that it names. Without one nothing is told."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress

from codriver.percept import Percept

STATUS_S = 1.0  # between two lines of `systemctl status`
WORDS = {"init": "starting", "ok": "all is well", "degraded": "something is missing", "invalid": "no answers"}


class Notify:
    """`step` after each step that ended, and never else: a watchdog that a thread of its own feeds hides a hang."""

    def __init__(self) -> None:
        name = os.environ.pop("NOTIFY_SOCKET", "")  # not for what we start
        self._address = "\0" + name[1:] if name.startswith("@") else name
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if name else None
        self._ready = False
        self._told_s = float("-inf")

    def tell(self, *lines: str) -> None:
        if self._socket is not None:
            with suppress(OSError):  # systemd's fault, or its end; answers go on
                self._socket.sendto("\n".join(lines).encode(), self._address)

    def step(self, percept: Percept) -> None:
        lines = ["WATCHDOG=1"]
        if not self._ready:
            self._ready = True
            lines.append("READY=1")
        now_s = time.monotonic()
        if now_s - self._told_s >= STATUS_S:
            self._told_s = now_s
            why = f": {percept.reasons[0]}" if percept.reasons else ""
            lines.append(f"STATUS=step {percept.sequence}, {WORDS[percept.state]}{why}")
        self.tell(*lines)

    def reloaded(self, what: str) -> None:
        self.tell("READY=1", f"STATUS={what}")
        self._told_s = time.monotonic()  # to be read for a while

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
