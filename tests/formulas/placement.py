"""Where each runtime wants its quantizers, from its rules and the graph in full precision; and what a weight becomes.

A graph is a list of operators in order, without quantizers. Values are named by the operator that makes them, "#3" for
the fourth, inputs by their own name.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOVING = ("Unsqueeze", "Reshape", "Flatten")
ONES = ("Relu",)  # joined to the operator before them: one unit, whose end alone is a place


@dataclass(frozen=True)
class Operator:
    kind: str
    inputs: tuple[str, ...]  # of data, in order: "#3" is what operator 3 makes, else an input of the graph
    branch: bool = False  # a convolution whose result a residual addition takes in as it is, in TensorRT


def everywhere(graph: Sequence[Operator], outputs: Collection[str]) -> set[str]:
    """ONNX Runtime: a pair on both sides of every convolution and addition with its activation, and on every output."""
    placed = {value for some in graph if some.kind == "Conv" for value in some.inputs}
    placed |= {_computed(graph, value) for value in outputs}
    for index, some in enumerate(graph):
        readers = [other for other in graph if f"#{index}" in other.inputs]
        joined = len(readers) == 1 and readers[0].kind in ONES
        unit = some.kind in ("Conv", "Add") or (some.kind in ONES and _behind_a_unit(graph, some))
        if unit and not joined:
            placed.add(f"#{index}")
    return placed


def in_front(graph: Sequence[Operator], outputs: Collection[str]) -> set[str]:
    """TensorRT: in front of every convolution, on the skip of every addition, and on no output as such."""
    placed = {value for some in graph if some.kind == "Conv" for value in some.inputs}
    for some in graph:
        if some.kind == "Add":
            placed |= {value for value in some.inputs if not _is_branch(graph, value)}
    return placed


def _computed(graph: Sequence[Operator], value: str) -> str:
    """Where the numbers of a value come from: turning a shape computes nothing."""
    while value.startswith("#") and graph[int(value[1:])].kind in MOVING:
        (value,) = graph[int(value[1:])].inputs
    return value


def _is_branch(graph: Sequence[Operator], value: str) -> bool:
    return value.startswith("#") and graph[int(value[1:])].branch


def _behind_a_unit(graph: Sequence[Operator], some: Operator) -> bool:
    (value,) = some.inputs
    return value.startswith("#") and graph[int(value[1:])].kind in ("Conv", "Add")


def weight_codes(kernel: NDArray[np.float32], largest: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Signed and symmetric, by output channel: the largest magnitude of each gets the code `largest`. Codes, scales."""
    reach = np.abs(kernel.astype(np.float64)).reshape(len(kernel), -1).max(axis=1)
    scales = reach / largest
    return np.rint(kernel / scales.reshape(-1, 1, 1, 1)), scales
