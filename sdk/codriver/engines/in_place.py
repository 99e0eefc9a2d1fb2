"""An engine on arrays of its caller: a step's inputs and answers lie where they lay before, and nothing is copied.

A step runs nine small graphs. What a runtime does around each of them, to look names up and to make arrays, was a
fiftieth of the step (DECISIONS.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from codriver.arrays import Arrays
from codriver.engines.base import Engine

Run = Callable[[], None]


@runtime_checkable
class InPlace(Protocol):
    """An engine that can keep to its caller's arrays."""

    def bind(self, inputs: Arrays, outputs: Arrays) -> Run: ...


def bind(engine: Engine, inputs: Arrays, outputs: Arrays) -> Run:
    """What runs the engine on these arrays, as they are then, and writes its answers to those: where the engine can do
    that, without a copy or anything to look up."""
    return engine.bind(inputs, outputs) if isinstance(engine, InPlace) else by_copy(engine, inputs, outputs)


def by_copy(engine: Engine, inputs: Arrays, outputs: Arrays) -> Run:
    """As bind, of any engine."""

    def run() -> None:
        for name, values in engine.infer(inputs).items():
            outputs[name][...] = values

    return run
