"""What the encoder is told of one slot earlier, which row it stands in, and how long anything is remembered."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from codriver.config import ContextConfig
from codriver.network.context import Context, Encoded
from codriver.network.fuser_inputs import FuserInputs
from codriver.perceiver import Perceiver
from codriver.tasks import GROUP_OF, STREAMS, VIEWS
from tests.spies import Spy, spied
from tests.tiny import tiny_manifest, tiny_steps

Spies = tuple[Perceiver, Spy, Spy]
CONFIG = ContextConfig()


def run(perceiver: Perceiver, steps: list[Any]) -> None:
    perceiver.reset()
    for step in steps:
        perceiver.step(*step)


def at(times_s: list[float]) -> list[Any]:
    """Random steps at these times."""
    return [(frames, t, driver) for t, (frames, _, driver) in zip(times_s, tiny_steps(len(times_s)), strict=True)]


def features(encoder: Spy, group: str) -> list[np.ndarray]:
    """Of each step, the group's features: (n, *feature)."""
    return [encoder.engine.infer(inputs)[f"{group}_feature"] for inputs in encoder.inputs]


# One slot earlier


@pytest.mark.parametrize(("rate_hz", "without", "back"), [(10, 1, 2), (15, 2, 3), (30, 3, 6)])
@pytest.mark.parametrize("group", ["outside", "posture"])
def test_before_is_the_feature_of_one_slot_earlier_at_any_rate(
    spies: Spies, rate_hz: int, without: int, back: int, group: str
) -> None:
    """The first frames have none, the next ones have the very first, then it is `back` frames ago."""
    perceiver, encoder, _ = spies
    run(perceiver, tiny_steps(3 * back + 1, rate_hz=rate_hz))
    made = features(encoder, group)
    for number, inputs in enumerate(encoder.inputs):
        expected = np.zeros_like(made[0]) if number < without else made[max(0, number - back)]
        np.testing.assert_array_equal(inputs[f"{group}_before"], expected)


def test_the_motion_before_is_the_one_of_a_slot_earlier_and_zeros_until_there_is_one(spies: Spies) -> None:
    perceiver, encoder, _ = spies
    run(perceiver, tiny_steps(5))
    made = [encoder.engine.infer(inputs)["outside_motion"] for inputs in encoder.inputs]
    for number, inputs in enumerate(encoder.inputs):
        expected = np.zeros_like(made[0]) if number < 2 else made[number - 1]  # the first frame has no motion itself
        np.testing.assert_array_equal(inputs["outside_motion_before"], expected)


@pytest.mark.parametrize(
    ("times_s", "nearest"),
    [
        ([0.0, 0.07, 0.13, 0.31], 2),
        ([0.0, 0.07, 0.13, 0.25], 1),
        ([0.0, 0.11, 0.2], 0),
        ([0.0, 0.1], 0),
        ([0.0, 0.3], 0),
        ([0.0, 0.09], None),
        ([0.0, 0.31], None),
        ([0.0, 0.45, 0.5], None),
    ],
)
def test_before_is_the_nearest_within_the_tolerance_or_zeros(
    spies: Spies, times_s: list[float], nearest: int | None
) -> None:
    perceiver, encoder, _ = spies
    run(perceiver, at(times_s))
    made = features(encoder, "incar")
    expected = np.zeros_like(made[0]) if nearest is None else made[nearest]
    np.testing.assert_array_equal(encoder.inputs[-1]["incar_before"], expected)


def test_after_reset_nothing_is_before(spies: Spies) -> None:
    perceiver, encoder, _ = spies
    run(perceiver, tiny_steps(3))
    assert all(encoder.inputs[-1][f"{group}_before"].any() for group in perceiver.manifest.groups)
    perceiver.reset()
    perceiver.step(*tiny_steps(4)[3])
    assert not any(encoder.inputs[-1][f"{group}_before"].any() for group in perceiver.manifest.groups)


def without_left(step: Any) -> Any:
    frames, t, driver = step
    return {view: frame for view, frame in frames.items() if view != "left"}, t, driver


