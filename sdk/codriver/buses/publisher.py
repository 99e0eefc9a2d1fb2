"""The latest values go out in a thread of their own: whoever hands them over never waits for whoever reads them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Protocol

FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0  # between two attempts to connect; each one waits twice as long as the last
CLOSE_S = 0.5  # for what is being sent at the end
MOST = 128  # values that wait; 8 s of steps at 15 a second, which is longer than the longest wait


class Connection(Protocol):
    def send(self, values: Mapping[Any, Any]) -> None:
        """All of them, or an error of any kind: the connection is closed then, and opened anew."""

    def close(self) -> None: ...


class Publisher:
    """`put` values by key; of those with one key the newest wins. `add` is for those that must all be seen, in order.

    `tell` hears of a peer that is lost, and back. Of what waits beyond MOST the oldest is lost.
    A peer that is lost is asked for again and again at growing distances. Nothing is sent twice: what was lost is old.
    stale: what is sent once when nothing was put for `stale_s`.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], Connection],
        tell: Callable[[str], object],
        stale: Mapping[Hashable, Any] | None = None,
        stale_s: float | None = None,
    ) -> None:
        self.lost = 0  # values
        self._added = 0
        self._name, self._connect, self._tell = name, connect, tell
        self._stale, self._stale_s = stale or {}, stale_s
        self._silence_s: float | None = None  # until nothing new is told; None: it was, or nothing was ever put
        self._pending: dict[Hashable, Any] = {}
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"codriver {name}", daemon=True)
        self._thread.start()

    def put(self, values: Mapping[Any, Any]) -> None:
        with self._changed:
            self._pending.update(values)
            while len(self._pending) > MOST:
                del self._pending[next(iter(self._pending))]
                self.lost += 1
            self._changed.notify()

    def add(self, value: Any) -> None:
        self._added += 1
        self.put({self._added: value})

    def close(self) -> None:
        """What was put is sent if the peer takes it at once; a peer that hangs is left behind."""
        self._closing.set()
        with self._changed:
            self._changed.notify()
        self._thread.join(CLOSE_S)

    def _run(self) -> None:
        connection: Connection | None = None
        wait_s, told = FIRST_WAIT_S, False
        while (values := self._taken()) is not None:
            try:
                connection = connection or self._connect()
                connection.send(values)
                if told:
                    self._tell(f"{self._name} is back; {self.lost} values were lost so far")
                wait_s, told = FIRST_WAIT_S, False
            except Exception as error:  # of a library and a peer that we know little of
                self.lost += len(values)
                if not told:
                    why = " ".join(str(error).split()) or type(error).__name__
                    self._tell(f"{self._name} is lost ({why}); asked for again until it is there")
                _close(connection)
                told, connection = True, None
                self._closing.wait(wait_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
        _close(connection)

    def _taken(self) -> dict[Hashable, Any] | None:
        """What is to be sent now; None at the end."""
        with self._changed:
            silent = not self._changed.wait_for(lambda: self._pending or self._closing.is_set(), self._silence_s)
            values = dict(self._stale) if silent else self._pending
            self._silence_s = None if silent else self._stale_s  # stale is told once
            self._pending = {}
            return values or None


def _close(connection: Connection | None) -> None:
    if connection is not None:
        try:
            connection.close()
        except Exception:  # of something that is broken already
            return
