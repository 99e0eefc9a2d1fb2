"""What every runtime keeps to: tensors, signatures, graph files, and the two methods of an engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from codriver.arrays import Arrays
from codriver.errors import EngineError

RUNTIMES = ("onnxruntime", "openvino", "tensorrt")  # what a variant may be for; the module to import is named alike
# ONNX Runtime's GPU providers, to compare with: no bundle is made for them, so they run the variants of these runtimes,
# and only where somebody names them.
STAND_INS = {"onnxruntime-cuda": ("tensorrt", "onnxruntime"), "onnxruntime-tensorrt": ("tensorrt",)}
ENGINES = (*RUNTIMES, *STAND_INS, "fake")
UNPROVEN = dict.fromkeys(("tensorrt", *STAND_INS), "not run on hardware yet")  # told to users, until somebody has


class Tensor(NamedTuple):
    """What one input or output looks like. Shapes are fixed: no unknown dimension."""

    dtype: str  # numpy's name: uint8, float32
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype} {self.shape}"


class Signature(NamedTuple):
    """What a graph takes and gives, by name."""

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]

    def zeros(self) -> Arrays:
        """One input of zeros, to warm a graph up with."""
        return _zeros(self.inputs)

    def room(self) -> Arrays:
        """Arrays that a graph's outputs can be written to."""
        return _zeros(self.outputs)

    def part(self, group: str) -> Signature:
        """The tensors named after a group, with one row of each."""
        inputs, outputs = (
            {name: Tensor(t.dtype, (1, *t.shape[1:])) for name, t in some.items() if f"{name}_".startswith(f"{group}_")}
            for some in (self.inputs, self.outputs)
        )
        return Signature(inputs=inputs, outputs=outputs)


def _zeros(tensors: Mapping[str, Tensor]) -> Arrays:
    return {name: np.zeros(tensor.shape, tensor.dtype) for name, tensor in tensors.items()}


class GraphFiles(NamedTuple):
    """A graph as bytes: what was hashed is what is loaded."""

    model: bytes  # ONNX, or the XML of OpenVINO's IR
    weights: bytes = b""  # of an IR; everything else carries its own


class Engine(Protocol):
    """A loaded graph. Outputs are new arrays on every call: the caller owns them."""

    def infer(self, inputs: Arrays) -> Arrays: ...

    def close(self) -> None: ...


def check_tensors(what: str, found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raise an EngineError that names every tensor in which `found` departs from the signature.

    what: whose tensors they are, for the message.
    """
    faults = [f"{name} is missing" for name in expected if name not in found]
    faults += [f"{name} is not expected" for name in found if name not in expected]
    faults += [
        f"{name} is {found[name]}, expected {tensor}"
        for name, tensor in expected.items()
        if name in found and found[name] != tensor
    ]
    if faults:
        raise EngineError(f"{what} do not fit the manifest: {'; '.join(faults)}")


def describe(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    return {name: Tensor(str(values.dtype), values.shape) for name, values in arrays.items()}