def test_a_stream_that_was_away_one_slot_earlier_has_zeros_and_its_neighbours_have_not(spies: Spies) -> None:
    perceiver, encoder, _ = spies
    first, second, third = tiny_steps(3)
    run(perceiver, [first, without_left(second), third])
    assert encoder.inputs[-1]["outside_before"].any(axis=(1, 2, 3)).tolist() == [True, False, True]


def test_a_stream_that_is_away_has_zeros_before_it(spies: Spies) -> None:
    perceiver, encoder, fuser = spies
    first, second, third = tiny_steps(3)
    run(perceiver, [first, second, without_left(third)])
    assert encoder.inputs[-1]["outside_before"].any(axis=(1, 2, 3)).tolist() == [True, False, True]
    assert encoder.inputs[-1]["outside"].any(axis=(1, 2, 3)).tolist() == [True, False, True]
    assert not fuser.inputs[-1]["left_slot"][0, -1].any()


def test_before_and_the_slots_come_from_the_encoders_own_rows(spies: Spies) -> None:
    perceiver, encoder, fuser = spies
    run(perceiver, tiny_steps(2))
    outputs = encoder.engine.infer(encoder.inputs[-1])
    for group, members in perceiver.manifest.groups.items():
        for row, stream in enumerate(members):
            np.testing.assert_array_equal(fuser.inputs[-1][stream.slot_name][0, -1], outputs[f"{group}_slot"][row])


def test_a_frame_without_one_before_it_is_remembered_for_the_next_but_fills_no_slot(spies: Spies) -> None:
    """What changed is half of what a slot tells; a change from nothing is none."""
    perceiver, _, fuser = spies
    filled = []
    for number, step in enumerate(tiny_steps(5)):
        perceiver.step(*(without_left(step) if number == 2 else step))
        filled.append(fuser.inputs[-1]["mask"][0, STREAMS.index("left"), -1])
    assert filled == [0, 1, 0, 0, 1]


# Rows of a group


@pytest.mark.parametrize("view", ["incar", "front", "left", "right"])
def test_a_view_leaks_into_no_other_stream(spies: Spies, view: str) -> None:
    perceiver, _, fuser = spies
    steps = [(frames, t, None) for frames, t, _ in tiny_steps(4)]
    changed = [(frames | {view: 255 - frames[view]}, t, None) for frames, t, _ in steps]
    seen = []
    for some in (steps, changed):
        run(perceiver, some)
        seen.append(fuser.inputs[-1])
    differ = [name for name in seen[0] if not np.array_equal(seen[0][name], seen[1][name])]
    assert differ == [f"{view}_slot"]


@pytest.mark.parametrize(
    "streams",
    [
        ("incar", "front"),
        ("front",),
        ("left", "right"),
        ("incar", "front", "right", "face"),
        ("incar", "left", "posture", "gesture"),
    ],
)
def test_a_bundle_may_hold_only_some_members_of_a_group(streams: tuple[str, ...]) -> None:
    manifest = tiny_manifest(streams)
    perceiver, encoder, fuser = spied(manifest)
    with perceiver:
        run(perceiver, tiny_steps(9, views=manifest.views))
        assert fuser.inputs[-1]["mask"][0].sum(axis=1).tolist() == [8] * len(streams)
        assert {name.removesuffix("_slot") for name in fuser.inputs[-1]} == {*streams, "mask"}
        assert set(manifest.groups) == {GROUP_OF[stream] for stream in streams}
        made = features(encoder, GROUP_OF[streams[-1]])
        np.testing.assert_array_equal(encoder.inputs[-1][f"{GROUP_OF[streams[-1]]}_before"], made[-2])


def test_a_member_sees_the_same_with_and_without_its_neighbours(spies: Spies) -> None:
    """Its row moves, its picture and what is remembered of it do not."""
    perceiver, whole, _ = spies
    alone, part, _ = spied(tiny_manifest(("incar", "right")))
    steps = tiny_steps(2)
    run(perceiver, steps)
    with alone:
        run(alone, [({view: frames[view] for view in ("incar", "right")}, t, driver) for frames, t, driver in steps])
    np.testing.assert_array_equal(part.inputs[-1]["outside"][0], whole.inputs[-1]["outside"][2])


