"""The network: contracts that every stage relies on."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional as F  # noqa: E402

from codriver.tasks import GROUPS, JOINTS, STREAMS, VIEWS  # noqa: E402
from training.encoders import beside_centred  # noqa: E402
from training.model import SIZES, UVM3TL  # noqa: E402

pytestmark = pytest.mark.torch
CONFIG = SIZES["tiny"]


@pytest.fixture(scope="module")
def model() -> UVM3TL:
    """Random weights, and normalisation statistics that are not the trivial ones."""
    torch.manual_seed(0)
    model = UVM3TL(CONFIG)
    for _ in range(20):
        model(random_frames(4), torch.ones(4, len(STREAMS), CONFIG.slots))
    return model.eval()


def random_frames(batch: int, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {s: (batch, CONFIG.slots, *CONFIG.input_shape(s)) for s in STREAMS}
    return {
        s: torch.rand(shape, generator=generator)
        if s in JOINTS
        else torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
        for s, shape in shapes.items()
    }


def logits(model: UVM3TL, frames: dict[str, torch.Tensor], mask: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return torch.cat(list(model(frames, mask).logits.values()), dim=1)


def full_mask(batch: int) -> torch.Tensor:
    return torch.ones(batch, len(STREAMS), CONFIG.slots)


def test_a_clips_logits_do_not_change_with_what_else_is_in_the_batch(model: UVM3TL) -> None:
    frames, mask = random_frames(5), full_mask(5)
    mask[1, :, :9] = 0.0
    mask[3, 0] = 0.0
    together = logits(model, frames, mask)
    for clip in range(5):
        alone = logits(model, {s: some[clip : clip + 1] for s, some in frames.items()}, mask[clip : clip + 1])
        assert torch.allclose(alone[0], together[clip], atol=1e-5)


@pytest.mark.parametrize("stream", STREAMS)
def test_every_stream_matters_while_it_is_there(model: UVM3TL, stream: str) -> None:
    frames, mask = random_frames(1), full_mask(1)
    before = logits(model, frames, mask)
    changed = frames | {stream: random_frames(1, seed=1)[stream]}
    assert not torch.equal(before, logits(model, changed, mask))


@pytest.mark.parametrize("stream", STREAMS)
def test_pixels_of_an_absent_stream_change_nothing(model: UVM3TL, stream: str) -> None:
    frames, mask = random_frames(1), full_mask(1)
    mask[:, STREAMS.index(stream)] = 0.0
    before = logits(model, frames, mask)
    assert torch.equal(before, logits(model, frames | {stream: random_frames(1, seed=1)[stream]}, mask))


def test_an_absent_slot_changes_nothing_but_its_absence(model: UVM3TL) -> None:
    frames, mask = random_frames(1), full_mask(1)
    mask[:, :, 5] = 0.0
    before = logits(model, frames, mask)
    for some in frames.values():
        some[:, 5] = 7
    assert torch.equal(before, logits(model, frames, mask))
    assert not torch.allclose(before, logits(model, frames, full_mask(1)), atol=1e-6)


def test_the_order_of_the_slots_matters(model: UVM3TL) -> None:
    frames = random_frames(1)
    backwards = {s: some.flip(1) for s, some in frames.items()}
    assert not torch.allclose(logits(model, frames, full_mask(1)), logits(model, backwards, full_mask(1)), atol=1e-6)


def test_encoding_frames_one_by_one_gives_the_features_of_the_batch(model: UVM3TL) -> None:
    frames = {g: random_frames(1)[members[0]][0] for g, members in GROUPS.items()}
    with torch.inference_mode():
        together = model.encode(frames)
        for slot in (0, 7, 15):
            alone = model.encode({g: some[slot : slot + 1] for g, some in frames.items()})
            assert all(torch.allclose(alone[g][0], together[g][slot], atol=1e-5) for g in GROUPS)


def test_outside_views_share_their_weights_and_keep_their_places(model: UVM3TL) -> None:
    frames, mask = random_frames(1), full_mask(1)
    swapped = frames | {"left": frames["right"], "right": frames["left"]}
    assert not torch.allclose(logits(model, frames, mask), logits(model, swapped, mask), atol=1e-6)


@pytest.mark.parametrize("group", [group for group in GROUPS if group not in JOINTS])
def test_a_frame_without_one_before_it_has_not_changed(model: UVM3TL, group: str) -> None:
    """A first slot taken as a change from black is ten times larger than any other; INT8 cut it and answers moved."""
    feature = torch.rand(2, *CONFIG.feature_shape(GROUPS[group][0]))
    with torch.inference_mode():
        first, still = (model.motions[group](feature, before) for before in (torch.zeros_like(feature), feature))
    assert torch.equal(first, still)


def test_joints_enter_as_they_are_and_relative_to_their_mean() -> None:
    joints = torch.rand(3, 5, 3)
    entered = F.linear(joints.flatten(1), beside_centred(5))
    centred = 4.0 * (joints[..., :2] - joints[..., :2].mean(dim=1, keepdim=True))
    assert torch.allclose(entered, torch.cat([joints.flatten(1), centred.flatten(1)], dim=1), atol=1e-5)


def test_a_clip_without_any_view_still_gives_finite_logits(model: UVM3TL) -> None:
    assert torch.isfinite(logits(model, random_frames(1), torch.zeros(1, len(STREAMS), CONFIG.slots))).all()


def test_the_edge_size_stays_within_its_multiply_accumulates() -> None:
    from training.cost import macs_per_step

    assert SIZES["edge"].size_px(VIEWS[0]) == 224
    assert macs_per_step(UVM3TL(SIZES["edge"])).total <= 2.2e9
