"""The network: contracts that every stage relies on."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional as F  # noqa: E402

from codriver.errors import ConfigError  # noqa: E402
from codriver.tasks import GROUPS, JOINTS, STREAMS  # noqa: E402
from training.cost import macs_per_step, main  # noqa: E402
from training.losses.afd import AFDLoss, LossConfig  # noqa: E402
from training.model.clip_rows import remembered, rows_of  # noqa: E402
from training.model.dbscme import DBSCMEConfig  # noqa: E402
from training.model.encoders import beside_centred  # noqa: E402
from training.model.uvm3tl import SIZES, UVM3TL, ModelConfig  # noqa: E402

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


def test_a_slot_without_one_before_it_is_not_remembered(model: UVM3TL) -> None:
    """Taken as a change from black it is ten times any other: INT8 cut it off, and normalisation learned from it."""
    frames, mask = random_frames(1), full_mask(1)
    mask[..., 9] = 0.0
    without = mask.clone()
    without[..., 0] = 0.0  # then 1 has none before it
    without[..., 10] = 0.0  # 10 had none either
    without[..., 1] = 0.0
    again = without.clone()
    again[..., 1] = 1.0  # needed by 2, but has no slot of its own
    kept = remembered(again)
    assert [t for t in range(CONFIG.slots) if not kept[0, 0, t]] == [0, 1, 9, 10, 11]
    frames_changed = {s: f.clone() for s, f in frames.items()}
    for stream in STREAMS:
        frames_changed[stream][:, 0] = 0
    assert torch.equal(logits(model, frames, again), logits(model, frames_changed, again))


def test_slots_meet_the_features_and_the_motions_just_before_them() -> None:
    where = {
        "front": torch.tensor([[1, 1, 0, 1], [0, 1, 1, 1]]) > 0,  # rows 0 1 . 2 and . 3 4 5
        "left": torch.tensor([[0, 0, 1, 1], [0, 0, 0, 1]]) > 0,  # rows . . 6 7 and . . . 8
    }
    moved = {stream: remembered(some.float()[:, None])[:, 0] > 0 for stream, some in where.items()}
    assert rows_of(("front", "left"), where, moved).tolist() == [
        [1, 4, 5, 7],
        [0, 3, 4, 6],
        [-1, -1, 1, -1],  # only the second clip's last slot of `front` has another one just before it
    ]


def test_joints_enter_as_they_are_and_relative_to_their_mean() -> None:
    joints = torch.rand(3, 5, 3)
    entered = F.linear(joints.flatten(1), beside_centred(5))
    centred = 4.0 * (joints[..., :2] - joints[..., :2].mean(dim=1, keepdim=True))
    assert torch.allclose(entered, torch.cat([joints.flatten(1), centred.flatten(1)], dim=1), atol=1e-5)


def test_a_clip_without_any_view_still_gives_finite_logits(model: UVM3TL) -> None:
    assert torch.isfinite(logits(model, random_frames(1), torch.zeros(1, len(STREAMS), CONFIG.slots))).all()


def test_the_edge_size_stays_within_its_multiply_accumulates() -> None:
    assert macs_per_step(UVM3TL(SIZES["edge"])).total <= 1.0e9
    assert macs_per_step(UVM3TL(SIZES["edge-224"])).total <= 2.2e9


def test_hands_cost_a_finder_their_rows_of_a_convolution_and_of_both_axes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--size", "demo", "--finder", "--json"]) == 0
    without, with_hands = json.loads(capsys.readouterr().out).values()
    assert with_hands["points"] - without["points"] == 42
    assert with_hands["parameters"] - without["parameters"] == 42 * (32 + 1)
    assert with_hands["macs"] - without["macs"] == 42 * 18 * 32 * (32 + 192 + 108)


VARIANTS = {
    "both": {},
    "specific": {"branches": "specific"},
    "shared": {"branches": "shared"},
    "none": {"branches": "none"},
    "not reduced": {"reduce": False},
    "two heads, tied": {"heads": 2, "tied": True},
}
variants = pytest.mark.parametrize("choices", VARIANTS.values(), ids=VARIANTS)


def make(choices: dict[str, Any], **changes: Any) -> UVM3TL:
    torch.manual_seed(0)
    return UVM3TL(replace(CONFIG, dbscme=DBSCMEConfig(**choices), **changes))


def lesson(model: UVM3TL, weighting: str = "dwa") -> AFDLoss:
    """One training step's gradients; each stream is absent from one clip, so that its token is used, too."""
    counts = {task.name: [1] * task.classes for task in model.task_set.tasks}
    loss, mask = AFDLoss(model.task_set, LossConfig(weighting=weighting), counts), full_mask(8)
    mask[torch.arange(8), torch.arange(8)] = 0.0
    labels = torch.randint(0, 3, (8, 4), generator=torch.Generator().manual_seed(5))
    loss(model.train()(random_frames(8), mask), labels, mask).total.backward()
    return loss


@variants
def test_a_clip_alone_gives_the_logits_it_gives_in_a_batch(choices: dict[str, Any]) -> None:
    model, frames = make(choices).eval(), random_frames(4)
    together = logits(model, frames, full_mask(4))
    for clip in range(4):
        alone = logits(model, {s: some[clip : clip + 1] for s, some in frames.items()}, full_mask(1))
        assert torch.allclose(alone[0], together[clip], atol=1e-5)


