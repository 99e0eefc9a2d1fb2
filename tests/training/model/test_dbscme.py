"""DB-SCME: the figure's sums, its open choices one by one, and every part switched off."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from codriver.errors import ConfigError  # noqa: E402
from training.model.dbscme import DBSCME, ChannelGate, DBSCMEConfig, SharedBranch, SpatialAttention  # noqa: E402

pytestmark = pytest.mark.torch
CLASSES = {"mood": 3, "road": 2}
IMAGES, STREAMS, WIDTH, GRID = 2, 3, 8, 2
GROUPS = {"scene": (0,), "driver": (1,), "joints": (2,)}
VARIANTS = {
    "default": {},
    "specific": {"branches": "specific"},
    "shared": {"branches": "shared"},
    "none": {"branches": "none"},
    "two heads": {"heads": 2, "query_reduction": 2},
    "unscaled": {"scaled": False},
    "wide kernel": {"channel_kernel": 5},
    "not reduced": {"reduce": False},
    "not reduced, off": {"reduce": False, "branches": "none"},
    "joints first": {"order": ("joints", "driver", "scene"), "third_gated": False},
    "tied": {"tied": True},
    "no relu": {"head_relu": False},
}
variants = pytest.mark.parametrize("choices", VARIANTS.values(), ids=VARIANTS)


def make(**choices: Any) -> DBSCME:
    torch.manual_seed(0)
    config = DBSCMEConfig(**choices)
    return DBSCME(images=IMAGES, streams=STREAMS, width=WIDTH, classes=CLASSES, dropout=0.0, config=config)


def inputs(batch: int = 4, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor, dict[str, tuple[int, ...]]]:
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand(batch, IMAGES, WIDTH, GRID, GRID, generator=generator)
    return maps, torch.rand(batch, STREAMS, WIDTH, generator=generator), GROUPS


def whole_maps() -> list[torch.Tensor]:
    """What maps and vectors stand for: (B, D, G, G) of each stream."""
    maps, vectors, _ = inputs()
    return [
        vectors[:, k, :, None, None] + (maps[:, k] if k < IMAGES else torch.zeros(GRID, GRID)) for k in range(STREAMS)
    ]


def attention(block: SpatialAttention, x: torch.Tensor) -> torch.Tensor:
    """PyTorch's own, of every cell: (B, D, G, G)."""
    tokens = x.flatten(2).transpose(1, 2)
    projected = (part(tokens) for part in (block.query, block.key, block.value))
    parts = [part.unflatten(2, (block.heads, -1)).transpose(1, 2) for part in projected]
    attended = torch.nn.functional.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2)
    return attended.transpose(1, 2).reshape(x.shape)


