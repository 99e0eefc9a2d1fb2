"""What happens on the road as log lines: states, cameras, engines, missed deadlines. Never what a task answered.

    journal = Journal()  # to the logger "codriver"; log_file(path) is a handler for it
    journal(perceiver.step(frames))

A fault that lasts, or comes and goes at every step, does not fill the disk: beyond three a minute, lines that are alike
are counted instead, and the next one says how many there were.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from logging.handlers import RotatingFileHandler
from typing import Any

from codriver.percept import Percept

LEVELS = {"init": logging.INFO, "ok": logging.INFO, "degraded": logging.WARNING, "invalid": logging.ERROR}
Key = tuple[str, ...]
Event = tuple[Key, int, str, dict[str, Any]]  # what it is like, level, sentence, fields


class Journal:
    """Call it with every percept; as `on_percept` of a PerceiverWorker, or beside a sink of your own.

    logger: where lines go. At most `burst` lines that are alike within `repeat_s`. clock: seconds.
    """

    def __init__(
        self,
        logger: logging.Logger | None = None,
        repeat_s: float = 60.0,
        burst: int = 3,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logger = logger or logging.getLogger("codriver")
        self._repeat_s, self._burst, self._clock = repeat_s, burst, clock
        self._state, self._model = "", ""
        self._views: dict[str, str] = {}
        self._told_s: dict[Key, deque[float]] = {}  # few: states, cameras times statuses, and three more
        self._silent: dict[Key, int] = {}

    def __call__(self, percept: Percept) -> None:
        for key, level, sentence, fields in self._events(percept):
            self._tell(key, level, sentence, fields | {"t": percept.t, "sequence": percept.sequence})

    def _events(self, percept: Percept) -> Iterator[Event]:
        fields: dict[str, Any]
        if percept.model != self._model:
            self._model = percept.model
            yield ("model",), logging.INFO, f"answering: {percept.model}", {"model": percept.model}
        for reason in percept.reasons:
            if reason.startswith("now "):  # of a swap: see Perceiver.swap
                yield ("swap",), logging.INFO, reason, {}
        for view, status in percept.views.items():
            if status.status != self._views.get(view):
                self._views[view] = status.status
                level = logging.INFO if status.status in ("ok", "never") else logging.WARNING
                fields = {"view": view, "status": status.status, "reason": status.reason}
                yield ("view", view, status.status), level, f"camera {view}: {status.status}", fields
        if percept.state != self._state:
            self._state = percept.state
            fields = {"state": percept.state, "reasons": list(percept.reasons[:4])}
            yield ("state", percept.state), LEVELS[percept.state], f"state: {percept.state}", fields
        if percept.missed:
            fields = {"latency_ms": percept.latency_ms.get("total")}
            yield ("missed",), logging.WARNING, "a step missed its deadline", fields

    def _tell(self, key: Key, level: int, sentence: str, fields: dict[str, Any]) -> None:
        now_s = self._clock()
        told_s = self._told_s.setdefault(key, deque(maxlen=self._burst))
        if len(told_s) == self._burst and now_s - told_s[0] < self._repeat_s:
            self._silent[key] = self._silent.get(key, 0) + 1
            return
        told_s.append(now_s)
        event = {"event": key[0], **fields, "suppressed": self._silent.pop(key, 0)}
        self._logger.log(level, sentence, extra={"codriver": event})


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, sentence, and the event's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        head = {"time": f"{moment}.{int(record.msecs):03d}Z", "level": record.levelname, "message": record.getMessage()}
        return json.dumps(head | getattr(record, "codriver", {}), allow_nan=False)


def log_file(path: str | os.PathLike[str], limit_mb: float = 10.0, keep: int = 3) -> logging.Handler:
    """A handler that writes JSON lines to `path`, and never more than limit_mb times keep + 1 in all."""
    handler = RotatingFileHandler(path, maxBytes=int(limit_mb * 1e6), backupCount=keep, encoding="utf-8")
    handler.setFormatter(JsonLines())
    return handler
