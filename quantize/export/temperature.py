"""Confidence that means something: one temperature per task, fitted on held-out clips (Guo et al. 2017, section 4.2).

Fitted on the answers in full precision: INT8 moves probabilities by far less than a temperature does, and its parity is
proven apart.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from training.report.metrics import reliability
from workshop.quantized_report import CalibrationError, FittedTemperature

Floats = NDArray[np.float64]
BOUNDS = (0.05, 20.0)  # of a temperature; beyond them the split is too small or too easy to tell
MIN_CLIPS = 50  # fewer labelled clips say nothing: the temperature stays 1


def tempered(probabilities: Floats, temperature: float) -> Floats:
    """The probabilities that logits divided by the temperature give. probabilities: (..., K)."""
    logits = np.log(np.maximum(probabilities, 1e-300)) / temperature
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def nll(labels: NDArray[np.int64], probabilities: Floats) -> float:
    """Mean negative log-likelihood, nats. labels: (n,). probabilities: (n, K)."""
    return float(-np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-300)).mean())


def fit_temperature(labels: NDArray[np.int64], probabilities: Floats) -> float:
    """The temperature with the least negative log-likelihood. labels: (n,). probabilities: (n, K)."""
    from scipy.optimize import minimize_scalar  # takes a second, which a --help should not

    found = minimize_scalar(
        lambda power: nll(labels, tempered(probabilities, float(np.exp(power)))),
        bounds=tuple(np.log(BOUNDS)),
        method="bounded",
    )
    return float(np.exp(found.x))


def calibrated(labels: NDArray[np.int64], probabilities: Floats) -> FittedTemperature:
    """One task's temperature, and what it does to clips that it was not fitted on.

    labels: (n,), -1 where there is none. `after` is cross-fitted: each half of the clips with the temperature of the
    other half, so that it is no praise of itself.
    """
    known = labels >= 0
    labels, probabilities = labels[known], probabilities[known]
    if len(labels) < MIN_CLIPS:
        return FittedTemperature(temperature=1.0, clips=len(labels))
    halves = np.arange(len(labels)) % 2
    crossed = probabilities.copy()
    for half in (0, 1):
        other = halves != half
        crossed[~other] = tempered(probabilities[~other], fit_temperature(labels[other], probabilities[other]))
    return FittedTemperature(
        temperature=round(fit_temperature(labels, probabilities), 4),
        clips=len(labels),
        before=_errors(labels, probabilities),
        after=_errors(labels, crossed),
    )


def _errors(labels: NDArray[np.int64], probabilities: Floats) -> CalibrationError:
    ece = reliability(labels, probabilities).ece
    return CalibrationError(ece=round(ece, 5), nll=round(nll(labels, probabilities), 5))


def confidence(labels: NDArray[np.int64], probabilities: Mapping[str, Floats]) -> dict[str, FittedTemperature]:
    """Every task's calibration. labels: (n, tasks). probabilities: task -> (n, K), in the order of the labels."""
    return {task: calibrated(labels[:, k], some) for k, (task, some) in enumerate(probabilities.items())}
