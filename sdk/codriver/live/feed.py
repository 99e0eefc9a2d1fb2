"""The newest step as a message for all viewers, made once the first of them asks: nobody watches, nobody works."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from codriver.arrays import Image
from codriver.bundle.manifest import tasks_of
from codriver.live.overlay import overlay
from codriver.perceiver import Perceiver
from codriver.percept import Frame, Percept

HISTORY_S = 30.0
HISTORY_HZ = 5.0  # of what a new viewer is told of the past
WIDTH_PX = 480  # pictures are scaled down to it
QUALITY = 75  # of their JPEG


class Feed:
    """`publish` after each step, from one thread; viewers wait for `newer` in threads of their own.

    A message is four bytes with the length of its JSON, the JSON, and the JPEGs that it lists, one after the other.
    hello: what a viewer is told first. swap_colours: frames are RGB.
    """

    def __init__(self, hello: Mapping[str, Any], *, swap_colours: bool = False) -> None:
        self.hello = dict(hello)
        self._swap_colours = swap_colours
        self._changed = threading.Condition()
        self._making = threading.Lock()
        self._step: _Step | None = None
        self._number = 0
        self.closed = False
        self._newest: dict[str, tuple[Image, float | None]] = {}  # view -> its picture, when it was taken if live
        self._past: deque[tuple[float, dict[str, list[float] | None]]] = deque()

    @classmethod
    def of(cls, perceiver: Perceiver, source: str, *, swap_colours: bool = False) -> Feed:
        """For the page of what a perceiver answers. source: its name, for people."""
        manifest = perceiver.manifest
        hello = {
            "bundle": manifest.id,
            "variant": perceiver.variant,
            "engine": perceiver.engine,
            "source": source,
            "views": list(manifest.views),
            "tasks": [{"name": t.name, "title": t.title, "labels": list(t.labels)} for t in tasks_of(manifest)],
        }
        return cls(hello, swap_colours=swap_colours)

    def publish(self, frames: Mapping[str, Image | Frame], percept: Percept, *, live: bool = False) -> None:
        """live: the frames' times are of the monotonic clock, so that their age is known."""
        now_s = time.monotonic()
        for view, frame in frames.items():
            image, t = (frame.image, frame.t) if isinstance(frame, Frame) else (frame, None)
            self._newest[view] = image, t if live else None
        self._remember(now_s, percept)
        with self._changed:
            self._number += 1
            self._step = _Step(self._number, now_s, percept, dict(self._newest), "incar" in frames)
            self._changed.notify_all()

    def newer(self, than: int, timeout_s: float) -> tuple[int, bytes] | None:
        """The newest step's number and message, once it is newer; None if none came in time, or never will."""
        with self._changed:
            self._changed.wait_for(lambda: self.closed or self._number > than, timeout_s)
            step = self._step
        if self.closed or step is None or step.number <= than:
            return None
        with self._making:  # whoever comes first makes it, the others send the same bytes
            if step.message is None:
                step.message = self._message(step)
            return step.number, step.message

    def greeting(self) -> str:
        """What a new viewer is told first: names, and the answers of the last seconds, by their age."""
        with self._changed:
            past = list(self._past)
        now_s = time.monotonic()
        return json.dumps(self.hello | {"past": [[round(t - now_s, 2), shares] for t, shares in past]})

    def close(self) -> None:
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def _remember(self, now_s: float, percept: Percept) -> None:
        if self._past and now_s - self._past[-1][0] < 1.0 / HISTORY_HZ:
            return
        with self._changed:
            self._past.append((now_s, _shares(percept)))
            while self._past[0][0] < now_s - HISTORY_S:
                self._past.popleft()

    def _message(self, step: _Step) -> bytes:
        jpegs = {view: self._jpeg(image) for view, (image, _) in step.pictures.items()}
        text = json.dumps(_content(step, jpegs), allow_nan=False).encode()
        return b"".join((len(text).to_bytes(4, "big"), text, *jpegs.values()))

    def _jpeg(self, image: Image) -> bytes:
        import cv2

        height, width = image.shape[:2]
        if width > WIDTH_PX:
            size = WIDTH_PX, max(1, round(height * WIDTH_PX / width))
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        if self._swap_colours:
            image = np.ascontiguousarray(image[..., ::-1])
        done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        assert done, image.shape
        return bytes(data.tobytes())


class _Step:
    """One step, until the next one takes its place."""

    def __init__(
        self, number: int, at_s: float, percept: Percept, pictures: dict[str, tuple[Image, float | None]], driver: bool
    ) -> None:
        self.number, self.at_s, self.percept, self.pictures = number, at_s, percept, pictures
        self.driver = driver  # its in-car picture is of this step, so that boxes lie where the driver is
        self.message: bytes | None = None


def _content(step: _Step, jpegs: Mapping[str, bytes]) -> dict[str, Any]:
    percept = step.percept
    return {
        "number": step.number,
        "sequence": percept.sequence,
        "t": percept.t,
        "state": percept.state,
        "reasons": list(percept.reasons),
        "model": percept.model,
        "context": percept.context,
        "latency_ms": dict(percept.latency_ms),
        "shares": _shares(percept),
        "tasks": {
            name: {"label": r.label, "probability": r.probability, "valid": r.valid, "reason": r.reason}
            for name, r in percept.tasks.items()
        },
        "views": {view: _view(step, view) for view in percept.views},
        "driver": overlay(percept.driver) if step.driver else None,
        "pictures": [
            {"view": view, "bytes": len(data), "size_px": list(step.pictures[view][0].shape[1::-1])}
            for view, data in jpegs.items()
        ],
    }


def _view(step: _Step, view: str) -> dict[str, Any]:
    status = step.percept.views[view]
    taken_s = step.pictures.get(view, (None, None))[1]
    age_s = status.age_s if taken_s is None else step.at_s - taken_s
    return {"status": status.status, "reason": status.reason, "clock": status.clock, "age_s": age_s}


def _shares(percept: Percept) -> dict[str, list[float] | None]:
    """Task -> the probabilities of its classes in their order; None without an answer."""
    return {
        name: [round(share, 3) for share in result.probabilities.values()] if result.valid else None
        for name, result in percept.tasks.items()
    }
