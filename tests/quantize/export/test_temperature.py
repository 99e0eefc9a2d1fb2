"""Temperatures: the right one is found, and what it is said to gain is gained on other clips."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("scipy")

from codriver.answers.results import softmax
from quantize.export.temperature import calibrated, confidence, fit_temperature, tempered
from tests.formulas import metrics as formulas
from workshop.quantized_report import FittedTemperature

pytestmark = pytest.mark.torch


def overconfident(factor: float, clips: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from honest probabilities, and the probabilities of logits that are `factor` times too large."""
    random = np.random.default_rng(0)
    honest = random.normal(0, 1.5, (clips, 5))
    labels = np.array([random.choice(5, p=softmax(row)) for row in honest])
    return labels, np.stack([softmax(row * factor) for row in honest])


def test_tempered_probabilities_are_those_of_divided_logits() -> None:
    logits = np.random.default_rng(1).normal(0, 3, (7, 4))
    expected = np.stack([softmax(row / 2.5) for row in logits])
    np.testing.assert_allclose(tempered(np.stack([softmax(row) for row in logits]), 2.5), expected, rtol=1e-9)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0, 4.0])
def test_the_temperature_undoes_what_made_the_logits_too_large_or_too_small(factor: float) -> None:
    assert fit_temperature(*overconfident(factor)) == pytest.approx(factor, rel=0.07)


def test_calibration_error_shrinks_on_clips_that_the_temperature_was_not_fitted_on() -> None:
    found = calibrated(*overconfident(3.0))
    assert found.before and found.after and found.before.ece > 0.1 > 0.03 > found.after.ece
    assert found.after.nll < found.before.nll and found.clips == 4000


def test_clips_without_a_label_do_not_count_and_too_few_leave_the_temperature_alone() -> None:
    labels, probabilities = overconfident(3.0, clips=60)
    labels[:20] = -1
    assert calibrated(labels, probabilities) == FittedTemperature(temperature=1.0, clips=40)


def test_answers_that_are_always_right_end_at_a_bound_and_not_at_a_division_by_zero() -> None:
    labels = np.arange(100) % 5
    found = calibrated(labels, np.eye(5)[labels] * 0.8 + 0.04)
    assert 0.05 <= found.temperature < 0.1 and found.after and np.isfinite(found.after.nll)


def test_each_task_has_its_own_column_of_labels() -> None:
    (labels, sharp), (others, honest) = overconfident(3.0), overconfident(1.0)
    found = confidence(np.stack([labels, others], axis=1), {"a": sharp, "b": honest})
    assert found["a"].temperature > 2.5 and found["b"].temperature == pytest.approx(1.0, rel=0.07)


def test_each_half_is_judged_by_the_temperature_of_the_other_half() -> None:
    """With halves that want other temperatures it shows: by its own, each would look better than it is."""
    (labels, sharp), (_, honest) = overconfident(4.0, clips=400), overconfident(1.0, clips=400)
    probabilities = sharp.copy()
    probabilities[1::2] = honest[1::2]
    after = calibrated(labels, probabilities).after
    fitted = [fit_temperature(labels[half::2], probabilities[half::2]) for half in (0, 1)]
    crossed = [formulas.temperature_nll(labels[h::2], probabilities[h::2], fitted[1 - h]) for h in (0, 1)]
    own = [formulas.temperature_nll(labels[h::2], probabilities[h::2], fitted[h]) for h in (0, 1)]
    assert after and after.nll == pytest.approx(np.mean(crossed), abs=1e-4) and np.mean(own) < np.mean(crossed) - 0.01
