"""An encoder in parts, a graph for each group of streams: each thread takes the next camera and waits for no other.

Threads inside one graph meet after every layer, and a step's layers are small (DECISIONS.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from codriver.arrays import Arrays
from codriver.device.cores import Cores
from codriver.engines.base import Engine, Signature
from codriver.engines.in_place import Run, bind, by_copy


class ByStream:
    """Looks like the engine of the whole encoder.

    parts: group -> engine of one of its streams, of one thread. signature: of all of them together.
    """

    def __init__(self, parts: Mapping[str, Engine], signature: Signature, cores: Cores) -> None:
        self._parts, self._cores, self._signature = parts, cores, signature
        shapes = {group: signature.inputs[group].shape for group in parts}
        rows = [(group, row) for group, shape in shapes.items() for row in range(shape[0])]
        self._rows = sorted(rows, key=lambda place: -math.prod(shapes[place[0]][1:]))  # the longest first

    def infer(self, inputs: Arrays) -> Arrays:
        outputs = self._signature.room()
        self._all(self._runs(by_copy, inputs, outputs))
        return outputs

    def bind(self, inputs: Arrays, outputs: Arrays) -> Run:
        runs = self._runs(bind, inputs, outputs)
        return lambda: self._all(runs)

    def _all(self, runs: Sequence[Run]) -> None:
        self._cores.each(lambda run: run(), runs)

    def _runs(self, how: Callable[[Engine, Arrays, Arrays], Run], inputs: Arrays, outputs: Arrays) -> list[Run]:
        """One for each stream, of its part and its rows."""
        runs = []
        for group, row in self._rows:
            own = self._signature.part(group)
            taken, given = (
                {name: arrays[name][row : row + 1] for name in names}
                for arrays, names in ((inputs, own.inputs), (outputs, own.outputs))
            )
            runs.append(how(self._parts[group], taken, given))
        return runs

    def close(self) -> None:
        for engine in self._parts.values():
            engine.close()
