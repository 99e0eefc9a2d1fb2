"""Perceiver: frames in, percept out."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codriver.answers import Answers, check_finite
from codriver.bundle import Bundle, run_by, why_not
from codriver.clock import Clock
from codriver.context import Context
from codriver.cpu import cpu_features
from codriver.door import Request
from codriver.engines import ENGINES, Engine, open_engine
from codriver.engines.race import fastest
from codriver.errors import CodriverError, ConfigError
from codriver.intake import Intake
from codriver.manifest import Manifest, VariantSpec, weights_of
from codriver.percept import Driver, Frame, Percept
from codriver.policy import Policy, check_policy
from codriver.stats import Stats
from codriver.streams import EncoderInputs
from codriver.trust import Trust

COLORS = ("bgr", "rgb")
FASTEST = "fastest"
Engines = tuple[Engine, Engine]  # encoder, fuser


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
        self.policy = policy or self.manifest.policy
        self._encoder, self._fuser = engines
        self._inputs = EncoderInputs(self.manifest, color)
        self._context = Context(self.manifest)
        self._intake = Intake(self.manifest.views, self.policy)
        self._answers = Answers(self.manifest, self.policy.smoothing)
        self._news: tuple[str, ...] = ()  # that the next percept tells
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
        _check_options(engine, threads, color, min_version)
        if engine == FASTEST and variant is not None:
            raise ConfigError(f"engine {FASTEST!r} chooses among all variants; leave out variant {variant!r}")
        bundle = Bundle.open(path, trust=trust, min_version=min_version)
        if policy is not None:
            check_policy(policy, bundle.manifest.views)
        raced_ms: dict[str, float] = {}
        if engine == FASTEST:
            chosen, engines, raced_ms = _race(bundle, threads)
        else:
            chosen = _choose(bundle, engine, variant)
            engines = _open_engines(bundle, chosen, threads)
        perceiver = cls(bundle, chosen, engines, color, policy)
        perceiver.raced_ms = raced_ms
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
            for view, since_s in taken.unfit.items():
                self._context.forget_from(view, since_s)
            clock.end("health")
            moved = self._inputs.fill(taken.request, self._context)
            clock.end("preprocess")
            self._remember(taken.request, moved)
            clock.end("encode")
            mask = self._context.recall(taken.request.t)  # (S, T)
            logits = self._fuser.infer(self._context.inputs)
            check_finite("fuser", logits)
            clock.end("fuse")
            views = self._intake.statuses(taken.request.t, taken)
            percept = self._answers.percept(taken.request.t, (mask, logits), views, (*self._news, *taken.notes))
            self._news = ()
            percept = replace(percept, latency_ms=clock.latency_ms(), missed=clock.over(deadline_ms))
            self._intake.tally.step(missed=percept.missed)
            return percept

    def stats(self) -> Stats:
        """What became of every frame since open."""
        return self._intake.tally.snapshot()

    def drop(self, frames: Mapping[str, object]) -> None:
        """Count a set that is not going to be stepped, because a newer one is there. Any thread may."""
        for result in ("input", "overrun"):
            self._intake.tally.count(result, frames)

    def carry_on(self, other: Perceiver, news: str = "") -> None:
        """Go on with the counts and the numbering of a perceiver that this one replaces, and tell of it."""
        self._intake.tally, self._answers.sequence = other._intake.tally, other._answers.sequence
        self._news = (news,) if news else ()

    def swap(self, bundle: str | os.PathLike[str] | Perceiver, **options: Any) -> None:
        """Go on with another bundle, or another variant of this one, from the next step on.

        bundle: its folder, opened here with `options` as `Perceiver.open` takes them; or a perceiver that was opened
        elsewhere meanwhile, which is closed by this: its engines work here now.
        All is checked, loaded and warmed up before anything changes: what raises leaves this perceiver as it was.
        Counts and numbers go on. What is remembered stays if the encoder is the same; if not, a new context begins.
        The next percept says which. A ConfigError if the new bundle has other cameras, or wants other colors.
        """
        if isinstance(bundle, Perceiver):
            self._take_over(bundle)
            return
        fresh = Perceiver.open(bundle, color=self.color, **({"policy": self._own_policy()} | options))
        try:
            self._take_over(fresh)
        except BaseException:
            fresh.close()
            raise

    def _own_policy(self) -> Policy | None:
        return None if self.policy == self.manifest.policy else self.policy

    def _take_over(self, fresh: Perceiver) -> None:
        if fresh.manifest.views != self.manifest.views or fresh.color != self.color:
            here, there = (f"{', '.join(p.manifest.views)} in {p.color}" for p in (self, fresh))
            raise ConfigError(
                f"{fresh.manifest.id} looks at {there}, this stream has {here}; open it as another stream"
            )
        with self._mine(), fresh._mine():
            same, old = same_encoder(self, fresh), (self._encoder, self._fuser)
            what = "the context goes on" if same else "a new context begins"
            fresh.carry_on(self)
            fresh._answers.go_on(self._answers if same else None)
            if not same:
                self._context = fresh._context
            if fresh.policy == self.policy:
                fresh._intake = self._intake
            else:
                fresh._intake.go_on(self._intake)
            self.bundle, self.manifest, self.policy = fresh.bundle, fresh.manifest, fresh.policy
            self.variant, self.engine = fresh.variant, fresh.engine
            self._encoder, self._fuser, self._inputs = fresh._encoder, fresh._fuser, fresh._inputs
            self._intake, self._answers, fresh._closed = fresh._intake, fresh._answers, True
            self._news = (*self._news, f"now {self.manifest.id}, {self.variant} in {self.engine}: {what}")
        for engine in old:
            engine.close()

    def invalid(self, t: float | None, reason: str) -> Percept:
        """A percept without answers, for a step that did not end. It is not counted; any thread may ask for it."""
        return self._answers.invalid(time.monotonic() if t is None else t, reason)

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
            for _ in range(runs):
                self._encoder.infer(self.manifest.encoder_signature.zeros())
                self._fuser.infer(self.manifest.fuser_signature.zeros())

    def close(self) -> None:
        """Let go of the graphs. Closing twice is fine."""
        if self._closed:
            return
        with self._mine():
            self._closed = True
            self._encoder.close()
            self._fuser.close()

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

    def _remember(self, request: Request, moved: Mapping[str, bool]) -> None:
        """Encode the newest frames and keep their features. moved: see EncoderInputs.fill."""
        if not request.frames:
            return
        try:
            outputs = self._encoder.infer(self._inputs.arrays)
            features = self._inputs.by_stream(outputs, "feature", moved)
            slots = self._inputs.by_stream(outputs, "slot", [name for name, known in moved.items() if known])
            check_finite("encoder", features)
            check_finite("encoder", slots)
        except BaseException:
            self._intake.tally.count("failed", request.frames)
            raise
        self._context.remember(features, slots, request.times_s)
        self._intake.tally.count("processed", request.frames)


def same_encoder(one: Perceiver, other: Perceiver) -> bool:
    """Whether features of the one mean the same to the other: the same bytes, run by the same engine."""
    if (one.engine, one.manifest.streams, one.manifest.context) != (
        other.engine,
        other.manifest.streams,
        other.manifest.context,
    ):
        return False
    return _encoder_hashes(one) == _encoder_hashes(other) != []


def _encoder_hashes(perceiver: Perceiver) -> list[str]:
    manifest = perceiver.manifest
    path = next(variant.encoder for variant in manifest.variants if variant.name == perceiver.variant)
    return [manifest.files[name].sha256 for name in (path, weights_of(path)) if name and name in manifest.files]


def _check_options(engine: str, threads: int | None, color: str, min_version: int | None) -> None:
    if min_version is not None and (isinstance(min_version, bool) or not isinstance(min_version, int)):
        raise ConfigError(f"min_version {min_version!r}: expected a whole number, or None")
    if color not in COLORS:
        raise ConfigError(f"color {color!r}: expected one of {', '.join(COLORS)}")
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise ConfigError(f"threads {threads!r}: expected a whole number from 1, or None")
    if engine not in ("auto", FASTEST, *ENGINES):
        raise ConfigError(f"engine {engine!r}: expected auto, {FASTEST} or one of {', '.join(ENGINES)}")


def _choose(bundle: Bundle, engine: str, variant: str | None) -> VariantSpec:
    """The variant, with the engine that is to run it."""
    if engine == "fake":
        return replace(bundle.variant(variant) if variant else bundle.manifest.variants[0], engine="fake")
    if variant is None:
        return bundle.choose_variant(cpu_features(), engine)
    wanted = bundle.variant(variant)
    chosen = run_by(wanted, engine)
    if chosen is None:
        raise ConfigError(f"engine {engine!r}: variant {variant} is for {wanted.engine}; use that, auto or fake")
    return chosen


def _open_engines(bundle: Bundle, variant: VariantSpec, threads: int | None) -> Engines:
    manifest = bundle.manifest
    encoder = open_engine(variant.engine, bundle.graph(variant.encoder), manifest.encoder_signature, threads=threads)
    try:
        fuser = open_engine(variant.engine, bundle.graph(variant.fuser), manifest.fuser_signature, threads=threads)
    except BaseException:
        encoder.close()
        raise
    return encoder, fuser


def _race(bundle: Bundle, threads: int | None) -> tuple[VariantSpec, Engines, dict[str, float]]:
    """The variant whose encoder is the fastest here, its engines, and everybody's median in ms."""
    features = cpu_features()
    able = [variant for variant in bundle.manifest.variants if not why_not(variant, features)]
    if not able:
        bundle.choose_variant(features)  # raises, and says of each why not
    opened: dict[str, Engines] = {}
    winner = ""
    try:
        for variant in able:
            opened[variant.name] = _open_engines(bundle, variant, threads)
        encoders = {name: engines[0] for name, engines in opened.items()}
        winner, medians_ms = fastest(encoders, bundle.manifest.encoder_signature)
    finally:
        for name, engines in opened.items():
            if name != winner:
                for engine in engines:
                    engine.close()
    return bundle.variant(winner), opened[winner], {name: round(ms, 3) for name, ms in medians_ms.items()}
