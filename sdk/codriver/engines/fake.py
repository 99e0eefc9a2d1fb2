"""An engine without a runtime: its answers follow from the inputs alone. For tests, and for trying things out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codriver.arrays import Arrays
from codriver.engines.base import Signature, Tensor, check_tensors, describe
from codriver.errors import EngineError


class FakeEngine:
    """Every output is a fixed pattern scaled by a weighted mean of the inputs it belongs to.

    Row r of `<group>_feature`, `<group>_motion` and `<group>_slot` depends on row r of that group's inputs alone; any
    other output depends on all inputs. The weights differ from place to place, so an input in the wrong slot changes
    the answer.
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
        means = {name: _row_means(inputs[name], weights) for name, weights in self._weights.items()}
        outputs = {}
        for name, pattern in self._patterns.items():
            levels = self._levels(name, means)  # (rows,) or (1,)
            outputs[name] = (pattern * levels.reshape(-1, *[1] * (pattern.ndim - 1))).astype(np.float32)
        return outputs

    def _levels(self, output: str, means: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        group = output.rpartition("_")[0]
        if output.endswith("_feature") and group in means:
            return means[group]
        if output.endswith(("_motion", "_slot")) and group in means:
            motion = means[group] + 0.5 * means[f"{group}_before"]
            return motion if output.endswith("_motion") else motion + 0.25 * means[f"{group}_motion_before"]
        total = sum(means[name].sum() * (1.0 + 0.1 * place) for place, name in enumerate(sorted(means)))
        return np.array([total])

    def close(self) -> None:
        self._closed = True


def _pattern(tensor: Tensor) -> NDArray[np.float64]:
    """0.5..1.5, never twice the same along an axis."""
    return 1.0 + 0.5 * np.cos(np.arange(int(np.prod(tensor.shape)), dtype=np.float64)).reshape(tensor.shape)


def _row_means(values: NDArray[np.generic], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(rows,) weighted means."""
    scale = 255.0 if values.dtype == np.uint8 else 1.0
    rows = (values.astype(np.float64) * weights).reshape(len(values), -1)
    return np.asarray(rows.mean(axis=1) / scale, dtype=np.float64)
