"""Reads one camera as fast as it delivers, keeps its newest frames, and opens it again when it fails or is silent."""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from codriver.arrays import Image
from codriver.capture.camera import Camera, Capture, Ended
from codriver.capture.clock import Clock
from codriver.capture.news import CameraCounts, News
from codriver.capture.opencv import OpenCvCapture
from codriver.capture.opening import opened
from codriver.percept import Frame

START_S = 10.0  # a USB camera takes up to a few seconds to its first frame
SILENCE_S = 2.0  # a camera that delivered and then says nothing for so long is opened anew
RETRY_S, RETRY_MOST_S = 0.5, 8.0  # before another attempt; twice as long after each that gave no frame
HUNG = 2  # attempts that may hang in a driver at once: threads cannot be ended
NUMBER = re.compile(r"[\d.]+")
KEPT = 3  # newest frames, among which the one that fits the other cameras' is chosen


class Reader:
    """`tend` it now and then: it looks after the thread that reads. Frames are taken in the order of their times."""

    def __init__(self, view: str, camera: Camera, open_camera: Callable[[int | str], Any] | None) -> None:
        self.where = str(camera)
        self.failure = ""  # why it does not deliver now
        self.said: list[str] = []  # all that there was to say, each once
        self._kinds: set[str] = set()
        self._view, self._camera, self._open_camera = view, camera, open_camera
        self._news = News(f"camera {self.where}")
        self._recent: deque[Frame] = deque(maxlen=KEPT)  # not yet taken
        self._newest_s, self._clock = float("-inf"), ""
        self._frames = self._lost = self._opened = 0
        self._retry_at_s, self._retry_s = float("-inf"), RETRY_S
        self._attempt: _Attempt | None = None
        self._hung: list[_Attempt] = []

    @property
    def known(self) -> bool:
        """It has shown a frame, or why not."""
        return self._frames > 0 or bool(self.failure)

    @property
    def awaited(self) -> bool:
        """It delivers, but nothing new is here yet."""
        return not self.failure and not self._recent

    @property
    def counts(self) -> CameraCounts:
        lost = self._lost + (self._attempt.clock.lost if self._attempt else 0)
        return CameraCounts(frames=self._frames, lost=lost, opened=self._opened, clock=self._clock)

    def news(self, now_s: float) -> list[str]:
        """What happened to it since this was asked last."""
        problem = self._attempt.clock.problem if self._attempt else ""
        return list(self._news.since(now_s, self.failure, self.counts, problem))

    def tend(self, now_s: float) -> None:
        """Give up an attempt that is silent, and begin another when it is time to. now_s: monotonic."""
        attempt = self._attempt
        if attempt is not None and attempt.thread.is_alive():
            patience_s = SILENCE_S if attempt.frames else START_S
            if now_s - attempt.heard_s < patience_s:
                return
            self._end(attempt, f"is silent for {patience_s:.0f} s, and is opened anew", now_s)
            self._hung.append(attempt)
        elif attempt is not None:
            self._end(attempt, attempt.why, now_s)
        self._hung = [hung for hung in self._hung if hung.thread.is_alive()]
        if now_s >= self._retry_at_s and len(self._hung) < HUNG:
            self._attempt = _Attempt(self)
            self._attempt.thread.start()

    def _end(self, attempt: _Attempt, why: str, now_s: float) -> None:
        attempt.ended.set()
        self._attempt = None
        self._lost += attempt.clock.lost
        self.failure = self.say(why)
        self._retry_s = RETRY_S if attempt.frames else min(2 * self._retry_s, RETRY_MOST_S)
        self._retry_at_s = now_s + self._retry_s

    def newest_s(self) -> float | None:
        """Time of the newest frame that was not taken yet."""
        recent = tuple(self._recent)
        return recent[-1].t if recent else None

    def take(self, t: float) -> Frame | None:
        """The frame whose time is nearest to `t`, of those newer than all taken before; None if there is none."""
        recent = tuple(self._recent)
        if not recent:
            return None
        nearest = min(recent, key=lambda frame: abs((frame.t or 0.0) - t))
        while self._recent and self._recent[0] is not nearest:
            self._recent.popleft()
        if self._recent:  # the thread may have pushed it out meanwhile
            self._recent.popleft()
        return nearest

    def why_absent(self, now_s: float) -> str:
        if self.failure:
            return self.failure
        if not self._frames:
            return f"camera {self.where} has not sent a frame yet"
        return f"camera {self.where} has sent nothing new for {now_s - self._heard_s:.1f} s"

    @property
    def _heard_s(self) -> float:
        return self._attempt.heard_s if self._attempt else self._newest_s

    def say(self, what: str) -> str:
        """Once, whatever its numbers: a clock that drifts away would have another number to tell for ever."""
        said = f"camera {self.where} {what}"
        kind = NUMBER.sub("", what)
        if kind not in self._kinds:
            self._kinds.add(kind)
            self.said.append(said)
        return said

    def stop(self) -> None:
        if self._attempt is not None:
            self._attempt.ended.set()

    def join(self, until_s: float) -> None:
        """A camera that hangs in its driver must not hang the program."""
        if self._attempt is not None:
            self._attempt.thread.join(timeout=max(until_s - time.monotonic(), 0.0))

    def _open(self) -> Capture:
        if self._open_camera is None:
            return opened(self._camera)
        return OpenCvCapture(self._camera, self._open_camera(self._camera.where))

    def _came(self, image: Image, taken_s: float | None, attempt: _Attempt) -> None:
        """In the attempt's thread. taken_s: monotonic, as the camera tells."""
        t, clock = attempt.clock.time_s(taken_s, attempt.heard_s)
        if attempt.clock.problem:
            self.say(attempt.clock.problem)
        if t <= self._newest_s:  # from one clock to the other: what came before it was later
            return
        if not attempt.frames:
            self._opened += 1
        attempt.frames += 1
        self._frames += 1
        self._newest_s, self._clock, self.failure = t, clock, ""
        self._recent.append(Frame(image, t, clock))


class _Attempt:
    """One time that a camera is opened and read, until it fails or is given up."""

    def __init__(self, reader: Reader) -> None:
        self.clock = Clock()
        self.frames = 0
        self.heard_s = time.monotonic()  # when the last frame came
        self.why = ""  # it ended
        self.ended = threading.Event()
        self._reader = reader
        self.thread = threading.Thread(target=self._run, name=f"codriver-camera-{reader._view}", daemon=True)

    def _run(self) -> None:
        try:
            self._read()
        except Ended as why:
            self.why = str(why)
        except Exception as error:  # nobody to raise to in a thread: the view is absent
            self.why = f"failed: {error}"

    def _read(self) -> None:
        capture = self._reader._open()
        try:
            for note in capture.notes:
                self._reader.say(note)
            while not self.ended.is_set():
                image, taken_s = capture.read()
                if self.ended.is_set():
                    break
                self.heard_s = time.monotonic()
                if image is None:
                    self._reader.say("handed out an empty frame")
                    self.ended.wait(0.01)
                    continue
                self._reader._came(image, taken_s, self)
        finally:
            capture.close()