def gated(gate: ChannelGate, x: torch.Tensor) -> torch.Tensor:
    """The figure's gate of a map, one clip and one convolution at a time: (B, D, 1, 1)."""
    weight, bias, kernel = gate.query_key_value.weight, gate.query_key_value.bias, gate.query_key_value.kernel_size[0]
    found = []
    for clip in x:
        pooled = clip.mean(dim=(1, 2))[None]
        query, key, value = (
            torch.nn.functional.conv1d(pooled, weight[k : k + 1], bias[k : k + 1], padding=kernel // 2)[0]
            for k in range(3)
        )
        found.append(torch.sigmoid(torch.outer(query, key).softmax(dim=1) @ value))
    return torch.stack(found)[:, :, None, None]


def merged(branch: SharedBranch, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The figure's shared branch on maps: (B, D, G, G)."""
    mixed = branch.point(a + b) + branch.local(a + b)
    share = gated(branch.gate, mixed + attention(branch.spatial, mixed))
    return share * a + (1 - share) * b


@variants
def test_a_clip_does_not_see_its_batch(choices: dict[str, Any]) -> None:
    block = make(**choices).eval()
    together = block(*inputs())
    for clip in range(4):
        maps, vectors, groups = inputs()
        alone = block(maps[clip : clip + 1], vectors[clip : clip + 1], groups)
        for task in CLASSES:
            assert torch.allclose(alone[0][task][0], together[0][task][clip], atol=1e-5)


@variants
def test_every_parameter_learns(choices: dict[str, Any]) -> None:
    block = make(**choices)
    logits, *_ = block(*inputs())
    torch.cat([some * torch.randn_like(some) for some in logits.values()], dim=1).sum().backward()
    assert all(parameter.grad is not None for parameter in block.parameters())
    assert all(parameter.grad.any() for parameter in block.parameters())


@variants
def test_embeddings_have_the_shapes_that_the_loss_expects(choices: dict[str, Any]) -> None:
    logits, specific, shared = make(**choices)(*inputs())
    branches = choices.get("branches", "both")
    assert {task: some.shape for task, some in logits.items()} == {"mood": (4, 3), "road": (4, 2)}
    assert (specific is not None) == (branches in ("both", "specific"))
    assert specific is None or specific.shape == (4, 2, WIDTH)
    assert (shared is not None) == (branches != "specific")
    assert shared is None or branches == "none" or shared.shape == (4, WIDTH)


def test_the_output_is_the_figures_weighted_sum() -> None:
    block = make(mix_start=0.7).eval()
    maps, vectors, groups = inputs()
    logits, specific, shared = block(maps, vectors, groups)
    read = block.reduce_vectors(vectors.flatten(1))[..., None, None]
    everything = torch.relu(block.norm(block.reduce(maps.flatten(1, 2))) + read)
    branch = block.specific["road"]
    attended = everything + attention(branch.spatial, everything)
    own = (attended * gated(branch.gate, attended)).mean(dim=(2, 3))
    assert torch.allclose(specific[:, 1], own, atol=1e-6)
    scene, driver, joints = whole_maps()
    common = merged(block.shared[1], joints, merged(block.shared[0], scene, driver)).mean(dim=(2, 3))
    assert torch.allclose(shared, common, atol=1e-6)
    share = torch.sigmoid(torch.tensor(0.7))
    embedding = share * block.specific_out["road"](own) + (1 - share) * block.shared_out["road"](common)
    assert torch.allclose(logits["road"], block.heads["road"](torch.relu(embedding)), atol=1e-6)


def test_spatial_attention_is_pytorchs_attention_of_each_clip_and_its_mean() -> None:
    for heads, factor in ((1, 8), (2, 2)):
        block = SpatialAttention(WIDTH, DBSCMEConfig(heads=heads, query_reduction=factor))
        x = torch.rand(3, WIDTH, GRID, GRID)
        assert torch.allclose(block(x), attention(block, x), atol=1e-6)
        assert torch.allclose(block.averaged(x)[:, 0], attention(block, x).mean(dim=(2, 3)), atol=1e-6)


def test_the_channel_gate_is_the_figures_attention_over_channels() -> None:
    gate, x = ChannelGate(3), torch.rand(2, WIDTH, GRID, GRID)
    assert torch.allclose(gate(x.mean(dim=(2, 3))[:, None])[:, 0], gated(gate, x)[:, :, 0, 0], atol=1e-6)


def test_the_shared_branch_gives_each_channels_part_of_the_first_of_its_two_inputs() -> None:
    branch, (one, other, _) = SharedBranch(WIDTH, DBSCMEConfig()), whole_maps()
    share = branch.share(one + other)[:, 0]
    assert torch.allclose(merged(branch, one, other), other + share[:, :, None, None] * (one - other), atol=1e-6)
    assert torch.allclose(merged(branch, one, other), branch(one, other), atol=1e-6)
    assert ((share > 0) & (share < 1)).all()


def test_the_shared_branch_takes_the_groups_in_the_order_it_is_told() -> None:
    scene, driver, joints = whole_maps()
    told = make(branches="shared", order=("joints", "driver", "scene"))
    first = merged(told.shared[0], joints, driver)
    expected = merged(told.shared[1], scene, first).mean(dim=(2, 3))
    assert torch.allclose(told(*inputs())[2], expected, atol=1e-6)
    other_gate = make(branches="shared", order=("joints", "driver", "scene"), third_gated=False)
    expected = merged(other_gate.shared[1], first, scene).mean(dim=(2, 3))
    assert torch.allclose(other_gate(*inputs())[2], expected, atol=1e-6)


def test_a_branch_that_is_off_has_no_parameters() -> None:
    sizes = {name: sum(p.numel() for p in make(branches=name).parameters()) for name in ("both", "specific", "shared")}
    assert not any("specific" in name or "mix" in name for name, _ in make(branches="shared").named_parameters())
    assert not any("shared" in name or "mix" in name for name, _ in make(branches="specific").named_parameters())
    assert sizes["shared"] < sizes["both"] > sizes["specific"]
    assert len(make(tied=True).shared) == 1


def test_switched_off_it_is_pooled_streams_and_a_head() -> None:
    block = make(branches="none", reduce=False)
    pooled = torch.cat(whole_maps(), dim=1).mean(dim=(2, 3))
    logits, specific, shared = block(*inputs())
    assert specific is None and torch.allclose(shared, pooled, atol=1e-6)
    assert torch.allclose(logits["mood"], block.heads["mood"](pooled), atol=1e-6)


@variants
def test_the_choices_survive_a_dictionary_of_lists(choices: dict[str, Any]) -> None:
    config = DBSCMEConfig(**choices)
    assert DBSCMEConfig.from_dict(asdict(config) | {"order": list(config.order)}) == config


@pytest.mark.parametrize(
    "choices",
    [{"branches": "half"}, {"order": ("scene", "scene", "joints")}, {"heads": 0}, {"channel_kernel": 2}, {"heads": 3}],
)
def test_what_cannot_be_meant_is_refused(choices: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        make(**choices)
