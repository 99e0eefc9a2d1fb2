"""A bundle's two graphs at work: from frames to what is remembered, and from there to logits."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from codriver.arrays import Arrays, Image, Rows
from codriver.bundle.loader import Engines
from codriver.bundle.manifest import Manifest
from codriver.errors import EngineError
from codriver.frames.health import Look, look_at
from codriver.network.context import Context
from codriver.network.inputs import EncoderInputs
from codriver.percept import Driver
from codriver.stage_clock import Clock


class Graphs:
    """Encoder and fuser, with the buffers that their inputs are written into."""

    def __init__(self, manifest: Manifest, engines: Engines, color: str) -> None:
        self._manifest = manifest
        self._encoder, self._fuser = engines
        self._inputs = EncoderInputs(manifest, color)

    def see(self, frames: Mapping[str, Image], driver: Driver | None, clock: Clock) -> tuple[Arrays, dict[str, Look]]:
        """By stream what the encoder takes, and by view what its frame looks like.

        Each frame is resized and looked at before the next, while its pixels lie in a cache.
        """
        found, looks = {}, {}
        for view, image in frames.items():
            found.update(self._inputs.resize({view: image}, driver))
            clock.end("preprocess")
            looks[view] = look_at(image)
            clock.end("health")
        return found, looks

    def encode(self, found: Arrays, times_s: Mapping[str, float], context: Context, clock: Clock) -> None:
        """Encode what `see` found in the frames of these views, and remember it. times_s: view -> capture time."""
        moved = self._inputs.fill(found, times_s, context)
        clock.end("preprocess")
        if times_s:
            outputs = self._encoder.infer(self._inputs.arrays)
            check_finite("encoder", outputs)
            features = self._inputs.by_stream(outputs, "feature", moved)
            slots = self._inputs.by_stream(outputs, "slot", [name for name, known in moved.items() if known])
            context.remember(features, slots, times_s)
        clock.end("encode")

    def fuse(self, context: Context, t: float) -> tuple[Rows, Arrays]:
        """The slots that each stream fills in the context that ends at `t`, and logits (1, K) by task."""
        filled = context.recall(t)
        logits = self._fuser.infer(context.inputs)
        check_finite("fuser", logits)
        return filled, logits

    def warm_up(self, runs: int) -> None:
        """Run both on zeros."""
        for _ in range(runs):
            self._encoder.infer(self._manifest.encoder_signature.zeros())
            self._fuser.infer(self._manifest.fuser_signature.zeros())

    def floor_ms(self, frames: Mapping[str, Image], driver: Driver | None, context: Context) -> dict[str, float]:
        """How long "resize", "encoder" and "fuser" take by themselves."""
        clock = Clock()
        self._inputs.resize(frames, driver)
        clock.end("resize")
        self._encoder.infer(self._inputs.arrays)
        clock.end("encoder")
        self._fuser.infer(context.inputs)
        clock.end("fuser")
        parts = clock.latency_ms()
        del parts["total"]
        return parts

    def close(self) -> list[EngineError]:
        """Let go of both; returns why one did not."""
        errors = []
        for engine in (self._encoder, self._fuser):
            try:
                engine.close()
            except EngineError as error:
                errors.append(error)
        return errors


def check_finite(stage: str, outputs: Arrays) -> None:
    """Raise an EngineError if a graph answered NaN or infinity: neither may become a label or a memory."""
    for name, values in outputs.items():
        square = np.vdot(values, values)  # not finite if any of them is not: half the time of looking at each
        if not math.isfinite(square) and not np.isfinite(values).all():
            raise EngineError(f"the {stage} gave NaN or infinity in {name}; run `codriver verify` on it")
