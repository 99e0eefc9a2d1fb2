"""Perceiver: frames in, percept out."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from codriver.answers.answers import Answers
from codriver.bundle.folder import Bundle
from codriver.bundle.loader import FASTEST, Engines, check_options, open_engines, race
from codriver.bundle.manifest import Manifest, VariantSpec
from codriver.bundle.signature import Trust
from codriver.bundle.variants import choose
from codriver.config import Policy, check_policy
from codriver.errors import CodriverError
from codriver.frames.check import Request
from codriver.frames.health import Look
from codriver.frames.intake import Intake, driver_notes
from codriver.handover import check_fits, same_encoder
from codriver.network.context import Context
from codriver.network.graphs import Graphs
from codriver.percept import Driver, Event, Frame, Percept, Stats
from codriver.stage_clock import Clock


class Perceiver:
    """A bundle at work. Make one with `Perceiver.open`; one thread at a time may use it.

    A step encodes only its own frames. It remembers their features for as long as the context reaches back.
    """

    def __init__(
        self, bundle: Bundle, variant: VariantSpec, engines: Engines, color: str, policy: Policy | None = None
    ) -> None:
        self.bundle = bundle
        self.manifest: Manifest = bundle.manifest
        self.variant = variant.name
        self.engine = variant.engine
        self.raced_ms: dict[str, float] = {}  # variant -> median time of its encoder, where "fastest" was asked for
        self.color = color
        self.threads: int | None = None  # that one inference uses, as it was asked for
        self.policy = policy or self.manifest.policy
        self._graphs = Graphs(self.manifest, engines, color)
        self._context = Context(self.manifest)
        self._intake = Intake(self.manifest.views, self.policy)
        self._answers = Answers(self.manifest, self.policy.smoothing)
        self._news: deque[Event] = deque()  # that the next percept tells
        self._closed = False
        self._lock = threading.Lock()

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        engine: str = "auto",
        threads: int | None = None,
        color: str = "bgr",
        *,
        variant: str | None = None,
        trust: Trust | None = None,
        min_version: int | None = None,
        policy: Policy | None = None,
    ) -> Perceiver:
        """Check a bundle, load its graphs and warm them up.

        engine: "auto" takes that of the first variant, in the bundle's order, whose runtime is installed and whose
        requirements this processor meets; a runtime's name, among its variants alone. Never another one instead.
        "fastest" loads every variant that runs here, lets their encoders take turns on zeros, and keeps the one with
        the lowest median; `raced_ms` holds all of them. "fake" answers without any runtime, for tests.
        threads: that one inference uses; None: the physical cores this process may use.
        color: order of the channels in the frames that `step` will be given, "bgr" or "rgb".
        variant: by name, whatever it requires; None: the first that this machine can run right.
        trust: the public key that must have signed the bundle: its fingerprint, the path of its PEM file, or its bytes.
            A bundle that is not signed, signed by another key or changed since is a SignatureError or a BundleError,
            before anything in it is parsed. None: whoever could write the folder is believed.
        min_version: refuse a bundle whose `version` is lower, so that nobody can bring an old fault back.
        policy: what to trust and how long, in place of the manifest's; `Manifest.read(path).policy` to start from.
        """
        check_options(engine, threads, color, min_version, variant)
        bundle = Bundle.open(path, trust=trust, min_version=min_version)
        if policy is not None:
            check_policy(policy, bundle.manifest.views)
        raced_ms: dict[str, float] = {}
        if engine == FASTEST:
            chosen, engines, raced_ms = race(bundle, threads)
        else:
            chosen = choose(bundle, engine, variant)
            engines = open_engines(bundle, chosen, threads)
        perceiver = cls(bundle, chosen, engines, color, policy)
        perceiver.threads, perceiver.raced_ms = threads, raced_ms
        try:
            perceiver.warm_up()
        except BaseException:
            perceiver.close()
            raise
        return perceiver

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
        driver: where the driver is in this in-car frame; each part is optional.
        deadline_ms: the percept says whether the step took longer, and `stats()` counts it. Nothing is cut short.
        After a FrameError all is as it was before. After an EngineError go on with the next frames.
        """
        with self._mine():
            clock = Clock()
            taken = self._intake.take(frames, t, driver)
            if taken.jumped:
                self._forget()
            clock.end("health")
            request = taken.request
            found, looks = self._graphs.see(request.frames, request.driver, clock)
            fit = self._without_unfit(request, looks)
            clock.end("health")
            with self._intake.encoding(fit):
                self._graphs.encode(found, fit.times_s, self._context, clock)
            outputs = self._graphs.fuse(self._context, request.t)
            clock.end("fuse")
            views = self._intake.statuses(request.t, taken)
            news = tuple(self._news)
            notes = (*taken.notes, *driver_notes(request.driver, found))
            percept = self._answers.percept(request.t, outputs, views, notes, news)
            for _ in news:  # told now; what another thread added meanwhile is not
                self._news.popleft()
            percept = replace(percept, latency_ms=clock.latency_ms(), missed=clock.over(deadline_ms))
            self._intake.tally.step(missed=percept.missed)
            return percept

    def stats(self) -> Stats:
        """What became of every frame since open, and what answers now."""
        return self._intake.tally.snapshot(self.manifest.id, self.variant, self.engine)

    def drop(self, frames: Mapping[str, object]) -> None:
        """Count a set that is not going to be stepped, because a newer one is there. Any thread may."""
        for result in ("input", "overrun"):
            self._intake.tally.count(result, frames)

    def tell(self, kind: str, text: str) -> None:
        """Have the next percept say this among its events and reasons. kind: of EVENTS. Any thread may."""
        self._news.append(Event(kind, text))

    def carry_on(self, other: Perceiver, *, same_context: bool = False) -> None:
        """Go on with the counts, numbers and news of a perceiver that this one replaces."""
        self._intake.tally, self._answers.sequence = other._intake.tally, other._answers.sequence
        self._news = other._news
        self._intake.tally.swap(same_context=same_context)

    def swap(
        self,
        bundle: str | os.PathLike[str] | Perceiver,
        engine: str = "auto",
        threads: int | None = None,
        *,
        variant: str | None = None,
        trust: Trust | None = None,
        min_version: int | None = None,
        policy: Policy | None = None,
    ) -> None:
        """Go on with another bundle, or another variant of this one, from the next step on.

        bundle: its folder, opened here with the options of `Perceiver.open`; threads, trust, min_version and policy
        that are not given are those of before. Or a perceiver, opened elsewhere meanwhile, which is empty afterwards.
        All is checked, loaded and warmed up before anything changes: what raises leaves this perceiver as it was.
        Counts and numbers go on. What is remembered stays if the encoder is the same; if not, a new context begins.
        The next percept says which. A ConfigError if the new bundle has other cameras or other answers.
        """
        if isinstance(bundle, Perceiver):
            self._take_over(bundle)
            return
        own = None if self.policy == self.manifest.policy else self.policy
        fresh = Perceiver.open(
            bundle,
            engine,
            threads or self.threads,
            self.color,
            variant=variant,
            trust=self.bundle.signed_by if trust is None else trust,
            min_version=self.bundle.min_version if min_version is None else min_version,
            policy=policy or own,
        )
        with fresh:  # which is empty, if it took over
            self._take_over(fresh)

    def _take_over(self, fresh: Perceiver) -> None:
        check_fits(self, fresh)
        with self._mine(), fresh._mine():
            same, old = same_encoder(self, fresh), self._graphs
            fresh.carry_on(self, same_context=same)
            if same:
                fresh._answers.go_on(self._answers)
            else:
                self._context = fresh._context
            if fresh.policy != self.policy:
                fresh._intake.go_on(self._intake)
                self._intake = fresh._intake
            self.bundle, self.manifest, self.policy = fresh.bundle, fresh.manifest, fresh.policy
            self.variant, self.engine, self.threads = fresh.variant, fresh.engine, fresh.threads
            self.raced_ms = fresh.raced_ms
            self._graphs, self._answers, fresh._closed = fresh._graphs, fresh._answers, True
            context = "the context goes on" if same else "a new context begins"
            self.tell("swapped", f"now {self.manifest.id}, {self.variant} in {self.engine}: {context}")
        for error in old.close():  # the new ones are at work already
            self.tell("not_closed", f"the engine of before did not close: {error}")

    def invalid(self, t: float | None, event: Event) -> Percept:
        """A percept without answers, for a step that did not end. It is not counted; any thread may ask for it."""
        return self._answers.invalid(time.monotonic() if t is None else t, event)

    def reset(self) -> None:
        """Forget all frames and times, as before a new recording. `sequence` and `stats()` go on."""
        with self._mine():
            self._intake.clear()
            self._forget()

    @contextmanager
    def trusting(self) -> Iterator[None]:
        """Mask no view meanwhile, to answer for recorded frames as they are. Forgets all before and after, and
        `stats()` leaves these steps out."""
        intake = self._intake
        self.reset()
        self._intake = Intake(self.manifest.views, replace(self.policy, masked=()))
        try:
            yield
        finally:
            self._intake = intake
            self._forget()

    def warm_up(self, runs: int = 2) -> None:
        """Run both graphs on zeros, so that the first step is as fast as the rest. No state changes."""
        with self._mine():
            self._graphs.warm_up(runs)

    def floor_ms(self, frames: Mapping[str, NDArray[np.uint8]], driver: Driver | None = None) -> dict[str, float]:
        """What a step cannot do without, timed by itself: "resize", "encoder" and "fuser". No state changes."""
        with self._mine():
            return self._graphs.floor_ms(frames, driver, self._context)

    def close(self) -> None:
        """Let go of the graphs. Closing twice is fine."""
        if self._closed:
            return
        with self._mine():
            self._closed = True
            errors = self._graphs.close()
        if errors:
            raise errors[0]

    def __enter__(self) -> Perceiver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

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
        self._context.clear()
        self._answers.clear()

    def _without_unfit(self, request: Request, looks: Mapping[str, Look]) -> Request:
        """What is left without the unfit; what a camera saw since it ceased to show the world is forgotten."""
        unfit = self._intake.judge(request, looks)
        for view, since_s in unfit.items():
            self._context.forget_from(view, since_s)
        return request.without(unfit)
