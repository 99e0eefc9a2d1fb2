"""A bundle's two graphs at work: from a step's streams to what is remembered, and from there to logits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from codriver.arrays import Arrays, Rows
from codriver.counts import StageClock
from codriver.engines.in_place import bind
from codriver.errors import EngineError
from codriver.network.context import Context
from codriver.network.fuser_inputs import FuserInputs
from codriver.network.inputs import EncoderInputs

if TYPE_CHECKING:
    from codriver.bundle.loader import LoadedBundle


class Graphs:
    """Encoder and fuser, with the buffers that they read and write."""

    def __init__(self, bundle: LoadedBundle) -> None:
        encoder, fuser = bundle.signature_of("encoder"), bundle.signature_of("fuser")
        self._inputs = EncoderInputs(bundle.manifest, encoder, bundle.color)
        self._slots = FuserInputs(bundle.manifest, fuser, bundle.variant.kept)
        self._encoded, self._logits = encoder.room(), fuser.room()
        self._encode = bind(bundle.encoder, self._inputs.arrays, self._encoded)
        self._fuse = bind(bundle.fuser, self._slots.arrays, self._logits)
        self.pictures = self._inputs.pictures

    def encode(self, found: Arrays, times_s: Mapping[str, float], context: Context, clock: StageClock) -> None:
        """Encode what was found, by stream, in the frames of these views, and remember it. times_s: by view."""
        moved = self._inputs.fill(found, times_s, context)
        clock.end("preprocess")
        if times_s:
            self._encode()
            check_finite("encoder", self._encoded)
            context.remember(self._inputs.by_stream(self._encoded, moved), times_s)
        clock.end("encode")

    def fuse(self, context: Context, t: float) -> tuple[Rows, Arrays]:
        """The slots that each stream fills in the context that ends at `t`, and logits (1, K) by task."""
        filled = self._slots.fill(context, t)
        self._fuse()
        check_finite("fuser", self._logits)
        return filled, self._logits


def check_finite(stage: str, outputs: Arrays) -> None:
    """Raise an EngineError if a graph answered NaN or infinity: neither may become a label or a memory."""
    for name, values in outputs.items():
        if values.dtype == np.uint8:  # codes cannot be either
            continue
        square = np.vdot(values, values)  # not finite if any of them is not: half the time of looking at each
        if not math.isfinite(square) and not np.isfinite(values).all():
            raise EngineError(f"the {stage} gave NaN or infinity in {name}; run `codriver verify` on it")
