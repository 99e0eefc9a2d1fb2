"""A Perceiver in a thread of its own: hand over frames and go on; the newest set wins, and a hanging engine is told of.

worker = PerceiverWorker(lambda: Perceiver.open("demo.bundle"), on_percept=print)
worker.submit({"incar": a, "front": b})
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from codriver.arrays import Image
from codriver.config import WorkerConfig
from codriver.counts import Overload
from codriver.device.closing import Closing
from codriver.device.process import OwnCondition
from codriver.errors import CodriverError, EngineError, FrameError
from codriver.perceiver import Perceiver
from codriver.percept import Driver, Event, Frame, Percept, Stats

Frames = Mapping[str, Image | Frame]
Open = Callable[[], Perceiver]


@dataclass
class PendingStep:
    """A set that waits, or that is stepped."""

    frames: Frames
    t: float | None
    driver: Driver | None
    began_s: float = 0.0
    flagged_s: float | None = None  # when the watchdog last told of it


class PerceiverWorker(Closing):
    """Two threads: one steps, one watches it. Both end with close(); `with` does that.

    open_perceiver: opens the perceiver to work with, and another one when an engine failed or hung for too long.
    on_percept: called with every percept, one at a time, from the worker's threads. Without it iterate over the worker.
    on_error: called with each FrameError and EngineError; the worker goes on, with the other cameras' frames of a set.
    upgrade: opens a better perceiver, such as one whose engine takes minutes to build. It does so in a third thread
        while the first one answers, and the better one proves itself on its bundle's golden vectors before it takes
        over between two steps. If it cannot be opened or answers wrong the first one goes on, and on_error is told. If
        its engine fails later, what open_perceiver opens answers again. The next percept tells of each of these.
    What a callback raises ends the worker: the next submit() says so.
    """

    def __init__(
        self,
        open_perceiver: Open,
        on_percept: Callable[[Percept], object] | None = None,
        on_error: Callable[[CodriverError], object] | None = None,
        config: WorkerConfig | None = None,
        *,
        upgrade: Open | None = None,
    ) -> None:
        self.config = config or WorkerConfig()
        self._open, self._on_percept, self._on_error = open_perceiver, on_percept, on_error
        self._perceiver = open_perceiver()
        self._changed = OwnCondition("worker")
        self._telling = threading.Lock()  # one percept at a time, and none of a step after a later one
        self._inbox: PendingStep | None = None
        self._busy: PendingStep | None = None
        self._swapping = 0  # callers that wait for the step under way to end
        self._stepping = False
        self._overload = Overload(self.config)
        self._newest: Percept | None = None
        self._unread = False
        self._closed = False
        self._broken: BaseException | None = None  # what a callback raised
        self.upgrade = "" if upgrade is None else "building"  # then "took over", or "refused: " and why
        loops: list[tuple[str, Callable[[], None]]] = [("worker", self._work), ("watchdog", self._watch)]
        if upgrade is not None:
            loops.append(("upgrade", lambda: self._upgrade(upgrade)))
        self._threads = [
            threading.Thread(target=self._run, args=[loop], name=f"codriver {name}", daemon=True)
            for name, loop in loops
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, frames: Frames, t: float | None = None, driver: Driver | None = None) -> None:
        """Hand over one set, as to `Perceiver.step`, and return at once. Do not write to its arrays afterwards.

        A set that still waits is dropped and counted: the newest wins, and nothing queues up.
        """
        if t is None and not any(isinstance(frame, Frame) and frame.t is not None for frame in frames.values()):
            t = time.monotonic()  # when it came, not when its turn comes
        with self._changed:
            if self._broken is not None:
                raise CodriverError(f"this worker ended: {self._broken!r}; see to it, and make another one")
            if self._closed:
                raise CodriverError("this worker is closed; make another one")
            waiting, self._inbox = self._inbox, PendingStep(frames, t, driver)
            if waiting is not None:
                self._perceiver._lost(waiting.frames, "overrun")
            self._overload.note(dropped=waiting is not None)
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Percept]:
        """Percepts as they come, until the worker is closed. Whoever is slow sees the newest only."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._unread or self._closed)
                if not self._unread:
                    return
                percept, self._unread = self._newest, False
            assert percept is not None
            yield percept

    def swap(self, open_perceiver: Open, timeout_s: float = 10.0) -> None:
        """Go on with another bundle or variant, as by `Perceiver.swap`, from the next step on.

        It is opened here, in the caller's thread, while the worker goes on. Returns when it has taken over; what raises
        leaves the worker as it was. timeout_s: for the step under way to end. Once it has taken over, open_perceiver is
        what opens another one if an engine fails, and an upgrade that is still being built is refused.
        """
        self._hand_over(open_perceiver(), open_perceiver, timeout_s)

    def _hand_over(
        self, fresh: Perceiver, opens: Open, timeout_s: float | None, *, only_after: Open | None = None
    ) -> None:
        """Between two steps, with the lock held, so that whoever submits counts where the counts are.

        opens: what opens another one once this took over. only_after: what must have opened the one at work.
        """
        with self._changed:
            self._swapping += 1
            try:
                free = self._changed.wait_for(lambda: not self._stepping or self._closed, timeout_s)
                if self._closed or not free:
                    late = f"the step under way did not end within {timeout_s} s"
                    raise CodriverError(f"the worker did not swap: {'it is closed' if self._closed else late}")
                if only_after not in (None, self._open):
                    why = "another bundle took over while it was built; make another worker to build it again"
                    raise CodriverError(why)
                self._perceiver.swap(fresh)
                self._open = opens
            except BaseException:
                fresh.close()
                raise
            finally:
                self._swapping -= 1
                self._changed.notify_all()

    def _upgrade(self, open_better: Open) -> None:
        """Once, in a thread of its own. Whatever is wrong with the better one, the first one goes on."""
        from codriver.verify.golden import prove  # which nobody else needs on the road

        opens = self._open
        try:
            better = open_better()
            try:
                prove(better)
            except BaseException:
                better.close()
                raise
            self._hand_over(better, opens, None, only_after=opens)
            self.upgrade = "took over"
        except Exception as error:  # of a runtime that is new to this machine: anything
            if not self._closed:
                known = error if isinstance(error, CodriverError) else EngineError(f"it failed with {error!r}")
                self.upgrade = f"refused: {known}"
                with self._changed:
                    self._perceiver._tell("refused", f"the better engine was refused: {known}")
                self._report(known)

    def stats(self) -> Stats:
        """As of the perceiver; frames that never got their turn count as `overrun`."""
        return self._perceiver.stats()

    def close(self, timeout_s: float = 2.0) -> None:
        """End both threads. An engine that hangs for longer than `timeout_s` is left to itself."""
        if self._changed.forked:
            return  # the parent's to close
        with self._changed:
            self._closed = True
            waiting, self._inbox = self._inbox, None
            if waiting is not None:
                self._perceiver._lost(waiting.frames, "overrun")
            self._changed.notify_all()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(timeout_s)
        if not self._threads[0].is_alive():
            self._perceiver.close()

    def _run(self, loop: Callable[[], None]) -> None:
        try:
            loop()
        except Exception as error:  # of a callback; whoever submits next is told
            with self._changed:
                self._broken, self._closed = error, True
                self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._stepping = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: (self._inbox and not self._swapping) or self._closed)
                if self._closed:
                    return
                job, self._inbox = self._inbox, None
                assert job is not None
                job.began_s = time.monotonic()
                self._busy, self._stepping = job, True
                self._changed.notify_all()
            percept, failed = self._step(job)
            with self._changed:
                self._busy = None
                took_s = time.monotonic() - job.began_s
            if percept is not None:
                self._tell(percept)
            if failed or took_s > self.config.replace_after_s:
                self._replace()

    def _step(self, job: PendingStep) -> tuple[Percept | None, bool]:
        """What to tell of a set, and whether the engine failed on it."""
        frames = self._perceiver._usable(job.frames, self._report)  # one bad camera does not blind the others
        if job.frames and not frames:
            return None, False
        try:
            percept = self._perceiver.step(frames, job.t, job.driver, deadline_ms=self.config.deadline_ms)
        except FrameError as error:
            self._report(error)
            return None, False
        except EngineError as error:
            self._report(error)
            return self._perceiver._invalid(job.t, Event("failed", f"the engine failed: {error}")), True
        return self._with_overload(percept), False

    def _with_overload(self, percept: Percept) -> Percept:
        with self._changed:
            if reason := self._overload.reason():
                state = "degraded" if percept.state == "ok" else percept.state
                return replace(percept, state=state, reasons=(reason, *percept.reasons))
        return percept

    def _replace(self) -> None:
        """Open another perceiver; counts and the numbering of steps go on. If that fails the old one stays."""
        try:
            fresh = self._open()
        except CodriverError as error:
            self._report(error)
            return
        with self._changed:
            old = self._perceiver
            fresh._go_on(old)
            now = f"now {fresh.variant} in {fresh.engine}"
            fresh._tell("replaced", f"the engine was replaced, {now}: a new context begins")
            self._perceiver = fresh
        old.close()

    def _watch(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                job, now_s = self._busy, time.monotonic()
                due_s = self._due_s(job)
                if job is None or due_s > now_s:
                    self._changed.wait(None if job is None else due_s - now_s)
                    continue
                job.flagged_s = now_s
            waited_ms = (now_s - job.began_s) * 1e3
            event = Event("hangs", f"the engine has not answered for {waited_ms:.0f} ms")
            self._tell(replace(self._perceiver._invalid(job.t, event), latency_ms={"total": waited_ms}), job)

    def _due_s(self, job: PendingStep | None) -> float:
        """When there is something to tell of a job that still runs."""
        if job is None:
            return 0.0
        if job.flagged_s is not None:
            return job.flagged_s + self.config.repeat_s
        return job.began_s + (self.config.deadline_ms + self.config.grace_ms) / 1e3

    def _tell(self, percept: Percept, of: PendingStep | None = None) -> None:
        """of: the job that hangs; nothing is told if it came back meanwhile."""
        with self._telling:
            with self._changed:
                if of is not None and self._busy is not of:
                    return
                self._newest, self._unread = percept, True
                self._changed.notify_all()
            if self._on_percept is not None:
                self._on_percept(percept)

    def _report(self, error: CodriverError) -> None:
        if self._on_error is not None:
            self._on_error(error)
