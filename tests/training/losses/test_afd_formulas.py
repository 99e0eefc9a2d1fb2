"""AFD-Loss against its formulas in NumPy: every weighting with every decoupling term, on random batches and epochs."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from codriver.tasks import AIDE, STREAMS  # noqa: E402
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
    for number in range(12):
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
        if number % 3 == 2:
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


def test_a_stream_that_guesses_nothing_is_not_among_those_that_a_task_averages() -> None:
    some, config = example(5), configured(beta=0.0, weighting="equal")
    guesses = {stream: by_task for stream, by_task in some.fused.guesses.items() if stream != "front"}
    some.fused = Fused(some.fused.logits, some.fused.specific, some.fused.shared, guesses)
    some.mask[:, STREAMS.index("front")] = 0  # as the formula sees a stream that is off
    expected = task_losses(some, config) + config.auxiliary * auxiliary_losses(some, config)
    assert float(some.by(AFDLoss(AIDE, config, COUNTS)).total.detach()) == pytest.approx(expected.sum(), rel=1e-4)


def test_one_camera_alone_guesses_for_itself() -> None:
    some, config = example(6), configured(beta=0.0, weighting="equal")
    some.mask[:] = 0
    some.mask[:, STREAMS.index("front")] = 1
    expected = task_losses(some, config) + config.auxiliary * auxiliary_losses(some, config)
    assert auxiliary_losses(some, config)[2] > 0  # traffic
    assert float(some.by(AFDLoss(AIDE, config, COUNTS)).total.detach()) == pytest.approx(expected.sum(), rel=1e-4)


@pytest.mark.parametrize("weighting", ["gls", "famo"])
def test_a_task_without_a_label_in_the_batch_weighs_nothing_there(weighting: str) -> None:
    some = example(7)
    some.labels[:, 1] = -1
    parts = some.by(AFDLoss(AIDE, configured(weighting=weighting), COUNTS))
    assert parts.weights[1] == 0 and float(parts.weights[[0, 2, 3]].min()) > 0


def test_sums_of_an_unfinished_epoch_come_back_to_the_last_bit() -> None:
    loss, other = (AFDLoss(AIDE, configured(), COUNTS) for _ in range(2))
    loss.loss_sum += torch.tensor([1 / 3, 2 / 3, 1 / 7, 1e9 / 7], dtype=torch.float64)
    other.load_meta_state(json.loads(json.dumps(loss.state_for_meta())))
    assert torch.equal(other.loss_sum, loss.loss_sum)