@variants
def test_every_parameter_gets_a_gradient(choices: dict[str, Any]) -> None:
    model = make(choices)
    lesson(model)
    assert not {n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("weighting", ["uncertainty", "gradnorm", "famo", "gls"])
def test_every_weighting_trains_the_whole_model(weighting: str) -> None:
    model = make({})
    loss = lesson(model, weighting)
    assert all(p.grad is not None for p in [*model.parameters(), *loss.parameters()])


def test_without_a_shared_branch_gradnorm_says_so() -> None:
    with pytest.raises(ConfigError, match="shared branch"):
        lesson(make({"branches": "specific"}), "gradnorm")


def test_training_after_an_evaluation_trains_batch_normalisation_again() -> None:
    model = make({})
    norms = [part for part in model.modules() if isinstance(part, torch.nn.modules.batchnorm._BatchNorm)]
    logits(model.eval(), random_frames(2), full_mask(2))
    evaluated = [part.running_mean.clone() for part in norms]
    model.train()(random_frames(2), full_mask(2))
    assert not any(torch.equal(part.running_mean, before) for part, before in zip(norms, evaluated, strict=True))


@pytest.mark.parametrize("stream", JOINTS)
def test_a_joints_coordinates_stay_together(model: UVM3TL, stream: str) -> None:
    """A reshape in place of a permutation mixes time, joints and coordinates (reference/model.md 4.6, item 2)."""
    frames = random_frames(1)[stream][0]  # (T, P, 3)
    moved = frames.clone()
    moved[5, 7, 1] += 0.5
    with torch.inference_mode():
        before, after = (model.encode({stream: some})[stream] for some in (frames, moved))
        entered = F.linear(frames.flatten(1), beside_centred(frames.shape[1]))
    assert [slot for slot in range(CONFIG.slots) if not torch.equal(before[slot], after[slot])] == [5]
    assert torch.equal(entered[5, 7 * 3 : 7 * 3 + 3], frames[5, 7])


def test_posture_and_gesture_are_not_taken_for_each_other(model: UVM3TL) -> None:
    """Both are (points, 3); a loader that swaps them must not get an answer (reference/model.md 4.6, item 1)."""
    frames = random_frames(1)
    swapped = frames | {"posture": frames["gesture"], "gesture": frames["posture"]}
    with pytest.raises(RuntimeError, match="shape"):
        logits(model, swapped, full_mask(1))


OFF = ("face", "left", "gesture")


def test_streams_that_are_off_give_the_logits_of_absent_ones() -> None:
    whole, part = make({}).eval(), make({}, streams_off=OFF).eval()
    part.load_state_dict(whole.state_dict())
    frames, mask = random_frames(2), full_mask(2)
    absent = mask.clone()
    absent[:, [STREAMS.index(stream) for stream in OFF]] = 0.0
    assert torch.equal(logits(part, frames, mask), logits(whole, frames, absent))


def test_streams_that_are_off_are_never_encoded_nor_guessed_from() -> None:
    model = make({}, streams_off=OFF)
    encoded: list[str] = []
    for group, encoder in model.encoders.items():
        encoder.register_forward_hook(lambda _, inputs, __, group=group: encoded.extend([group] * len(inputs[0])))
    fused = model.train()(random_frames(2), full_mask(2))
    assert encoded.count("outside") == 2 * 2 * CONFIG.slots  # of its three streams, two
    assert not {"face", "gesture"} & set(encoded) and not set(OFF) & set(fused.guesses)


def test_all_that_can_learn_gets_a_gradient_when_streams_are_off() -> None:
    model = make({}, streams_off=OFF)
    lesson(model)
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    assert learning == {name for name, p in model.named_parameters() if p.grad is not None}
    assert "encoders.face" not in str(learning) and "gather.absent" in learning


def test_fusing_ignores_the_slots_of_streams_that_are_off() -> None:
    model = make({}, streams_off=OFF).eval()
    slots = {s: torch.rand(2, CONFIG.slots, *CONFIG.slot_shape(s)) for s in STREAMS}
    other = slots | {s: torch.rand_like(slots[s]) for s in OFF}
    for task, some in model.fuse(slots, full_mask(2)).logits.items():
        assert torch.equal(some, model.fuse(other, full_mask(2)).logits[task])


@pytest.mark.parametrize("off", [("rear",), STREAMS])
def test_streams_off_must_be_some_of_the_streams(off: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="streams_off"):
        replace(CONFIG, streams_off=off)


def test_a_configuration_survives_json_and_an_old_one_takes_the_defaults() -> None:
    config = replace(CONFIG, dbscme=DBSCMEConfig(heads=2, branches="specific"), streams_off=OFF)
    assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    old = {key: value for key, value in CONFIG.to_dict().items() if key not in ("dbscme", "streams_off")}
    assert ModelConfig.from_dict(json.loads(json.dumps(old))) == CONFIG


def test_a_branch_that_is_off_costs_nothing_when_counted() -> None:
    costs = [macs_per_step(make({"branches": name})).fuser for name in ("both", "none")]
    assert costs[0] > costs[1] > 0
