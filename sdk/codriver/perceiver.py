"""Perceiver: frames in, percept out."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from codriver.answers import check_finite, is_gathering, state_of, task_results, view_status
from codriver.bundle import Bundle
from codriver.context import Context
from codriver.cpu import cpu_features
from codriver.door import check_step
from codriver.engines import ENGINES, Arrays, Engine, open_engine
from codriver.errors import CodriverError, ConfigError
from codriver.manifest import Manifest, VariantSpec
from codriver.percept import Driver, Percept
from codriver.streams import EncoderInputs

COLORS = ("bgr", "rgb")
STAGES = ("preprocess", "encode", "fuse")
Engines = tuple[Engine, Engine]  # encoder, fuser


class Perceiver:
    """A bundle at work. Make one with `Perceiver.open`; one thread at a time may use it.

    A step encodes only its own frames. It remembers their features for as long as the context reaches back.
    """

    def __init__(self, bundle: Bundle, variant: VariantSpec, engines: Engines, color: str) -> None:
        self.bundle = bundle
        self.manifest: Manifest = bundle.manifest
        self.variant = variant.name
        self.engine = variant.engine
        self.color = color
        self._encoder, self._fuser = engines
        self._inputs = EncoderInputs(self.manifest, color)
        self._context = Context(self.manifest)
        self._last_t: float | None = None
        self._sequence = 0
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
    ) -> Perceiver:
        """Check a bundle, load its graphs and warm them up.

        engine: "auto" takes that of the first variant, in the bundle's order, whose runtime is installed and whose
        requirements this processor meets; a runtime's name, among its variants alone. Never another one instead.
        "fake" answers without any runtime, for tests.
        threads: that one inference uses; None: the physical cores this process may use.
        color: order of the channels in the frames that `step` will be given, "bgr" or "rgb".
        variant: by name, whatever it requires; None: the first that this machine can run right.
        """
        _check_options(engine, threads, color)
        bundle = Bundle.open(path)
        chosen = _choose(bundle, engine, variant)
        perceiver = cls(bundle, chosen, _open_engines(bundle, chosen, threads), color)
        try:
            perceiver.warm_up()
        except BaseException:
            perceiver.close()
            raise
        return perceiver

    def step(
        self, frames: Mapping[str, NDArray[np.uint8]], t: float | None = None, driver: Driver | None = None
    ) -> Percept:
        """Look at the newest frames and answer every task.

        frames: view name -> (H, W, 3) uint8, any size, any subset of the bundle's views but at least one.
        t: capture time in seconds, later than the last step's; None: now, on the monotonic clock.
        driver: where the driver is in this in-car frame; each part is optional.
        After a FrameError all is as it was before. After an EngineError the frames may be remembered: go on.
        """
        with self._mine():
            times_s = [time.perf_counter()]
            request = check_step(self.manifest.views, self._last_t, frames, t, driver)
            moved = self._inputs.fill(request, self._context)
            times_s.append(time.perf_counter())
            self._remember(request.t, moved)
            times_s.append(time.perf_counter())
            mask = self._context.recall(request.t)  # (S, T)
            logits = self._fuser.infer(self._context.inputs)
            check_finite("fuser", logits)
            times_s.append(time.perf_counter())
            percept = self._answer(request.t, mask, logits, times_s)
            self._sequence += 1
            return percept

    def reset(self) -> None:
        """Forget all frames and times, as before a new recording. `sequence` goes on."""
        with self._mine():
            self._context.clear()
            self._last_t = None

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

    def _remember(self, t: float, moved: Mapping[str, bool]) -> None:
        """Encode the newest frames and keep their features. moved: see EncoderInputs.fill."""
        outputs = self._encoder.infer(self._inputs.arrays)
        features = self._inputs.by_stream(outputs, "feature", moved)
        slots = self._inputs.by_stream(outputs, "slot", [name for name, known in moved.items() if known])
        check_finite("encoder", features)
        check_finite("encoder", slots)
        self._last_t = t
        self._context.remember(features, slots, t)

    def _answer(self, t: float, mask: NDArray[np.bool_], logits: Arrays, times_s: list[float]) -> Percept:
        """mask: (S, T). logits: (1, K) by task. times_s: when the first stage began and each one ended."""
        manifest = self.manifest
        rows = {stream.name: mask[place] for place, stream in enumerate(manifest.streams)}
        filled = int(np.any([rows[view] for view in manifest.views], axis=0).sum())
        fresh = {view: bool(rows[view][-1]) for view in manifest.views}
        tasks = task_results(manifest, logits, fresh, filled)
        views = {view: view_status(t, self._context.seen_s.get(view)) for view in manifest.views}
        return Percept(
            t=t,
            sequence=self._sequence,
            state=state_of(tasks, views, is_gathering(manifest.context, filled)),
            tasks=tasks,
            views=views,
            context=filled / manifest.context.slots,
            latency_ms=_latency_ms(times_s),
            model=manifest.id,
        )


def _latency_ms(times_s: list[float]) -> dict[str, float]:
    stages = {name: (times_s[place + 1] - times_s[place]) * 1e3 for place, name in enumerate(STAGES)}
    return stages | {"total": (time.perf_counter() - times_s[0]) * 1e3}


def _check_options(engine: str, threads: int | None, color: str) -> None:
    if color not in COLORS:
        raise ConfigError(f"color {color!r}: expected one of {', '.join(COLORS)}")
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise ConfigError(f"threads {threads!r}: expected a whole number from 1, or None")
    if engine not in ("auto", *ENGINES):
        raise ConfigError(f"engine {engine!r}: expected auto or one of {', '.join(ENGINES)}")


def _choose(bundle: Bundle, engine: str, variant: str | None) -> VariantSpec:
    """The variant, with the engine that is to run it."""
    if engine == "fake":
        return replace(bundle.variant(variant) if variant else bundle.manifest.variants[0], engine="fake")
    if variant is None:
        return bundle.choose_variant(cpu_features(), engine)
    chosen = bundle.variant(variant)
    if engine not in ("auto", chosen.engine):
        raise ConfigError(f"engine {engine!r}: variant {variant} is for {chosen.engine}; use that, auto or fake")
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
