"""From what is remembered, by stream, to the fuser's inputs, in buffers that are made once.

A graph may leave pooling to this: NumPy finds means and maxima in less time than ONNX Runtime, and each stream's slots
stay in a cache meanwhile (DECISIONS.md).
"""

from __future__ import annotations

import numpy as np

from codriver.arrays import Arrays, Rows
from codriver.bundle.manifest import POOLED, Manifest
from codriver.engines.base import Signature
from codriver.network.context import Context


class FuserInputs:
    """Each stream's slots or, for a graph with the pooled signature, their mean and maximum (of codes if they are)."""

    def __init__(self, manifest: Manifest, signature: Signature, kept: str = "float32") -> None:
        """kept: the type of the slots that are remembered."""
        self.arrays: Arrays = signature.zeros()
        self._filled: Rows = {}  # what the mask says
        slots, streams = manifest.context.slots, manifest.streams
        shared = {s.slot: np.zeros((slots, *s.slot), kept) for s in streams if s.slot_name not in self.arrays}
        self._slots = {s.name: shared[s.slot] if shared else self.arrays[s.slot_name][0] for s in streams}
        rows = {kind: iter(self.arrays[name][0]) for kind, name in POOLED.items() if name in self.arrays}
        self._pooled = {s.name: (next(rows[s.kind])[None], next(rows[s.kind])) for s in streams if rows}

    def fill(self, context: Context, t: float) -> Rows:
        """Write the context that ends at `t`; return which of the T slots each stream fills."""
        import cv2

        filled = {}
        for name, memory in context.until(t).items():
            slots = self._slots[name]
            filled[name] = memory.fill(t, slots)
            if name in self._pooled:  # absent slots are zeros and no other is negative, so neither needs a mask
                (mean, most), rows = self._pooled[name], slots.reshape(len(slots), -1)
                cv2.reduce(rows, 0, cv2.REDUCE_SUM, mean, cv2.CV_32F)
                mean *= np.float32(1.0 / max(sum(filled[name]), 1))
                most[...] = np.maximum.reduce(rows, axis=0)
        if filled != self._filled:
            self.arrays["mask"][0] = list(filled.values())  # (S, T)
            self._filled = filled
        return filled
