"""An engine without a runtime, for tests and for trying things out: its answers follow from the inputs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codriver.engines import Arrays, Signature, Tensor, check_tensors, describe
from codriver.errors import EngineError


class FakeEngine:
    """Every output is a fixed pattern scaled by a weighted mean of the inputs it belongs to.

    `<stream>_feature` depends on the input `<stream>` alone where there is one; any other output depends on
    all inputs. The weights differ from place to place, so an input in the wrong slot changes the answer.
    """

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        self._weights = {name: _pattern(tensor) for name, tensor in signature.inputs.items()}
        self._patterns = {name: _pattern(tensor) for name, tensor in signature.outputs.items()}
        self._closed = False

    def infer(self, inputs: Arrays) -> Arrays:
        if self._closed:
            raise EngineError("this engine is closed; open the bundle again")
        check_tensors("inputs given", describe(inputs), self._signature.inputs)
        means = {name: _weighted_mean(inputs[name], weights) for name, weights in self._weights.items()}
        levels = {name: self._level(name, means) for name in self._patterns}
        return {name: (pattern * levels[name]).astype(np.float32) for name, pattern in self._patterns.items()}

    def _level(self, output: str, means: dict[str, float]) -> float:
        own = output.removesuffix("_feature")
        if own != output and own in means:
            return means[own]
        return sum(means[name] * (1.0 + 0.1 * place) for place, name in enumerate(sorted(means)))

    def close(self) -> None:
        self._closed = True


def _pattern(tensor: Tensor) -> NDArray[np.float64]:
    """0.5..1.5, never twice the same along an axis."""
    return 1.0 + 0.5 * np.cos(np.arange(int(np.prod(tensor.shape)), dtype=np.float64)).reshape(tensor.shape)


def _weighted_mean(values: NDArray[np.generic], weights: NDArray[np.float64]) -> float:
    scale = 255.0 if values.dtype == np.uint8 else 1.0
    return float(np.vdot(weights, values.astype(np.float64))) / (scale * weights.size)
