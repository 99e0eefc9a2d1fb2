"""What slots remember and what is read from them: the formulas in NumPy, and what is absent tells nothing."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from codriver.tasks import JOINTS, STREAMS  # noqa: E402
from tests.formulas import temporal as formulas  # noqa: E402
from training.model.temporal import (  # noqa: E402
    IMAGES,
    AlongTime,
    Gather,
    JointAlongTime,
    JointMotion,
    Motion,
)

pytestmark = pytest.mark.torch
CLIPS, SLOTS, WIDTH, GRID, NARROW = 4, 6, 5, 2, 3
PRESENT = np.array([[1] * 6, [0, 0, 1, 1, 0, 1], [0] * 6, [1, 0, 0, 0, 0, 0]], np.float64)


def randomised(module: torch.nn.Module, seed: int) -> dict[str, np.ndarray]:
    generator = torch.Generator().manual_seed(seed)
    for name, value in module.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.randn(value.shape, generator=generator))
            if name.endswith("running_var"):
                value.abs_().add_(0.5)
    return {name: value.double().numpy() for name, value in module.state_dict().items()}


def slots() -> dict[str, np.ndarray]:
    """Stream -> (CLIPS, T, D, G, G), or (CLIPS, T, D) of joints; zeros where PRESENT says that nothing is."""
    random, found = np.random.default_rng(0), {}
    for number, stream in enumerate(STREAMS):
        shape = (CLIPS, SLOTS, WIDTH) if stream in JOINTS else (CLIPS, SLOTS, WIDTH, GRID, GRID)
        there = np.roll(PRESENT, number, axis=0).reshape(CLIPS, SLOTS, *[1] * (len(shape) - 2))
        found[stream] = np.maximum(random.normal(size=shape), 0) * there
    return found


def mask() -> np.ndarray:
    return np.stack([np.roll(PRESENT, number, axis=0) for number in range(len(STREAMS))], axis=1)  # (CLIPS, S, T)


def tensor(values: np.ndarray) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)


@torch.no_grad()
def test_streams_slots_become_the_maps_and_vectors_of_the_formulas() -> None:
    module = Gather(WIDTH, GRID, NARROW).eval()
    weights = randomised(module, 1)
    maps, vectors = module({s: tensor(some) for s, some in slots().items()}, tensor(mask()))
    for clip in range(CLIPS):
        pooled = {
            s: formulas.pool(some[clip].reshape(SLOTS, WIDTH, -1), mask()[clip, k])
            for k, (s, some) in enumerate(slots().items())
        }
        images, joints = ([pooled[s] for s in some] for some in (IMAGES, JOINTS))
        wanted = np.reshape(formulas.read_maps(images, weights), (len(IMAGES), WIDTH, GRID, GRID))
        np.testing.assert_allclose(maps[clip].numpy(), wanted, rtol=1e-3, atol=1e-4)
        wanted = formulas.read_vectors(images, joints, mask()[clip].max(axis=1), weights)
        np.testing.assert_allclose(vectors[clip].numpy(), wanted, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_a_slot_is_mixed_of_its_motion_and_the_one_before_and_never_negative() -> None:
    module = AlongTime(WIDTH).eval()
    weights = randomised(module, 2)
    motion, before = np.abs(np.random.default_rng(3).normal(size=(2, 3, WIDTH, GRID, GRID)))
    before[0] = 0  # a slot without one before it
    found = module(tensor(motion), tensor(before)).numpy()
    for clip in range(3):
        wanted = formulas.remember(motion[clip].reshape(WIDTH, -1), before[clip].reshape(WIDTH, -1), weights)
        np.testing.assert_allclose(found[clip].reshape(WIDTH, -1), wanted, rtol=1e-4, atol=1e-5)
    joints = JointAlongTime(WIDTH).eval()
    assert (joints(*torch.randn(2, 4, WIDTH)) >= 0).all() and (found >= 0).all() and found.any()


@torch.no_grad()
def test_motion_is_the_scene_and_what_changed() -> None:
    """Nothing but the change tells two neighbours apart: a constant added to both is no motion."""
    module = Motion(channels=3, width=WIDTH, blocks=0, halvings=0, grid=2).eval()
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
    assert found.shape == (2, WIDTH)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
