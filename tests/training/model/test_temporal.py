"""Sixteen slots to one map: the formula in NumPy, and what is absent tells nothing."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.formulas import temporal as formulas  # noqa: E402
from training.model.temporal import JointMotion, Motion, TemporalAggregation  # noqa: E402

pytestmark = pytest.mark.torch
CLIPS, SLOTS, WIDTH, GRID = 4, 6, 5, 2
PRESENT = np.array([[1] * 6, [0, 0, 1, 1, 0, 1], [0] * 6, [1, 0, 0, 0, 0, 0]], np.float64)


def randomised(module: torch.nn.Module, seed: int) -> dict[str, np.ndarray]:
    generator = torch.Generator().manual_seed(seed)
    for name, value in module.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.randn(value.shape, generator=generator))
            if name.endswith("running_var"):
                value.abs_().add_(0.5)
    return {name: value.double().numpy() for name, value in module.state_dict().items()}


def slots(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(CLIPS, SLOTS, WIDTH, GRID, GRID))


def tensor(values: np.ndarray) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)


@torch.no_grad()
def test_a_streams_slots_become_the_map_of_the_formula() -> None:
    module = TemporalAggregation(WIDTH, GRID).eval()
    weights = randomised(module, 1)
    pooled = module.pool(tensor(slots()), tensor(PRESENT))
    found = module(pooled, tensor(PRESENT))
    for clip in range(CLIPS):
        wanted = formulas.pool(slots()[clip].reshape(SLOTS, WIDTH, -1), PRESENT[clip], weights)
        np.testing.assert_allclose(pooled[clip].numpy(), wanted, rtol=1e-4, atol=1e-5)
        wanted = formulas.aggregate(wanted, PRESENT[clip], weights).reshape(WIDTH, GRID, GRID)
        np.testing.assert_allclose(found[clip].numpy(), wanted, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_what_stands_in_an_absent_slot_changes_nothing() -> None:
    module = TemporalAggregation(WIDTH, GRID).eval()
    randomised(module, 2)
    there = PRESENT[:, :, None, None, None]
    clean, dirty = slots() * there, slots() * there + 100 * slots(1) * (1 - there)
    assert torch.equal(module.pool(tensor(clean), tensor(PRESENT)), module.pool(tensor(dirty), tensor(PRESENT)))


@torch.no_grad()
def test_a_slot_between_others_that_is_absent_does_not_count_as_seen() -> None:
    """Its neighbours reach into it through the convolution along time; the mean must not take that for a slot."""
    module = TemporalAggregation(WIDTH, GRID).eval()
    randomised(module, 3)
    module.time_norm.bias.fill_(7.0)  # every slot that counts is large
    lone = np.zeros((1, SLOTS))
    lone[0, 2] = 1
    pooled = module.pool(tensor(slots()[:1]), tensor(lone))[0]
    mean, most = pooled[:WIDTH], pooled[WIDTH:]
    assert torch.allclose(mean.clamp(min=0), most, atol=1e-5)  # the mean over one slot is that slot


@torch.no_grad()
def test_motion_is_the_scene_and_what_changed() -> None:
    """Nothing but the change tells two neighbours apart: a constant added to both is no motion."""
    module = Motion(channels=3, width=WIDTH, blocks=0, halvings=0).eval()
    weights = randomised(module, 4)
    feature, before = np.random.default_rng(5).normal(size=(2, 1, 3, 4, 4))
    found = module(tensor(feature), tensor(before))[0].numpy()
    wanted = []
    for x, name in ((feature[0], "scene"), (feature[0] - before[0], "change")):
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
        out = np.zeros((WIDTH, 2, 2))
        for row in range(2):
            for column in range(2):
                patch = padded[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
                out[:, row, column] = (weights[f"{name}.weight"] * patch).sum(axis=(1, 2, 3))
        wanted.append(formulas.normalise(out, weights, f"{name}_norm"))
    np.testing.assert_allclose(found, np.maximum(wanted[0] + wanted[1], 0), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_joint_streams_motion_sees_the_feature_and_the_one_before_in_this_order() -> None:
    module = JointMotion(channels=3, width=WIDTH).eval()
    weights = randomised(module, 6)
    feature, before = np.random.default_rng(7).normal(size=(2, 2, 3))
    wanted = np.maximum(np.concatenate([feature, before], axis=1) @ weights["pair.weight"].T + weights["pair.bias"], 0)
    found = module(tensor(feature), tensor(before)).numpy()
    assert found.shape == (2, WIDTH, 1, 1)
    np.testing.assert_allclose(found[:, :, 0, 0], wanted, rtol=1e-4, atol=1e-5)
