"""An encoder in parts, a graph for each group of streams: each thread takes the next camera and waits for no other.

Threads inside one graph meet after every layer, and a step's layers are small (DECISIONS.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from codriver.arrays import Arrays
from codriver.device.cores import Cores
from codriver.engines.base import Engine, Signature


class ByStream:
    """Looks like the engine of the whole encoder.

    parts: group -> engine of one of its streams, of one thread. signature: of all of them together.
    """

    def __init__(self, parts: Mapping[str, Engine], signature: Signature, cores: Cores) -> None:
        self._parts, self._cores, self._outputs = parts, cores, signature.outputs
        self._inputs = {group: tuple(signature.part(group).inputs) for group in parts}
        shapes = {group: signature.inputs[group].shape for group in parts}
        rows = [(group, row) for group, shape in shapes.items() for row in range(shape[0])]
        self._rows = sorted(rows, key=lambda place: -math.prod(shapes[place[0]][1:]))  # the longest first

    def infer(self, inputs: Arrays) -> Arrays:
        outputs = {name: np.empty(tensor.shape, tensor.dtype) for name, tensor in self._outputs.items()}

        def encode(place: tuple[str, int]) -> None:
            group, row = place
            own = {name: inputs[name][row : row + 1] for name in self._inputs[group]}
            for name, values in self._parts[group].infer(own).items():
                outputs[name][row] = values[0]

        self._cores.each(encode, self._rows)
        return outputs

    def close(self) -> None:
        for engine in self._parts.values():
            engine.close()
