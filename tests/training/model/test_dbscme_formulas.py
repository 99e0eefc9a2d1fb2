"""DB-SCME against its figure in NumPy: random weights, random maps, every choice that the figure leaves open."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.formulas import dbscme as formulas  # noqa: E402
from training.model.dbscme import (  # noqa: E402
    BRANCHES,
    DBSCME,
    DBSCMEConfig,
    SharedBranch,
    SpatialAttention,
    SpecificBranch,
    mean_of,
)

pytestmark = pytest.mark.torch
CLASSES = {"mood": 3, "road": 2}
IMAGES, STREAMS, WIDTH, GRID, CLIPS = 3, 4, 8, 3, 2
MEMBERS = {"scene": (0, 2), "driver": (1,), "joints": (3,)}
CHOICES = {
    "the figure's": formulas.Choices(),
    "two heads": formulas.Choices(heads=2),
    "unscaled": formulas.Choices(scaled=False),
    "not reduced": formulas.Choices(reduce=False),
    "tied": formulas.Choices(tied=True),
    "merged first": formulas.Choices(third_gated=False),
    "no relu": formulas.Choices(head_relu=False),
    "joints first": formulas.Choices(order=("joints", "scene", "driver")),
}


def random_weights(module: torch.nn.Module, seed: int) -> dict[str, np.ndarray]:
    """Give every parameter and statistic a random number; returns them."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in module.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.randn(value.shape, generator=generator) * 0.7)
            if name.endswith("running_var"):
                value.abs_().add_(0.5)
    return {name: value.double().numpy() for name, value in module.state_dict().items()}


def random_maps(count: int, seed: int = 5) -> np.ndarray:
    """(count, clips, D, G, G)"""
    return np.random.default_rng(seed).normal(size=(count, CLIPS, WIDTH, GRID, GRID))


def random_streams() -> tuple[np.ndarray, np.ndarray]:
    """Maps (clips, I, D, G, G) and vectors (clips, S, D)."""
    random = np.random.default_rng(6)
    return random.normal(size=(CLIPS, IMAGES, WIDTH, GRID, GRID)), random.normal(size=(CLIPS, STREAMS, WIDTH))


def make(config: DBSCMEConfig) -> DBSCME:
    return DBSCME(images=IMAGES, streams=STREAMS, width=WIDTH, classes=CLASSES, dropout=0.0, config=config).eval()


def tensor(values: np.ndarray) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)


@pytest.mark.parametrize("choices", CHOICES.values(), ids=CHOICES)
@pytest.mark.parametrize("branches", BRANCHES)
@torch.no_grad()
def test_the_block_is_its_figure(branches: str, choices: formulas.Choices) -> None:
    config = DBSCMEConfig(branches=branches, query_reduction=2, **asdict(choices))
    block = make(config)
    weights = random_weights(block, 1)
    maps, vectors = random_streams()
    logits, specific, shared = block(tensor(maps), tensor(vectors), MEMBERS)
    for clip in range(CLIPS):
        wanted = formulas.dbscme((maps[clip], vectors[clip]), MEMBERS, weights, tuple(CLASSES), branches, choices)
        for task in CLASSES:
            near(logits[task][clip], wanted.logits[task])
        near(None if specific is None else specific[clip], wanted.specific)
        near(None if shared is None else shared[clip], wanted.shared)


def near(found: Any, wanted: np.ndarray | None) -> None:
    assert (found is None) == (wanted is None)
    if wanted is not None:
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_the_specific_branch_adds_its_input_back_and_gates_by_multiplying() -> None:
    branch = SpecificBranch(WIDTH, DBSCMEConfig()).eval()
    weights = {f"b.{name}": value for name, value in random_weights(branch, 2).items()}
    for x in random_maps(1)[0]:
        wanted = formulas.specific_branch(x, weights, "b", formulas.Choices())
        near(branch(tensor(x)[None])[0], wanted)
        near(branch.averaged(tensor(x)[None], mean_of(tensor(x)[None]))[0], wanted.mean(axis=(1, 2)))


@torch.no_grad()
def test_a_branch_whose_attention_says_nothing_passes_its_input_on() -> None:
    """The residual: with values of zero there is nothing to add, and the gate stands at a half."""
    branch = SpecificBranch(WIDTH, DBSCMEConfig()).eval()
    branch.spatial.value.weight.zero_()
    branch.gate.query_key_value.weight[2].zero_()
    branch.gate.query_key_value.bias[2].zero_()
    x = tensor(random_maps(1)[0])
    near(branch(x), x.numpy() / 2)


@torch.no_grad()
def test_the_shared_branchs_gate_sees_the_sum_even_where_attention_says_nothing() -> None:
    branch = SharedBranch(WIDTH, DBSCMEConfig()).eval()
    random_weights(branch, 3)
    branch.spatial.value.weight.zero_()
    weights = {f"b.{name}": value.double().numpy() for name, value in branch.state_dict().items()}
    a, b = random_maps(2)
    for clip in range(CLIPS):
        wanted = formulas.shared_branch(a[clip], b[clip], weights, "b", formulas.Choices())
        near(branch(tensor(a), tensor(b))[clip], wanted)
    assert not np.allclose(wanted, (a[1] + b[1]) / 2, atol=0.05)  # the gate has something to say


def test_swapped_shares_would_be_another_block() -> None:
    """What the tests above stand on: with other shares, or another order, these numbers are others."""
    weights = random_weights(make(DBSCMEConfig()), 1)
    maps, vectors = (some[0] for some in random_streams())
    plain = formulas.Choices()
    answers = []
    for swapped in (1, -1):
        changed = weights | {f"mix.{task}": swapped * weights[f"mix.{task}"] for task in CLASSES}
        answers.append(formulas.dbscme((maps, vectors), MEMBERS, changed, tuple(CLASSES), "both", plain))
    third = replace(plain, third_gated=False)
    answers.append(formulas.dbscme((maps, vectors), MEMBERS, weights, tuple(CLASSES), "both", third))
    for other in answers[1:]:
        assert np.abs(other.logits["mood"] - answers[0].logits["mood"]).max() > 0.01


@torch.no_grad()
def test_cells_that_attend_to_means_of_cells_all_see_the_same_where_all_are_one_mean() -> None:
    x = tensor(random_maps(1)[0])
    pooled, plain = (SpatialAttention(WIDTH, DBSCMEConfig(), pool=pool).eval() for pool in (GRID, 1))
    plain.load_state_dict(pooled.state_dict())
    seen = pooled(x)
    assert torch.allclose(seen, seen[:, :, :1, :1].expand_as(seen), atol=1e-6)
    assert torch.allclose(seen, plain(x.mean(dim=(2, 3), keepdim=True).expand_as(x)), atol=1e-5)
    assert not torch.allclose(seen, plain(x), atol=1e-3)
