"""Perceiver: frames in, percept out."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from codriver.answers.answers import Answers
from codriver.bundle.manifest import Manifest
from codriver.config import Policy
from codriver.counts import StageClock
from codriver.device.closing import Closing
from codriver.device.imports import opencv
from codriver.errors import CodriverError, FrameError
from codriver.finder.finder import DriverFinder
from codriver.frames.check import sort_out
from codriver.frames.intake import Intake
from codriver.handover import check_fits, heir, same_encoder
from codriver.network.context import Context
from codriver.network.graphs import Graphs
from codriver.percept import Driver, Event, Frame, Percept, Stats

if TYPE_CHECKING:
    from codriver.bundle.loader import LoadedBundle
    from codriver.bundle.signature import Trust
    from codriver.dense.sight import DenseSight


class Perceiver(Closing):
    """A bundle at work. Make one with `Perceiver.open`; one thread at a time may use it.

    A step encodes only its own frames. It remembers their features for as long as the context reaches back.
    """

    def __init__(self, bundle: LoadedBundle) -> None:
        self.bundle, manifest = bundle, bundle.manifest  # closed by close()
        self._graphs = Graphs(bundle)
        self._context = Context(manifest, bundle.variant.kept)
        self._finder = DriverFinder(manifest.finder, bundle.finder, swap=bundle.color != manifest.color)
        self._dense: DenseSight | None = None
        if manifest.dense and bundle.dense:
            from codriver.dense.sight import DenseSight  # here: bundles without maps are spared its time

            self._dense = DenseSight(manifest.dense, bundle.dense, swap=bundle.color != manifest.color)
        self._intake = Intake(bundle.policy, manifest.views, self._graphs.pictures, bundle.cores)
        self._answers = Answers(manifest, bundle.policy.smoothing)
        self._news: deque[Event] = deque()  # that the next percept tells
        self._closed = False
        self._lock = threading.Lock()

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        engine: str = "auto",
        threads: int | None = None,
        color: str = "bgr",
        variant: str | None = None,
        trusted_key: Trust | None = None,
        min_version: int | None = None,
        policy: Policy | None = None,
    ) -> Perceiver:
        """Check a bundle, load its graphs and warm them up.

        engine: "auto" takes that of the first variant, in the bundle's order, whose runtime is installed and whose
        requirements this processor meets; a runtime's name, among its variants alone. "fastest" loads all that run
        here and keeps that of the lowest median on zeros, see `bundle.benchmark_ms`. "fake", for tests, has no runtime.
        threads: of a whole step; None: the physical cores this process may use. OpenCV keeps to one of its own.
        color: order of the channels in the frames that `step` will be given, "bgr" or "rgb".
        variant: by name, whatever it requires; None: the first that this machine can run right.
        trusted_key: the public key that must have signed the bundle: its fingerprint, its bytes, or the path of its PEM
            file. A SignatureError or a BundleError comes before anything is parsed. None: whoever wrote it is believed.
        min_version: refuse a bundle whose `version` is lower, so that nobody can bring an old fault back.
        policy: what to trust and how long, in place of the manifest's; `read_manifest(path).policy` to start from.
        """
        from codriver.bundle.loader import load_bundle  # here: who only imports codriver reads no bundle

        opencv().setNumThreads(1)
        bundle = load_bundle(
            path,
            engine=engine,
            threads=threads,
            color=color,
            variant=variant,
            trusted_key=trusted_key,
            min_version=min_version,
            policy=policy,
        )
        perceiver = cls(bundle)
        try:
            perceiver.warm_up()
        except BaseException:
            perceiver.close()
            raise
        return perceiver

    @property
    def manifest(self) -> Manifest:
        return self.bundle.manifest

    @property
    def variant(self) -> str:
        """Name of the variant that answers now."""
        return self.bundle.variant.name

    @property
    def engine(self) -> str:
        """Name of the runtime that answers now."""
        return self.bundle.variant.engine

    def step(
        self,
        frames: Mapping[str, NDArray[np.uint8] | Frame],
        t: float | None = None,
        driver: Driver | None = None,
        *,
        deadline_ms: float | None = None,
    ) -> Percept:
        """Look at the newest frames and answer every task.

        frames: view name -> (H, W, 3) uint8 or Frame(image, t), any size, any subset of the bundle's views. None at
        all is a step too: it tells what is still known.
        t: time of the set in seconds, later than the last step's; None: the time that most Frames have, or now on the
        monotonic clock. Each frame should be taken within 10 ms of it, and must be within 25 ms to be used.
        driver: where the driver is in this in-car frame, for who knows better than the bundle's finder; part by part.
        deadline_ms: the percept says whether the step took longer, and `stats()` counts it. Nothing is cut short.
        After a FrameError all is as it was before. After an EngineError go on with the next frames.
        """
        with self._mine():
            clock = StageClock()
            taken = self._intake.take(frames, t, driver)
            if taken.jumped:
                self._forget()
            clock.end("health")
            seen = self._intake.see(taken, self._finder.look, clock)
            for view, since_s in seen.masked.items():
                self._context.forget_from(view, since_s)
            with self._intake.tally.encoding(seen.times_s):
                self._graphs.encode(seen.inputs, seen.times_s, self._context, clock)
            t = taken.request.t
            outputs = self._graphs.fuse(self._context, t)
            clock.end("fuse")
            shown = taken.request.frames, seen.times_s, seen.views, seen.masked
            dense = self._dense.step(*shown, t, late=clock.over(deadline_ms)) if self._dense else {}
            if dense:
                clock.end("dense")
            news = tuple(self._news)
            percept = self._answers.percept(t, outputs, seen.views, seen.notes, news, seen.sight, dense)
            for _ in news:  # told now; what another thread added meanwhile is not
                self._news.popleft()
            percept = replace(percept, latency_ms=clock.latency_ms(), deadline_missed=clock.over(deadline_ms))
            self._intake.tally.add(steps=1, misses=int(percept.deadline_missed))
            return percept

    def stats(self) -> Stats:
        """What became of every frame since open, and what answers now."""
        return self._intake.tally.snapshot(self.manifest.id, self.variant, self.engine)

    def swap(self, fresh: Perceiver) -> None:
        """Go on with another bundle, or another variant of this one, from the next step on.

        fresh: opened with options of its own, in any thread; it is closed by this, and its bundle is this one's.
        What raises leaves both as they were: a ConfigError if the new bundle has other cameras or other answers, a
        SignatureError or a BundleError if it was not opened with the key, or is older than the least version, that
        this one was opened with. Counts and numbers go on. What is remembered stays if the encoder is the same; if
        not, a new context begins. The next percept says which.
        """
        check_fits(self.bundle, fresh.bundle)
        with self._mine(), fresh._mine():
            old, same = self.bundle, same_encoder(self.bundle, fresh.bundle)
            fresh._go_on(self, same_context=same)
            fresh._intake.go_on(self._intake)
            if same:
                fresh._answers.go_on(self._answers)
            else:
                self._context = fresh._context
            self.bundle, fresh._closed = heir(old, fresh.bundle), True
            self._graphs, self._intake, self._answers = fresh._graphs, fresh._intake, fresh._answers
            self._finder, self._dense = fresh._finder, fresh._dense
            context = "the context goes on" if same else "a new context begins"
            self._tell("swapped", f"now {self.manifest.id}, {self.variant} in {self.engine}: {context}")
        for error in old.close():  # the new ones are at work already
            self._tell("not_closed", f"the engine of before did not close: {error}")

    def reset(self) -> None:
        """Forget all frames and times, as before a new recording. `sequence` and `stats()` go on."""
        with self._mine():
            self._intake.clear()
            self._forget()

    def warm_up(self, runs: int = 2) -> None:
        """Run both graphs on zeros, so that the first step is as fast as the rest. No state changes."""
        with self._mine():
            self.bundle.warm_up(runs)

    def close(self) -> None:
        """Let go of the graphs. Closing twice is fine."""
        if self._closed:
            return
        with self._mine():
            self._closed = True
            errors = self.bundle.close()
        if errors:
            raise errors[0]

    # For PerceiverWorker and `codriver run`, which tell of frames never stepped. Any thread may call all but _go_on.

    def _lost(self, views: Collection[str], why: str) -> None:
        """Count frames that no step takes. why: overrun, by a newer set; rejected, so that the others are stepped."""
        for result in ("input", why):
            self._intake.tally.count(result, views)

    def _usable(self, frames: Mapping[str, Any], tell: Callable[[FrameError], object]) -> dict[str, Any]:
        """The frames of a form that `step` takes. Of each other one it tells, and counts it as rejected."""
        fit, errors = sort_out(frames)
        for error in errors:
            tell(error)
        self._lost([error.view for error in errors if error.view is not None], "rejected")
        return fit

    def _tell(self, kind: str, text: str) -> None:
        """Have the next percept say this among its events and reasons. kind: of EVENTS."""
        self._news.append(Event(kind, text))

    def _invalid(self, t: float | None, event: Event) -> Percept:
        """A percept without answers, for a step that did not end. It is not counted."""
        return self._answers.invalid(time.monotonic() if t is None else t, event)

    def _go_on(self, other: Perceiver, *, same_context: bool = False) -> None:
        """Go on with the counts, numbers and news of a perceiver that this one replaces."""
        self._intake.tally, self._answers.sequence = other._intake.tally, other._answers.sequence
        self._news = other._news
        self._intake.tally.add(swaps=1, resets=int(not same_context))

    @contextmanager
    def _mine(self) -> Iterator[None]:
        if not self._lock.acquire(blocking=False):
            raise CodriverError(
                "this Perceiver is at work in another thread; give each thread its own, or queue the frames"
            )
        try:
            if self._closed:
                raise CodriverError("this Perceiver is closed; open the bundle again with Perceiver.open")
            yield
        finally:
            self._lock.release()

    def _forget(self) -> None:
        self._finder.clear()
        if self._dense:
            self._dense.clear()
        self._context.clear()
        self._answers.clear()
