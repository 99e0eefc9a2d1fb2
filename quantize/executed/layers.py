"""Layers as executed, and how many multiply-accumulates each does."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from quantize.rules.rule import Finding

Shape = Sequence[int]


@dataclass(frozen=True)
class ExecutedLayer:
    """One executed layer. macs: of one run; None: a kind that multiplies, and is not counted here."""

    name: str
    kind: str  # the runtime's own word
    macs: int | None
    int8: bool
    ms: float | None = None  # of one run; None: nobody measured
    fault: str | None = None  # the linter's error that concerns its numbers: such a layer is not in INT8


@dataclass(frozen=True)
class Executed:
    """A graph as a runtime executes it."""

    runtime: str  # name and version, or what predicts it
    predicted: bool  # nothing ran: the linter's rules say what the runtime would do
    layers: tuple[ExecutedLayer, ...]
    threads: int | None = None
    runs: int | None = None
    errors: tuple[Finding, ...] = ()  # of the linter

    @property
    def counted(self) -> list[ExecutedLayer]:
        return [layer for layer in self.layers if layer.macs]

    @property
    def uncounted(self) -> list[ExecutedLayer]:
        return [layer for layer in self.layers if layer.macs is None]

    @property
    def macs(self) -> int:
        return sum(layer.macs or 0 for layer in self.layers)

    @property
    def in_float(self) -> list[ExecutedLayer]:
        """Largest first."""
        return sorted((layer for layer in self.counted if not layer.int8), key=lambda layer: -(layer.macs or 0))

    @property
    def share(self) -> float | None:
        """Of multiply-accumulates in INT8, 0 to 1; None where there are none."""
        return sum(layer.macs or 0 for layer in self.counted if layer.int8) / self.macs if self.macs else None


def together(parts: Mapping[str, Executed]) -> Executed:
    """Graphs that one step runs, as one. parts: name -> as the same runtime executes it; layers get it in front."""
    first = next(iter(parts.values()))
    return replace(
        first,
        layers=tuple(
            replace(layer, name=f"{part}: {layer.name}") for part, some in parts.items() for layer in some.layers
        ),
        errors=tuple(error for some in parts.values() for error in some.errors),
    )


def convolution_macs(output: Shape, weight: Shape, out_channels: int) -> int:
    """Every output is a sum over the weights of its channel, whatever the groups and the layout."""
    return prod(output) * prod(weight) // max(out_channels, 1)


def transposed_macs(data: Shape, weight: Shape) -> int:
    """Every input is spread over the weights of its channel: weight (C, M / groups, ...)."""
    return prod(data) * prod(weight[1:])


def product_macs(left: Shape, output: Shape) -> int:
    """A (..., M, K) or its transpose (..., K, M), times (..., K, N) -> (..., M, N). One row: (..., K)."""
    if not left:
        return prod(output)
    turned = len(left) > 1 and len(output) > 1 and left[-2] != output[-2] and left[-1] == output[-2]
    return prod(output) * (left[-2] if turned else left[-1])


def median_ms(times_ms: Sequence[float], runs: int) -> float:
    """Of one run, for a layer that may be executed more than once in each."""
    return statistics.median(times_ms) * len(times_ms) / runs


def example(shape: Shape, dtype: Any) -> np.ndarray:
    """Something to run a graph on: time and precision do not depend on the values. Indices are zero, and so valid."""
    if np.issubdtype(dtype, np.floating) or dtype == np.uint8:
        return (np.random.default_rng(0).random(shape) * (255 if dtype == np.uint8 else 1)).astype(dtype)
    return np.zeros(shape, dtype)
