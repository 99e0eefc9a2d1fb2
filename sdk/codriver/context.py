"""What all streams remember together, and the fuser's inputs filled from it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from codriver.engines import Arrays
from codriver.manifest import Manifest
from codriver.window import Feature, Memory


class Context:
    """One memory per stream, and one set of buffers for the fuser that every step writes anew."""

    def __init__(self, manifest: Manifest) -> None:
        self.inputs: Arrays = manifest.fuser_signature.zeros()   # (1, T, *feature) per stream, mask (1, S, T)
        self.seen_s: dict[str, float] = {}                       # stream -> time of its newest feature
        self._span_s = manifest.context.span_s
        self._memories = {stream.name: Memory(manifest.context) for stream in manifest.streams}
        self._buffers = {stream.name: self.inputs[stream.feature_name][0] for stream in manifest.streams}

    def remember(self, features: Mapping[str, Feature], t: float) -> None:
        """Keep the features, by stream and without batch, of capture time `t`, later than all before."""
        for name, feature in features.items():
            self._memories[name].push(feature, t)
            self.seen_s[name] = t

    def recall(self, t: float) -> NDArray[np.bool_]:
        """Fill `inputs` with the context that ends at `t`; return which slots each stream fills: (S, T)."""
        filled = []
        for name, memory in self._memories.items():
            memory.forget_before(t - self._span_s)
            filled.append(memory.fill(t, self._buffers[name]))
        mask = np.stack(filled)                                  # (S, T)
        self.inputs["mask"][0] = mask
        return mask

    def clear(self) -> None:
        for memory in self._memories.values():
            memory.clear()
        self.seen_s.clear()