# Forgetting


def remembered(perceiver: Perceiver, stream: str) -> tuple[int, int]:
    """How many features and how many slots of a stream."""
    context = perceiver._context
    return len(context._features[stream]._times_s), len(context._slots[stream]._times_s)


def test_features_are_kept_for_one_slot_and_slots_for_the_whole_context(spies: Spies) -> None:
    perceiver, _, _ = spies
    run(perceiver, tiny_steps(110, rate_hz=30))
    for stream in perceiver.manifest.streams:
        features, slots = remembered(perceiver, stream.name)
        assert 0.3 * 30 <= features <= 0.3 * 30 + 1
        assert 3.1 * 30 <= slots <= 3.1 * 30 + 1


def test_features_of_a_camera_that_stays_away_are_forgotten_too(spies: Spies) -> None:
    perceiver, _, _ = spies
    run(perceiver, tiny_steps(5, rate_hz=10))
    for number in range(5, 9):
        frames = tiny_steps(1)[0][0]
        perceiver.step({"incar": frames["incar"]}, number / 10)
    assert remembered(perceiver, "front")[0] == 0 < remembered(perceiver, "incar")[0]


def filled_context() -> tuple[Context, Encoded, Encoded]:
    """A context of a tiny manifest, and what is seen of each stream without a feature before it, and with one."""
    manifest = tiny_manifest()
    outputs = manifest.encoder_signature.outputs
    features, slots = {}, {}
    for stream in manifest.streams:
        group = GROUP_OF[stream.name]
        features[stream.name] = np.ones(outputs[f"{group}_feature"].shape[1:], np.float32)
        slots[stream.name] = np.ones(outputs[f"{group}_slot"].shape[1:], np.float32)
    return Context(manifest), Encoded(features, {}, {}), Encoded(features, slots, slots)


def recalled(context: Context, t: float) -> dict[str, list[bool]]:
    manifest = tiny_manifest()
    return FuserInputs(manifest, manifest.fuser_signature).fill(context, t)


def at_once(t: float) -> dict[str, float]:
    return dict.fromkeys(VIEWS, t)


def test_what_was_not_the_world_is_no_feature_before_the_next_frame_either() -> None:
    """A frozen picture is compared with nothing: the change since then would be the difference from a lie."""
    context, first, seen = filled_context()
    context.remember(first, at_once(0.0))
    context.remember(seen, at_once(0.2))
    there = lambda view, t: [kept is not None for kept in context.before(view, t)]  # noqa: E731  feature, motion
    assert there("left", 0.4) == [True, True]
    context.forget_from("left", 0.1)
    assert there("left", 0.4) == [False, False] and there("left", 0.2) == [True, False]
    assert there("right", 0.4) == [True, True]
    filled = recalled(context, 0.2)
    assert not filled["left"][-1] and filled["right"][-1]


def test_an_instant_that_gave_no_slot_is_empty_and_not_its_neighbours() -> None:
    context, first, seen = filled_context()
    context.remember(seen, at_once(0.2))
    context.remember(first, at_once(0.25))
    assert not any(row[-1] for row in recalled(context, 0.25).values())
    assert all(row[-1] for row in recalled(context, 0.2).values())


def test_reset_lets_go_of_everything(spies: Spies) -> None:
    perceiver, _, _ = spies
    run(perceiver, tiny_steps(4))
    perceiver.reset()
    assert all(remembered(perceiver, stream.name) == (0, 0) for stream in perceiver.manifest.streams)


def test_no_array_that_a_graph_gave_is_held_after_its_step(spies: Spies) -> None:
    """What is remembered is copied into buffers made at open: a runtime may reuse what it gave."""
    perceiver, encoder, fuser = spies
    run(perceiver, tiny_steps(4))
    assert len(encoder.given) >= 4 and encoder.held() == fuser.held() == []
