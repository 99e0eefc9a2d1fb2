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
STREAMS, WIDTH, GRID = 3, 8, 2
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
    return DBSCME(streams=STREAMS, width=WIDTH, classes=CLASSES, dropout=0.0, config=config)


def inputs(batch: int = 4, seed: int = 1) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    maps = [torch.rand(batch, WIDTH, GRID, GRID, generator=generator) for _ in range(STREAMS)]
    return maps, *maps


@variants
def test_a_clip_does_not_see_its_batch(choices: dict[str, Any]) -> None:
    block = make(**choices).eval()
    together = block(*inputs())
    for clip in range(4):
        maps, *groups = inputs()
        alone = block([some[clip : clip + 1] for some in maps], *(some[clip : clip + 1] for some in groups))
        for task in CLASSES:
            assert torch.allclose(alone[0][task][0], together[0][task][clip], atol=1e-5)


@variants
def test_every_parameter_learns(choices: dict[str, Any]) -> None:
    block = make(**choices)
    logits, *_ = block(*inputs())
    torch.cat([some * torch.randn_like(some) for some in logits.values()], dim=1).sum().backward()
    assert all(parameter.grad is not None for parameter in block.parameters())
    still = {name for name, parameter in block.named_parameters() if not parameter.grad.any()}
    # A key's bias adds the same to all scores of a query: softmax does not see it, and what is left is rounding.
    assert all(name.endswith("key.bias") for name in still)


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
    maps, scene, driver, joints = inputs()
    logits, specific, shared = block(maps, scene, driver, joints)
    everything = torch.relu(block.norm(block.reduce(torch.cat(maps, dim=1))))
    assert torch.allclose(specific[:, 1], block.specific["road"](everything).mean(dim=(2, 3)))
    merged = block.shared[0](scene, driver)
    assert torch.allclose(shared, block.shared[1](joints, merged).mean(dim=(2, 3)))
    share = torch.sigmoid(torch.tensor(0.7))
    own, common = block.specific_out["road"](specific[:, 1]), block.shared_out["road"](shared)
    expected = block.heads["road"](torch.relu(share * own + (1 - share) * common))
    assert torch.allclose(logits["road"], expected, atol=1e-6)


def test_spatial_attention_is_pytorchs_attention_of_each_clip() -> None:
    for heads, factor in ((1, 8), (2, 2)):
        block = SpatialAttention(WIDTH, DBSCMEConfig(heads=heads, query_reduction=factor))
        x = torch.rand(3, WIDTH, GRID, GRID)
        tokens = x.flatten(2).transpose(1, 2)
        parts = [
            part(tokens).unflatten(2, (heads, -1)).transpose(1, 2) for part in (block.query, block.key, block.value)
        ]
        attended = torch.nn.functional.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2)
        assert torch.allclose(block(x).flatten(2).transpose(1, 2), attended, atol=1e-6)


def test_the_channel_gate_is_the_figures_attention_over_channels() -> None:
    gate, x = ChannelGate(3), torch.rand(2, WIDTH, GRID, GRID)
    for clip in range(2):
        pooled = x[clip].mean(dim=(1, 2))[None]
        query, key, value = (part(pooled)[0] for part in (gate.query, gate.key, gate.value))  # (D,) each
        expected = torch.sigmoid(torch.outer(query, key).softmax(dim=1) @ value)
        assert torch.allclose(gate(x)[clip, :, 0, 0], expected, atol=1e-6)


def test_the_shared_branch_shares_each_channel_out_between_its_two_inputs() -> None:
    branch, one, other = SharedBranch(WIDTH, DBSCMEConfig()), *inputs()[0][:2]
    merged = branch(one, other)
    assert (merged >= torch.minimum(one, other) - 1e-6).all() and (merged <= torch.maximum(one, other) + 1e-6).all()
    assert torch.allclose(branch(one, one), one, atol=1e-6)


def test_the_shared_branch_takes_the_groups_in_the_order_it_is_told() -> None:
    maps, scene, driver, joints = inputs()
    told = make(branches="shared", order=("joints", "driver", "scene"))
    assert torch.equal(told(maps, scene, driver, joints)[2], make(branches="shared")(maps, joints, driver, scene)[2])
    merged = told.shared[0](joints, driver)
    other_gate = make(branches="shared", order=("joints", "driver", "scene"), third_gated=False)
    expected = other_gate.shared[1](merged, scene).mean(dim=(2, 3))
    assert torch.allclose(other_gate(maps, scene, driver, joints)[2], expected)


def test_a_branch_that_is_off_has_no_parameters() -> None:
    sizes = {name: sum(p.numel() for p in make(branches=name).parameters()) for name in ("both", "specific", "shared")}
    assert not any("specific" in name or "mix" in name for name, _ in make(branches="shared").named_parameters())
    assert not any("shared" in name or "mix" in name for name, _ in make(branches="specific").named_parameters())
    assert sizes["shared"] < sizes["both"] > sizes["specific"]
    assert len(make(tied=True).shared) == 1


def test_switched_off_it_is_pooled_streams_and_a_head() -> None:
    block = make(branches="none", reduce=False)
    maps, *groups = inputs()
    pooled = torch.cat(maps, dim=1).mean(dim=(2, 3))
    logits, specific, shared = block(maps, *groups)
    assert specific is None and torch.equal(shared, pooled)
    assert torch.equal(logits["mood"], block.heads["mood"](pooled))


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
