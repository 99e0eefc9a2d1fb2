"""AFD-Loss against its formulas in NumPy: every weighting with every decoupling term, on random batches and epochs."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from codriver.tasks import AIDE  # noqa: E402
from tests.afd_examples import COUNTS, TASKS, Reference, auxiliary_losses, configured, example, task_losses  # noqa: E402
from tests.formulas import afd as formulas  # noqa: E402
from training.losses.afd import WEIGHTINGS, AFDLoss  # noqa: E402
from training.losses.decoupling import TERMS  # noqa: E402
from training.model.uvm3tl import Fused  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("decoupling", TERMS)
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_the_loss_is_its_formula_over_steps_and_epochs(weighting: str, decoupling: str) -> None:
    config = configured(weighting=weighting, decoupling=decoupling)
    loss, reference = AFDLoss(AIDE, config, COUNTS), Reference(config)
    for number in range(24):
        some, later = example(number, 0.2 + number % 5), example(number + 100)
        parts = some.by(loss)
        total, losses, weights, apart = reference.step(some)
        assert parts.tasks.tolist() == pytest.approx(losses, rel=1e-4)
        assert parts.weights.tolist() == pytest.approx(weights, rel=1e-3)
        assert loss.weights == pytest.approx(weights, rel=1e-3)  # as they go into the log
        assert float(parts.decoupling) == pytest.approx(apart, rel=1e-4)
        assert float(parts.total.detach()) == pytest.approx(total, rel=1e-3)
        after = task_losses(later, config)
        loss.after_step(partial(torch.tensor, after))
        reference.after_step(losses, after)
        if number % 4 == 3:
            loss.end_epoch()
            reference.end_epoch()
            assert loss.history[-1] == pytest.approx(reference.history[-1], rel=1e-4)


def test_gradnorm_pulls_by_the_rate_to_the_power_of_alpha() -> None:
    """The power decides on which side of its share a task stands: with 0.1 they are others than with 3."""
    found = []
    for alpha in (0.1, 3.0):
        config = configured(weighting="gradnorm", gradnorm_alpha=alpha)
        loss, reference = AFDLoss(AIDE, config, COUNTS), Reference(config)
        for number in range(12):
            example(number, 2.0).by(loss)
            reference.step(example(number, 2.0))
        assert loss.weights == pytest.approx(reference._weights(np.ones(TASKS)), rel=1e-3)
        found.append(loss.weights)
    assert not np.allclose(*found, rtol=1e-2)


def test_a_step_that_overflowed_does_not_count_in_its_epoch() -> None:
    """Mixed precision skips such a step; the mean of the epoch sets the next weights and must not be halved by it."""
    loss = AFDLoss(AIDE, configured(weighting="equal"), COUNTS)
    some = example(1)
    some.by(loss)
    loss.end_epoch()
    some.by(loss)
    broken = example(1)
    broken.fused.logits["driver_behavior"] = broken.fused.logits["driver_behavior"] * float("inf")
    broken.by(loss)
    loss.end_epoch()
    assert loss.history[1] == pytest.approx(loss.history[0])
    assert np.isfinite(loss.history).all()


@pytest.mark.parametrize("auxiliary", [0.0, 0.25, 1.0])
def test_guesses_weigh_as_their_tasks_do_times_the_auxiliary_weight(auxiliary: float) -> None:
    config = configured(auxiliary=auxiliary, beta=0.0)
    loss = AFDLoss(AIDE, config, COUNTS)
    loss.history.extend([[1.0, 1.0, 1.0, 1.0], [3.0, 0.2, 1.0, 1.0]])
    some, weights = example(3), formulas.dwa([[1.0] * 4, [3.0, 0.2, 1.0, 1.0]], TASKS, config.temperature)
    expected = weights @ (task_losses(some, config) + auxiliary * auxiliary_losses(some, config))
    assert float(some.by(loss).total.detach()) == pytest.approx(expected, rel=1e-4)


def test_without_guesses_there_is_no_auxiliary_term() -> None:
    some, config = example(4), configured(beta=0.0, weighting="equal")
    some.fused = Fused(some.fused.logits, some.fused.specific, some.fused.shared)
    total = some.by(AFDLoss(AIDE, config, COUNTS)).total
    assert float(total.detach()) == pytest.approx(task_losses(some, config).sum(), rel=1e-4)
