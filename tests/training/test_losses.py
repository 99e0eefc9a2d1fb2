"""AFD-Loss: weights that follow the learning, embeddings kept apart, and no trap in the numbers."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from codriver.tasks import AIDE, STREAMS  # noqa: E402
from training.losses import AFDLoss, LossConfig, balanced_weights, decoupling_loss  # noqa: E402
from training.model import Fused  # noqa: E402

pytestmark = pytest.mark.torch
COUNTS = {task.name: [10] * task.classes for task in AIDE.tasks}
MASK = torch.ones(3, len(STREAMS), 16)


def fused(batch: int = 3, scale: float = 0.0) -> Fused:
    generator = torch.Generator().manual_seed(0)
    logits = {t.name: (scale * torch.randn(batch, t.classes, generator=generator)).requires_grad_() for t in AIDE.tasks}
    return Fused(logits, torch.randn(batch, 4, 8, generator=generator), torch.randn(batch, 8, generator=generator))


def labels(batch: int = 3) -> torch.Tensor:
    return torch.zeros(batch, 4, dtype=torch.int64)


def make(**changes: float | bool) -> AFDLoss:
    return AFDLoss(AIDE, LossConfig(**{"label_smoothing": 0.0, "auxiliary": 0.0, **changes}), COUNTS)


def test_guessing_evenly_costs_one_in_every_task() -> None:
    assert torch.allclose(make()(fused(), labels(), MASK).tasks, torch.ones(4))


def test_the_weights_are_one_for_two_epochs_and_then_follow_the_learning() -> None:
    loss = make()
    loss.history = [[1.0, 1.0, 1.0, 1.0]]
    assert loss.weights == [1.0] * 4
    loss.history.append([0.5, 1.0, 1.0, 1.0])
    weights = loss.weights
    assert weights[0] < weights[1] == weights[2] and math.isclose(sum(weights), 4.0)


def test_weights_are_the_published_formula_of_dynamic_weight_averaging() -> None:
    loss = make(temperature=2.0)
    loss.history = [[1.0, 2.0, 1.0, 4.0], [0.5, 2.0, 0.9, 1.0]]
    powers = [math.exp(rate / 2.0) for rate in (0.5, 1.0, 0.9, 0.25)]
    assert loss.weights == pytest.approx([4 * power / sum(powers) for power in powers])


def test_weights_carry_no_gradient_and_can_be_switched_off() -> None:
    loss = make(adaptive=False)
    loss.history = [[1.0, 2.0, 1.0, 4.0], [0.5, 2.0, 0.9, 1.0]]
    assert loss.weights == [1.0] * 4


def test_a_task_without_labels_in_the_batch_costs_nothing_and_gives_no_nan() -> None:
    some = labels()
    some[:, 2] = -1
    result = fused(scale=1.0)
    parts = make()(result, some, MASK)
    parts.total.backward()
    assert parts.tasks[2] == 0 and torch.isfinite(parts.total)
    assert not result.logits["traffic_context"].grad.any()


def test_extreme_logits_and_zero_embeddings_stay_finite() -> None:
    result = fused(scale=1e4)
    result = Fused(result.logits, torch.zeros(3, 4, 8, requires_grad=True), torch.zeros(3, 8))
    parts = make(beta=0.1)(result, labels(), MASK)
    parts.total.backward()
    assert torch.isfinite(parts.total) and torch.isfinite(result.specific.grad).all()


def test_a_loss_of_zero_in_the_epoch_before_gives_finite_weights() -> None:
    loss = make()
    loss.history = [[0.0, 1.0, 1.0, 1.0], [0.5, 1.0, 1.0, 1.0]]
    assert all(math.isfinite(weight) for weight in loss.weights)


def test_the_state_survives_saving_and_loading() -> None:
    loss, other = make(), make()
    for _ in range(2):
        loss(fused(scale=1.0), labels(), MASK)
        loss.end_epoch()
    other.load_state_dict(loss.state_dict())
    assert other.weights == loss.weights and len(other.history) == 2


def test_decoupling_is_zero_for_orthogonal_and_one_for_equal_embeddings() -> None:
    apart = torch.eye(5)[None]
    assert decoupling_loss(apart[:, :4], apart[:, 4]) == pytest.approx(0.0)
    same = torch.ones(2, 5, 8)
    assert float(decoupling_loss(same[:, :4], same[:, 4])) == pytest.approx(1.0)


def test_decoupling_pushes_equal_embeddings_apart() -> None:
    generator = torch.Generator().manual_seed(1)
    specific = torch.randn(6, 4, 8, generator=generator).requires_grad_()
    shared = torch.randn(6, 8, generator=generator)
    before = decoupling_loss(specific, shared)
    before.backward()
    assert decoupling_loss(specific.detach() - 5.0 * specific.grad, shared) < before


def test_rare_classes_weigh_more_and_the_expected_weight_is_one() -> None:
    weights = balanced_weights([90, 10, 0], power=0.5).tolist()
    assert weights[1] == pytest.approx(3 * weights[0], rel=1e-5)
    assert 0.9 * weights[0] + 0.1 * weights[1] == pytest.approx(1.0)


def test_streams_that_are_absent_do_not_learn_from_the_clip() -> None:
    mask = MASK.clone()
    mask[:, STREAMS.index("front")] = 0.0
    mask[1, STREAMS.index("left")] = 0.0
    guesses = {s: {"vehicle_behavior": torch.zeros(3, 5, requires_grad=True)} for s in STREAMS}
    result = fused()
    make(auxiliary=0.3)(Fused(result.logits, result.specific, result.shared, guesses), labels(), mask).total.backward()
    left = guesses["left"]["vehicle_behavior"].grad
    assert guesses["front"]["vehicle_behavior"].grad is None
    assert not left[1].any() and left[0].any()
