"""AFD-Loss: tasks on one scale, embeddings kept apart, a state that survives, and no trap in the numbers."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from codriver.errors import ConfigError  # noqa: E402
from codriver.files.decode import decode, encode  # noqa: E402
from codriver.tasks import AIDE, STREAMS  # noqa: E402
from training.losses.afd import AFD, WEIGHTINGS, AFDLoss, LossConfig, balanced_weights  # noqa: E402
from training.losses.decoupling import cosine, difference, gram  # noqa: E402
from training.model.uvm3tl import Fused  # noqa: E402

pytestmark = pytest.mark.torch
COUNTS = {task.name: [10] * task.classes for task in AIDE.tasks}
MASK = torch.ones(3, len(STREAMS), 16)
TERMS = {"cosine": cosine, "gram": gram, "difference": difference}


def fused(batch: int = 3, scale: float = 1.0, dtype: torch.dtype = torch.float32) -> Fused:
    """Logits that come from the shared embedding, as in the model, so that gradients reach it."""
    generator = torch.Generator().manual_seed(0)
    shared = torch.randn(batch, 8, generator=generator).requires_grad_()
    maps = {task.name: torch.randn(8, task.classes, generator=generator) for task in AIDE.tasks}
    logits = {name: (scale * shared @ some).to(dtype) for name, some in maps.items()}
    for some in logits.values():
        some.retain_grad()
    return Fused(logits, torch.randn(batch, 4, 8, generator=generator).requires_grad_(), shared)


def labels(batch: int = 3) -> torch.Tensor:
    return torch.zeros(batch, 4, dtype=torch.int64)


def make(**changes: Any) -> AFDLoss:
    plain = {**AFD, "label_smoothing": 0.0, "auxiliary": 0.0, "fixed": (1.0,) * 4}
    return AFDLoss(AIDE, LossConfig(**{**plain, **changes}), COUNTS)


def test_guessing_evenly_costs_one_in_every_task() -> None:
    assert torch.allclose(make()(fused(scale=0.0), labels(), MASK).tasks, torch.ones(4))


def test_the_total_is_the_weighted_sum_and_beta_times_the_decoupling() -> None:
    loss = make(beta=0.1)
    loss.history.extend([[1.0, 2.0, 1.0, 4.0], [0.5, 2.0, 0.9, 1.0]])
    parts = loss(fused(), labels(), MASK)
    assert parts.weights.tolist() == loss.weights and parts.weights[0] != parts.weights[1]
    assert torch.allclose(parts.total, (parts.weights * parts.tasks).sum() + 0.1 * parts.decoupling)


def test_without_being_told_tasks_weigh_alike_and_nothing_is_decoupled() -> None:
    loss = AFDLoss(AIDE, LossConfig(), COUNTS)
    loss.history.extend([[1.0, 2.0, 1.0, 4.0], [0.5, 2.0, 0.9, 1.0]])
    parts = loss(fused(), labels(), MASK)
    assert parts.weights.tolist() == [1.0] * 4 and set(parts.terms) == {"cross_entropy"}


def test_a_tasks_loss_is_pytorchs_cross_entropy_in_units_of_guessing() -> None:
    counts = COUNTS | {"traffic_context": [1, 5, 30]}
    loss = AFDLoss(AIDE, LossConfig(label_smoothing=0.1), counts)
    some = torch.tensor([[0, 1, 2, 3], [4, 2, -1, 1], [1, 6, 0, 0]])
    result = fused()
    expected = torch.nn.functional.cross_entropy(
        result.logits["traffic_context"],
        some[:, 2],
        balanced_weights(counts["traffic_context"], 0.5),
        ignore_index=-1,
        label_smoothing=0.1,
    )
    assert torch.allclose(loss.task_losses(result, some)[2], expected / math.log(3))


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("decoupling", TERMS)
def test_a_task_without_labels_in_the_batch_costs_nothing_and_gives_no_nan(weighting: str, decoupling: str) -> None:
    some = labels()
    some[:, 2] = -1
    result = fused()
    parts = make(weighting=weighting, decoupling=decoupling)(result, some, MASK)
    parts.total.backward()
    assert parts.tasks[2] == 0 and torch.isfinite(parts.total) and torch.isfinite(result.shared.grad).all()
    assert not result.logits["traffic_context"].grad.any()


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_a_batch_without_any_label_gives_finite_gradients(weighting: str) -> None:
    loss, result = make(weighting=weighting), fused()
    loss(result, labels() - 1, MASK).total.backward()
    loss.after_step(lambda: torch.zeros(4))
    loss.end_epoch()
    assert torch.isfinite(result.shared.grad).all() and all(map(math.isfinite, loss.weights))


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_extreme_logits_zero_losses_and_zero_embeddings_stay_finite(weighting: str) -> None:
    loss, result = make(weighting=weighting, beta=0.1), fused(scale=1e4)
    sure = torch.stack([result.logits[name].argmax(dim=1) for name in AIDE.names], dim=1)
    sure[:, 3] = (sure[:, 3] + 1) % 5  # three tasks at a loss of 0, one at a huge one
    result = Fused(result.logits, torch.zeros(3, 4, 8, requires_grad=True), result.shared)
    for _ in range(3):
        parts = loss(result, sure, MASK)
        parts.total.backward(retain_graph=True)
        loss.after_step(lambda: torch.zeros(4))
        loss.end_epoch()
        assert parts.tasks[0] == 0 and torch.isfinite(parts.total) and torch.isfinite(parts.weights).all()
    assert torch.isfinite(result.specific.grad).all() and torch.isfinite(result.shared.grad).all()


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_logits_of_half_precision_are_judged_in_full_precision(weighting: str, dtype: torch.dtype) -> None:
    result = fused(dtype=dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        parts = make(weighting=weighting)(result, labels(), MASK)
    full = Fused({name: some.float() for name, some in result.logits.items()}, result.specific, result.shared)
    assert parts.total.dtype == torch.float32
    assert torch.equal(parts.total, make(weighting=weighting)(full, labels(), MASK).total)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("decoupling", TERMS)
def test_one_clip_makes_a_batch(weighting: str, decoupling: str) -> None:
    result = fused(batch=1)
    make(weighting=weighting, decoupling=decoupling)(result, labels(1), MASK[:1]).total.backward()
    assert torch.isfinite(result.shared.grad).all() and torch.isfinite(result.specific.grad).all()


def test_the_mean_of_an_epoch_counts_labelled_clips_only() -> None:
    loss, some = make(weighting="equal"), labels()
    mean = loss(fused(), some, MASK).tasks
    some[1:, 1] = -1
    some[:, 2] = -1
    fewer = loss(fused(), some, MASK).tasks
    loss.end_epoch()
    assert loss.history[0][1] == pytest.approx(float(3 * mean[1] + fewer[1]) / 4)
    assert loss.history[0][2] == pytest.approx(float(mean[2]))


def test_a_task_without_labels_in_an_epoch_keeps_its_last_mean() -> None:
    loss, some = make(), labels()
    loss(fused(), some, MASK)
    loss.end_epoch()
    some[:, 2] = -1
    loss(fused(), some, MASK)
    loss.end_epoch()
    assert loss.history[1][2] == loss.history[0][2] > 0


def test_an_epoch_of_two_processes_has_the_mean_of_all_their_clips() -> None:
    one, other, both = make(), make(), make()
    for loss, batch in ((one, 3), (other, 5), (both, 3), (both, 5)):
        loss(fused(batch), labels(batch), MASK[:1].expand(batch, -1, -1))
    theirs = torch.stack([other.loss_sum, other.labelled])
    one.end_epoch(lambda tensor: tensor + theirs)
    both.end_epoch()
    assert one.history[0] == pytest.approx(both.history[0])


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_evaluation_leaves_the_state_alone(weighting: str) -> None:
    loss = make(weighting=weighting).eval()
    before = json.dumps(loss.state_for_meta())
    loss(fused(), labels(), MASK)
    loss.after_step(lambda: torch.full((4,), 0.1))
    assert json.dumps(loss.state_for_meta()) == before


def run(loss: AFDLoss, epochs: int) -> None:
    """Some training: the losses that follow depend on nothing but the state of the loss."""
    optimizer = torch.optim.SGD([*loss.parameters(), torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    for epoch in range(epochs):
        for step in range(2):
            optimizer.zero_grad()
            loss(fused(scale=1.0 / (1 + step + epoch)), labels(), MASK).total.backward()
            optimizer.step()
            loss.after_step(lambda: torch.tensor([0.5, 0.6, 0.7, 0.8]))
        loss.end_epoch()


@pytest.mark.parametrize("through_json", [False, True])
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_the_state_survives_saving_and_loading(weighting: str, through_json: bool) -> None:
    loss, other = make(weighting=weighting), make(weighting=weighting)
    run(loss, 2)
    loss(fused(), labels(), MASK)  # in the middle of an epoch
    if through_json:
        other.load_meta_state(json.loads(json.dumps(loss.state_for_meta())))
    else:
        other.load_state_dict(loss.state_dict())
    assert other.weights == loss.weights and len(other.history) == 2
    run(loss, 2)
    run(other, 2)
    assert other.weights == loss.weights and other.history == loss.history


def test_the_state_of_a_run_before_there_was_a_choice_still_loads() -> None:
    loss = make()
    loss.load_meta_state({"history": [[1.0, 1.0, 1.0, 1.0], [0.5, 1.0, 1.0, 1.0]]})
    assert loss.weights[0] < loss.weights[1]


def test_a_configuration_survives_json() -> None:
    config = LossConfig(weighting="famo", tasks=("driver_emotion",))
    assert decode(LossConfig, json.loads(json.dumps(encode(config)))) == config


@pytest.mark.parametrize("changes", [{"weighting": "pcgrad"}, {"decoupling": "angle"}, {"tasks": ("driver_mood",)}])
def test_what_does_not_exist_is_refused_by_name(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"pcgrad|angle|driver_mood"):
        make(**changes)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_a_loss_for_some_tasks_trains_these_alone(weighting: str) -> None:
    loss, result = make(weighting=weighting, tasks=("driver_behavior", "vehicle_behavior")), fused()
    parts = loss(result, labels(), MASK)
    for some in result.logits.values():
        some.grad = None  # GradNorm's own look at the gradients left them here
    parts.total.backward()
    assert not parts.weights[[0, 2]].any() and (parts.weights[[1, 3]] > 0).all()
    if weighting != "uncertainty":
        assert float(parts.weights.sum()) >= 2 - 1e-5
    assert not result.logits["driver_emotion"].grad.any() and result.logits["driver_behavior"].grad.any()
    assert not result.specific.grad[:, [0, 2]].any() and result.specific.grad[:, [1, 3]].any()


def test_a_loss_for_one_task_weighs_it_once_whatever_the_others_do() -> None:
    loss = make(tasks=("traffic_context",))
    loss.history.extend([[1.0, 1.0, 1.0, 1.0], [9.0, 0.1, 0.5, 9.0]])
    assert loss.weights == [0.0, 0.0, 1.0, 0.0]


@pytest.mark.parametrize("name", TERMS)
def test_decoupling_is_zero_for_orthogonal_embeddings_and_bounded(name: str) -> None:
    apart = torch.eye(5)[None]  # of one sample, orthogonal; the difference loss compares features over a batch
    batch = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    specific, shared = (apart[:, :4], apart[:, 4]) if name != "difference" else (batch[:, None], batch.flip(0))
    assert TERMS[name](specific, shared) == pytest.approx(0.0, abs=1e-6)
    worst = torch.tensor([1.0, -1.0])[:, None, None].expand(2, 5, 8)  # all the same in every sample
    most = {"cosine": 1.0, "gram": 12.0, "difference": 1.0}[name]
    assert float(TERMS[name](worst[:, :4], worst[:, 4])) == pytest.approx(most, rel=1e-5)
    some = torch.randn(6, 5, 8, generator=torch.Generator().manual_seed(2))
    assert 0.0 < float(TERMS[name](some[:, :4], some[:, 4])) < most


@pytest.mark.parametrize("name", TERMS)
def test_decoupling_does_not_see_how_long_embeddings_are(name: str) -> None:
    some = torch.randn(6, 5, 8, generator=torch.Generator().manual_seed(3))
    scaled = some * torch.tensor([1.0, 2.0, 0.5, 30.0, 7.0])[:, None]
    assert torch.allclose(TERMS[name](some[:, :4], some[:, 4]), TERMS[name](scaled[:, :4], scaled[:, 4]), rtol=1e-4)


@pytest.mark.parametrize("name", TERMS)
def test_decoupling_pushes_like_embeddings_apart(name: str) -> None:
    generator = torch.Generator().manual_seed(1)
    specific = torch.randn(6, 4, 8, generator=generator).requires_grad_()
    shared = torch.randn(6, 8, generator=generator)
    before = TERMS[name](specific, shared)
    before.backward()
    assert TERMS[name](specific.detach() - 0.5 * specific.grad, shared) < before


@pytest.mark.parametrize("name", TERMS)
def test_decoupling_leaves_out_pairs_of_a_branch_that_is_off(name: str) -> None:
    some = torch.randn(6, 5, 8, generator=torch.Generator().manual_seed(4))
    assert TERMS[name](None, some[:, 4]) == 0 and TERMS[name](None, None) == 0
    tasks_only = TERMS[name](some[:, :4], None)
    assert tasks_only == 0 if name == "difference" else tasks_only > 0


def test_the_difference_loss_is_its_published_formula() -> None:
    some = torch.randn(6, 2, 8, generator=torch.Generator().manual_seed(5))
    centred = some - some.mean(dim=0)
    unit = centred / centred.norm(dim=2, keepdim=True)
    assert torch.allclose(difference(some[:, :1], some[:, 1]), (unit[:, 0].T @ unit[:, 1]).norm() ** 2 / 36)


def test_rare_classes_weigh_more_and_the_expected_weight_is_one() -> None:
    weights = balanced_weights([90, 10, 0], power=0.5).tolist()
    assert weights[1] == pytest.approx(3 * weights[0], rel=1e-5)
    assert 0.9 * weights[0] + 0.1 * weights[1] == pytest.approx(1.0)


def test_a_task_without_any_label_has_plain_class_weights() -> None:
    assert balanced_weights([0, 0], power=0.5).tolist() == [1.0, 1.0]


def test_streams_that_are_absent_do_not_learn_from_the_clip() -> None:
    mask = MASK.clone()
    mask[:, STREAMS.index("front")] = 0.0
    mask[1, STREAMS.index("left")] = 0.0
    mask[0, STREAMS.index("left"), 4] = 0.0
    guesses = {s: {"vehicle_behavior": torch.zeros(3, mask.shape[2], 5, requires_grad=True)} for s in STREAMS}
    result = fused()
    make(auxiliary=0.3)(Fused(result.logits, result.specific, result.shared, guesses), labels(), mask).total.backward()
    left = guesses["left"]["vehicle_behavior"].grad
    assert not guesses["front"]["vehicle_behavior"].grad.any()
    assert not left[1].any()
    assert left[0].any(dim=1).tolist() == [t not in (0, 4, 5) for t in range(mask.shape[2])]  # those lack motion
