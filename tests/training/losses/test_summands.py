"""Decoupling of an embedding's two summands: the formula, its share of the gradient, a state that survives."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from codriver.errors import ConfigError  # noqa: E402
from codriver.tasks import AIDE, STREAMS  # noqa: E402
from training.losses.afd import AFDLoss, LossConfig  # noqa: E402
from training.losses.summands import MEANS_OVER, SummandDecoupling, centred_cosine  # noqa: E402
from training.model.uvm3tl import SIZES, UVM3TL, Fused  # noqa: E402

pytestmark = pytest.mark.torch


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_term_is_the_squared_cosine_around_the_means() -> None:
    summands, means = drawn(0, 2, 5, 3, 8), drawn(1, 2, 3, 8)
    a, b = (summands - means[:, None]).double().numpy()
    for clip in range(5):
        for task in range(3):
            first, second = a[clip, task], b[clip, task]
            expected = (first @ second) ** 2 / (first @ first) / (second @ second)
            assert float(centred_cosine(summands, means)[clip, task]) == pytest.approx(expected, rel=1e-4)


def test_what_all_clips_have_in_common_does_not_count() -> None:
    term = SummandDecoupling(0.1)
    for seed in range(3 * MEANS_OVER):
        found, _ = term(drawn(seed, 2, 64, 4, 16) + 50.0, [], torch.zeros(()))
    assert float(found) == pytest.approx(1 / 16, rel=0.2)  # of random directions
    assert term.means is not None and float(term.means.mean()) == pytest.approx(50.0, abs=0.1)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.3])
def test_its_gradient_is_its_share_whatever_its_value(share: float) -> None:
    term, shared = SummandDecoupling(share), drawn(0, 6, 8).requires_grad_()
    maps, wanted = drawn(1, 2, 4, 8, 8), drawn(2, 6, 8)
    for _ in range(5):
        entropy = 0.02 * (shared - wanted).square().sum()
        _, scaled = term(torch.einsum("bd,ktde->kbte", shared, maps), [shared], entropy)
    lengths = [torch.autograd.grad(one, shared, retain_graph=True)[0].norm() for one in (scaled, entropy)]
    assert float(lengths[0] / sum(lengths)) == pytest.approx(share, rel=0.15)  # the means moved on the way


def test_nothing_moves_in_evaluation_and_a_share_beyond_one_is_refused() -> None:
    term = SummandDecoupling(0.1)
    term(drawn(0, 2, 4, 4, 8), [], torch.zeros(()))
    before = {key: value.clone() for key, value in term.state_dict().items()}
    term.eval()(drawn(1, 2, 4, 4, 8), [], torch.zeros(()))
    assert all(torch.equal(value, before[key]) for key, value in term.state_dict().items())
    with pytest.raises(ConfigError, match="share"):
        SummandDecoupling(1.0)


def test_the_model_hands_on_what_its_embeddings_are_the_sum_of() -> None:
    torch.manual_seed(0)
    config = replace(SIZES["tiny"], slots=3)
    model, mask = UVM3TL(config).train(), torch.ones(2, len(STREAMS), 3)
    frames = {s: torch.zeros(2, 3, *config.input_shape(s)) for s in STREAMS}
    fused = model(frames, mask)
    heads = model.dbscme
    for k, name in enumerate(AIDE.names):
        share = torch.sigmoid(heads.mix[name])
        embedding = share * fused.summands[0, :, k] + (1 - share) * fused.summands[1, :, k]
        heads.dropout.p = 0.0
        logits = heads.heads[name](torch.relu(embedding))
        again = model.dbscme._weighted_sum(name, heads.specific_out[name](fused.specific[:, k]), fused.shared)
        assert torch.allclose(logits, heads.heads[name](torch.relu(again)), atol=1e-5)
    assert model.eval()(frames, mask).summands is None


def test_its_state_survives_json_into_a_fresh_loss() -> None:
    counts = {task.name: [10] * task.classes for task in AIDE.tasks}
    config = LossConfig(weighting="dynamics", decoupling="summands", auxiliary=0.0)
    loss, other = (AFDLoss(AIDE, config, counts) for _ in range(2))
    for step in range(3):
        loss(fused(step), torch.zeros(6, 4, dtype=torch.int64), torch.ones(6, len(STREAMS), 16)).total.backward()
    other.load_meta_state(json.loads(json.dumps(loss.state_for_meta())))
    for key, value in loss.state_dict().items():
        if isinstance(value, torch.Tensor):
            np.testing.assert_allclose(other.state_dict()[key], value, rtol=1e-6)
    fresh = AFDLoss(AIDE, config, counts)
    fresh.load_state_dict(loss.state_dict())
    assert torch.equal(fresh.summands.means, loss.summands.means)


def fused(seed: int) -> Fused:
    shared, specific = drawn(seed, 6, 8).requires_grad_(), drawn(seed + 1, 6, 4, 8).requires_grad_()
    maps = {task.name: drawn(k, 8, task.classes) for k, task in enumerate(AIDE.tasks)}
    summands = torch.stack([specific, shared[:, None].expand(-1, 4, -1)])
    return Fused({name: shared @ some for name, some in maps.items()}, specific, shared, None, summands)
