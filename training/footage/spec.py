"""What a clip is made from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.footage.motion import rng_for

STREAMS = ("light", "cameras", "ego", "street", "traffic", "driver", "cabin", "people")


@dataclass(frozen=True)
class ClipSpec:
    """All that a clip's pixels depend on."""

    seed: int  # the data set's
    number: int  # the clip's, from 1
    labels: dict[str, str]  # task -> class
    width: int = 320
    height: int = 180
    people: bool = False  # on foot, outside

    def rng(self, stream: str) -> np.random.Generator:
        """Random numbers of its own for each part of a clip, so that no part can shift another."""
        return rng_for(self.seed, self.number, 1 + STREAMS.index(stream))
