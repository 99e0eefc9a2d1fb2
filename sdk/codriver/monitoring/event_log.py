"""What happens on the road as log lines: states, cameras, engines, missed deadlines. Never what a task answered.

    log = EventLog()  # to the logger "codriver"; log_file(path) is a handler for it
    log(perceiver.step(frames))

A fault that lasts, or comes and goes at every step, does not fill the disk: of lines that are alike three are written
at once and then one a minute, which says how many were not. How things stand in the end is always told, a minute later
at most, and close() tells the counts that are left.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from logging.handlers import RotatingFileHandler
from typing import Any

from codriver.percept import CAMERA, Percept

LEVELS = {"init": logging.INFO, "ok": logging.INFO, "degraded": logging.WARNING, "invalid": logging.ERROR}
LEVELS_OF_EVENTS = {"swapped": logging.INFO, "failed": logging.ERROR, "hangs": logging.ERROR}  # others: WARNING
Key = tuple[str, ...]
Line = tuple[Key, int, str, dict[str, Any]]  # what it is like, level, sentence, fields


class EventLog:
    """Call it with every percept; as `on_percept` of a PerceiverWorker, or beside a sink of your own.

    logger: where lines go. Of lines that are alike `burst` at once, then one every `repeat_s`. clock: seconds.
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
        self._seen: dict[str, str] = {}  # "state", "model" or a camera -> how it was in the last percept
        self._told: dict[str, str] = {}  # the same, as the log has it: what came too often is told later
        self._free_s: dict[Key, float] = {}  # when all of a key's lines are free again; few keys
        self._silent: dict[Key, int] = {}

    def __call__(self, percept: Percept) -> None:
        common = {"t": percept.t, "sequence": percept.sequence}
        for subject, now, event in _standings(percept):
            changed = self._seen.get(subject) != now
            self._seen[subject] = now
            if (changed or self._told.get(subject) != now) and self._tell(event, common, counts=changed):
                self._told[subject] = now
        for event in _happenings(percept):
            self._tell(event, common)

    def close(self) -> None:
        """Tell how many lines were not written since the last of their kind."""
        for key, count in self._silent.items():
            event = {"event": key[0], "of": list(key[1:]), "suppressed": count}
            self._logger.log(logging.INFO, f"{count} more like: {' '.join(key)}", extra={"codriver": event})
        self._silent.clear()

    def _tell(self, event: Line, common: dict[str, Any], *, counts: bool = True) -> bool:
        """Whether it was written. counts: if it was not, whether it is one more that was not."""
        key, level, sentence, fields = event
        now_s = self._clock()
        free_s = max(self._free_s.get(key, now_s), now_s)
        if free_s - now_s > (self._burst - 1) * self._repeat_s:
            self._silent[key] = self._silent.get(key, 0) + counts
            return False
        self._free_s[key] = free_s + self._repeat_s
        told = {"event": key[0], **fields, **common, "suppressed": self._silent.pop(key, 0)}
        self._logger.log(level, sentence, extra={"codriver": told})
        return True


def _standings(percept: Percept) -> Iterator[tuple[str, str, Line]]:
    """What lasts: subject, how it is, and what to say when that is new."""
    fields: dict[str, Any] = {"model": percept.model}
    yield "model", percept.model, (("model",), logging.INFO, f"answering: {percept.model}", fields)
    for view, status in percept.views.items():
        level = logging.INFO if status.status in ("ok", "never") else logging.WARNING
        fields = {"view": view, "status": status.status, "reason": status.reason}
        yield view, status.status, (("view", view, status.status), level, f"camera {view}: {status.status}", fields)
    fields = {"state": percept.state, "reasons": list(percept.reasons[:4])}
    event = ("state", percept.state), LEVELS[percept.state], f"state: {percept.state}", fields
    yield "state", percept.state, event


def _happenings(percept: Percept) -> Iterator[Line]:
    """What is of one step alone."""
    for event in percept.events:
        level = LEVELS_OF_EVENTS.get(event.kind, logging.WARNING)
        yield (CAMERA if event.kind == CAMERA else "engine", event.kind), level, event.text, {"kind": event.kind}
    if percept.deadline_missed:
        fields = {"latency_ms": percept.latency_ms.get("total")}
        yield ("missed",), logging.WARNING, "a step missed its deadline", fields


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
