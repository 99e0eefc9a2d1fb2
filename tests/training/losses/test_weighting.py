"""Weightings: each is its published formula, is a constant for the model, and moves the way its source says."""

from __future__ import annotations

import math
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from codriver.errors import ConfigError  # noqa: E402
from training.losses.afd import WEIGHTINGS, LossConfig, make_weighting  # noqa: E402
from training.losses.weighting import SMALL, Equal, gradient_norms  # noqa: E402

pytestmark = pytest.mark.torch
ALL = torch.ones(4, dtype=torch.bool)
STEEPNESS = torch.tensor([1.0, 2.0, 3.0, 4.0])


def make(name: str, trained: torch.Tensor = ALL, **changes: Any) -> Equal:
    return make_weighting(LossConfig(**{"weighting": name, "fixed": (1.0,) * 4, **changes}), trained)


def batch(*losses: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Losses of these sizes, whose gradients with respect to the shared embedding are `STEEPNESS` long."""
    shared = torch.zeros(1, 1, requires_grad=True)
    return torch.tensor(losses) + STEEPNESS * shared[0, 0], shared


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_equal_losses_weigh_one_each_at_first(name: str) -> None:
    weights = make(name).eval()(torch.ones(4), ALL, None)[1]
    assert weights.tolist() == pytest.approx([0.5 * math.exp(0.5) if name == "uncertainty" else 1.0] * 4)


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_weights_are_constants_for_the_gradient(name: str) -> None:
    losses, shared = batch(0.5, 1.0, 1.5, 2.0)
    total, weights = make(name)(losses, ALL, shared)
    assert not weights.requires_grad
    slope = torch.autograd.grad(total, shared)[0]
    assert float(slope) == pytest.approx(float((weights * STEEPNESS).sum()), rel=1e-5)


def test_dwa_weighs_one_for_two_epochs_and_then_is_the_published_formula() -> None:
    weighting = make("dwa", temperature=2.0)
    weighting.history.append([1.0, 2.0, 1.0, 4.0])
    assert weighting.now().tolist() == [1.0] * 4
    weighting.history.append([0.5, 2.0, 0.9, 1.0])
    powers = [math.exp(rate / 2.0) for rate in (0.5, 1.0, 0.9, 0.25)]
    assert weighting.now().tolist() == pytest.approx([4 * power / sum(powers) for power in powers])


def test_dwa_stays_finite_after_a_loss_of_exactly_zero() -> None:
    weighting = make("dwa")
    weighting.history.extend([[0.0, 1.0, 1.0, 0.0], [0.5, 1.0, 1.0, 0.0]])
    assert torch.isfinite(weighting.now()).all() and float(weighting.now().sum()) == pytest.approx(4.0)


def test_uncertainty_learns_the_logarithm_of_the_loss() -> None:
    weighting = make("uncertainty")
    optimizer = torch.optim.Adam(weighting.parameters(), lr=0.1)
    losses = torch.tensor([0.25, 0.5, 1.0, 0.0])
    for _ in range(200):
        optimizer.zero_grad()
        weighting(losses, ALL, None)[0].backward()
        optimizer.step()
    wanted = [math.log(loss) for loss in (0.25, 0.5, 1.0, SMALL)]
    assert weighting.log_variance.tolist() == pytest.approx(wanted, abs=0.05)


def test_uncertainty_of_a_task_that_is_not_there_is_not_learned() -> None:
    weighting = make("uncertainty")
    weighting(torch.ones(4), torch.tensor([True, True, False, True]), None)[0].backward()
    assert weighting.log_variance.grad[2] == 0 and weighting.log_variance.grad[0] != 0


def test_gradnorm_sees_how_long_each_tasks_gradient_is() -> None:
    assert gradient_norms(*batch(1.0, 1.0, 1.0, 1.0)).tolist() == pytest.approx(STEEPNESS.tolist())


def test_gradnorm_evens_out_gradients_of_tasks_that_learn_alike() -> None:
    weighting = make("gradnorm")
    for _ in range(200):
        weights = weighting(*_with_all(batch(1.0, 1.0, 1.0, 1.0)))[1]
    lengths = weights * STEEPNESS
    assert float(lengths.max() / lengths.min()) < 1.2 and float(weights.sum()) == pytest.approx(4.0)


def test_gradnorm_gives_more_to_the_task_that_lags_behind() -> None:
    weighting = make("gradnorm")
    for _ in range(50):
        losses, shared = batch(0.2, 0.2, 0.2, 1.0)
        losses = losses.detach() + shared[0, 0]  # all gradients alike
        weights = weighting(losses, ALL, shared)[1]
    assert weights[3] > 1.2 > 1.0 > float(weights[:3].max())


@pytest.mark.parametrize("shared", [None, torch.zeros(1, 1), torch.zeros(1, 1, requires_grad=True)])
def test_gradnorm_without_a_shared_embedding_in_the_graph_says_what_to_do(shared: torch.Tensor | None) -> None:
    with pytest.raises(ConfigError, match="shared branch"):
        make("gradnorm")(batch(1.0, 1.0, 1.0, 1.0)[0], ALL, shared)


def test_famo_has_the_gradient_of_the_published_loss() -> None:
    weighting = make("famo")
    weighting.scores.copy_(torch.tensor([0.3, -0.2, 0.0, 0.5]))
    losses, shared = batch(0.5, 1.0, 1.5, 2.0)
    weights = weighting(losses, ALL, shared)[1]
    shares = weighting.scores.softmax(dim=0)
    scale = (shares / losses.detach()).sum()
    slopes = torch.autograd.grad((losses.log() * shares / scale).sum(), losses)[0]
    assert torch.allclose(weights / 4, slopes)


def test_famo_moves_as_its_source_does() -> None:
    weighting, before, after = make("famo"), torch.tensor([1.0, 0.8, 0.6, 0.4]), torch.tensor([0.5, 0.8, 0.5, 0.6])
    scores = torch.zeros(4, requires_grad=True)
    optimizer = torch.optim.Adam([scores], lr=0.025, weight_decay=1e-3)
    for _ in range(3):
        weighting(before, ALL, None)
        weighting.after_step(after)
        optimizer.zero_grad()
        (scores.softmax(dim=0) * (before.log() - after.log())).sum().backward()
        optimizer.step()
    assert torch.allclose(weighting.scores, scores.detach(), atol=1e-6)
    assert weighting.now()[0] != 1.0 and weighting.scores[0] < weighting.scores[3]


def test_famo_ignores_a_task_that_has_no_label_in_the_batch() -> None:
    weighting, here = make("famo"), torch.tensor([True, True, False, True])
    losses = torch.tensor([1.0, 1.0, 0.0, 1.0])
    assert weighting(losses, here, None)[1].tolist() == pytest.approx([1.0, 1.0, 0.0, 1.0])
    weighting.after_step(losses)
    assert not weighting.scores.any()


def test_only_famo_asks_for_the_losses_after_the_step() -> None:
    assert [name for name in WEIGHTINGS if make(name).needs_after_step] == ["famo"]


def test_gls_is_the_geometric_mean_and_has_its_gradient() -> None:
    losses, shared = batch(0.5, 1.0, 1.5, 2.0)
    total, weights = make("gls")(losses, ALL, shared)
    direct = 4 * losses.prod() ** 0.25
    assert torch.allclose(total, direct)
    assert torch.allclose(weights, torch.autograd.grad(direct, losses)[0])


def test_gls_with_a_loss_of_zero_is_finite_and_still_trains_the_others() -> None:
    weights = make("gls")(torch.tensor([0.0, 1.0, 1.0, 1.0]), ALL, None)[1]
    assert torch.isfinite(weights).all() and (weights[1:] > 0).all()


@pytest.mark.parametrize("name", ["gradnorm", "famo"])
def test_processes_agree_after_an_epoch(name: str) -> None:
    one, other = make(name), make(name)
    for weighting, losses in ((one, (0.5, 1.0, 1.5, 2.0)), (other, (2.0, 0.2, 1.0, 1.0))):
        weighting(*_with_all(batch(*losses)))
        weighting.after_step(torch.tensor([0.4, 0.3, 0.2, 0.1]))
    assert not torch.equal(one.scores, other.scores)
    states = [[torch.ones(()), w.scores, w.first_moment, w.second_moment] for w in (one, other)]
    sums = [sum(pair) for pair in zip(*states, strict=True)]
    for weighting in (one, other):
        answers = iter([some.clone() for some in sums])
        weighting.synchronise(lambda _, answers=answers: next(answers))
    assert torch.equal(one.scores, other.scores) and torch.equal(one.second_moment, other.second_moment)
    assert torch.allclose(one.scores, sums[1] / 2) and torch.allclose(one.second_moment, sums[3] / 2)


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_tasks_that_are_not_trained_weigh_nothing_and_do_not_count(name: str) -> None:
    trained = torch.tensor([True, False, True, False])
    found = []
    for losses, shared in (batch(0.5, 1.0, 1.5, 2.0), batch(0.5, 9.0, 1.5, 0.01)):
        found.append(make(name, trained)(losses, trained, shared)[1])
    assert torch.equal(*found) and not found[0][[1, 3]].any() and (found[0][[0, 2]] > 0).all()


def _with_all(losses_and_shared: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return losses_and_shared[0], ALL, losses_and_shared[1]


@pytest.mark.parametrize("wrong", [math.inf, -math.inf, math.nan])
def test_a_gradient_that_is_not_finite_moves_no_score(wrong: float) -> None:
    weighting = make("famo")
    weighting.decay = 0.0
    weighting._move(torch.tensor([wrong, 0.0, 0.0, 0.0]))
    assert not weighting.scores.any()


def test_dwa_is_the_published_formula_for_losses_far_below_guessing() -> None:
    weighting = make("dwa", temperature=1.0)
    weighting.history.extend([[0.02, 0.1, 0.5, 0.001], [0.01, 0.1, 0.6, 0.002]])
    powers = [math.exp(rate) for rate in (0.5, 1.0, 1.2, 2.0)]
    assert weighting.now().tolist() == pytest.approx([4 * power / sum(powers) for power in powers], rel=1e-5)


def test_famo_looks_once_after_each_batch() -> None:
    weighting = make("famo")
    weighting(torch.ones(4), ALL, None)
    weighting.after_step(torch.tensor([0.5, 1.0, 1.0, 1.0]))
    moved = weighting.scores.clone()
    weighting.after_step(torch.tensor([0.1, 1.0, 1.0, 1.0]))  # nothing waits
    assert moved.any() and torch.equal(weighting.scores, moved)
