"""What varies in training: a mirror that is a mirror, and absence that is only in the mask.

Defect 4 of reference/model.md 4.6: public loaders flip each view by its own draw, upside down too, never the
crops and joints.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from codriver.finder_graph import GESTURE_MIRROR, POSTURE_MIRROR
from codriver.percept import DRIVER_PARTS
from codriver.tasks import AIDE, STREAMS, VIEWS
from training.data.augment import (
    AugmentConfig,
    augment,
    close_up,
    drawn_take,
    drop,
    halved,
    mirror,
    vary_pixels,
)
from training.data.clips import Clip, load_clip
from training.data.takes import DISTURBED, FOUND, Take
from training.model.uvm3tl import SIZES
from workshop.aide_splits import read_split

pytestmark = pytest.mark.torch


# Halpe-136's body in the file's order (reference/model.md 2.4)
BODY = """nose l_eye r_eye l_ear r_ear l_shoulder r_shoulder l_elbow r_elbow l_wrist r_wrist l_hip r_hip l_knee r_knee
l_ankle r_ankle head neck hip l_big_toe r_big_toe l_small_toe r_small_toe l_heel r_heel""".split()
NOTHING_LOST = {"drop_driver": 0.0, "drop_part": 0.0, "drop_crops": 0.0, "drop_joints": 0.0}
MIRROR_ONLY = AugmentConfig(
    mirror=1.0, gain=0.0, shift=0.0, drop_view=0.0, drop_slot=0.0, short_context=0.0, **NOTHING_LOST
)


@pytest.fixture(scope="module")
def clip(dataset: Path) -> Clip:
    return load_clip(read_split(dataset, "train")[0], SIZES["tiny"], AIDE)


def test_a_mirror_swaps_the_left_and_right_views(clip: Clip) -> None:
    mask = clip.mask.copy()
    mask[STREAMS.index("left"), 3] = 0.0
    frames, mirrored = mirror(clip.frames, mask)
    np.testing.assert_array_equal(frames["right"], clip.frames["left"][:, :, ::-1])
    assert mirrored[STREAMS.index("right"), 3] == 0.0 and mirrored[STREAMS.index("left")].all()


def test_a_mirror_swaps_left_and_right_joints_and_hands(clip: Clip) -> None:
    frames, _ = mirror(clip.frames, clip.mask)
    before, after = clip.frames["posture"], frames["posture"]
    left_wrist, right_wrist = 9, 10
    np.testing.assert_allclose(after[:, left_wrist, 0], 1.0 - before[:, right_wrist, 0], atol=1e-6)
    np.testing.assert_allclose(after[:, left_wrist, 1:], before[:, right_wrist, 1:])
    np.testing.assert_allclose(frames["gesture"][:, 0, 0], 1.0 - clip.frames["gesture"][:, 21, 0], atol=1e-6)


def test_two_mirrors_give_the_clip_back(clip: Clip) -> None:
    frames, mask = mirror(*mirror(clip.frames, clip.mask))
    assert np.array_equal(mask, clip.mask)
    assert all(np.allclose(frames[s], clip.frames[s], atol=1e-6) for s in STREAMS)


def test_light_and_framing_are_constant_over_the_clip(clip: Clip) -> None:
    still = np.repeat(clip.frames["front"][:1], 16, axis=0)
    varied = vary_pixels(still, np.random.default_rng(3), AugmentConfig())
    assert (varied == varied[0]).all() and (varied != still).any()


def test_the_original_clip_is_never_written_to(clip: Clip) -> None:
    before = {s: some.copy() for s, some in clip.frames.items()}
    for seed in range(8):
        augment(clip, np.random.default_rng(seed), AugmentConfig())
    assert clip.mask.all() and all(np.array_equal(clip.frames[s], before[s]) for s in STREAMS)


def test_one_view_and_the_newest_slot_always_stay() -> None:
    config = AugmentConfig(drop_view=0.9, drop_slot=0.9, short_context=1.0)
    for seed in range(200):
        mask = np.ones((len(STREAMS), 16), np.float32)
        drop(mask, np.random.default_rng(seed), config)
        assert mask[: len(VIEWS), -1].any()


def test_without_the_incar_view_the_drivers_streams_are_absent() -> None:
    seen = 0
    for seed in range(200):
        mask = np.ones((len(STREAMS), 16), np.float32)
        drop(mask, np.random.default_rng(seed), AugmentConfig(drop_view=0.5))
        if not mask[STREAMS.index("incar")].any():
            seen += 1
            assert not mask[[STREAMS.index(s) for s in ("face", "body", "posture", "gesture")]].any()
    assert seen > 50


@pytest.mark.parametrize("runs", [0, 2])
def test_an_in_car_view_without_all_or_one_of_the_drivers_streams_is_a_lesson_in_every_kind_of_lesson(
    runs: int,
) -> None:
    config = AugmentConfig(runs=runs, drop_view=0.0, drop_driver=0.1, drop_part=0.1, drop_crops=0.0, drop_joints=0.0)
    lost: Counter[str] = Counter()
    for seed in range(2000):
        mask = np.ones((len(STREAMS), 16), np.float32)
        drop(mask, np.random.default_rng(seed), config)
        assert mask[: len(VIEWS)].any(axis=1).all()
        lost["".join(part[0] for part in DRIVER_PARTS if not mask[STREAMS.index(part)].any())] += 1
    alone = 0.9 * 0.1 * 0.9**3
    assert lost["fbpg"] / 2000 == pytest.approx(0.1, abs=0.02)
    assert all(lost[part] / 2000 == pytest.approx(alone, abs=0.02) for part in "fbpg")


@pytest.mark.parametrize(
    ("kept", "runs", "placed"),
    [
        ([5, 6, 7], 1, [5, 6, 7]),
        ([0, 1, 2, 9, 10, 11], 2, [0, 1, 2, -1, 9, 10, 11]),
        ([3, 4, 5, 6], 2, [-1, -1, -1, 3, 4, 5, 6]),  # runs that overlap, or touch, are one
        ([3, 4, 5, 6, 7, 8], 2, [-1, 3, 4, 5, 6, 7, 8]),
    ],
)
def test_kept_slots_move_together_and_runs_stay_apart(kept: list[int], runs: int, placed: list[int]) -> None:
    numbers = np.arange(16, dtype=np.float32)[:, None] + 1
    mask = np.zeros((len(STREAMS), 16), np.float32)
    mask[1:, kept] = 1.0
    frames, shorter = close_up({"front": numbers}, mask, kept, runs)
    assert frames["front"][:, 0].tolist() == [slot + 1 for slot in placed]
    assert not shorter[0].any() and shorter[1].tolist() == [float(slot >= 0) for slot in placed]


@pytest.mark.parametrize("runs", [1, 2])
def test_a_cheap_lesson_says_the_same_to_the_network_as_with_all_its_empty_slots(clip: Clip, runs: int) -> None:
    import torch

    from training.data.batches import collate
    from training.model.uvm3tl import UVM3TL

    torch.manual_seed(0)
    model, config = UVM3TL(SIZES["tiny"]).eval(), replace(MIRROR_ONLY, mirror=0.0, found=0.0, disturbed=0.0, runs=runs)
    for seed in range(4):
        mask = clip.mask.copy()
        kept = drop(mask, np.random.default_rng(seed), config)
        whole = replace(clip, mask=mask)
        shorter = replace(clip, **dict(zip(("frames", "mask"), close_up(clip.frames, mask, kept, runs), strict=True)))
        assert shorter.mask.shape[1] == 4 * runs - 1
        with torch.no_grad():
            said = [model(*collate([some])[:2]).logits for some in (whole, shorter)]
        for task in AIDE.names:
            torch.testing.assert_close(said[0][task], said[1][task], rtol=1e-5, atol=1e-6)


def test_a_lesson_is_seen_in_other_eyes_as_often_as_the_config_says(clip: Clip) -> None:
    takes = {}
    for number, name in enumerate((FOUND, DISTURBED), start=1):
        streams = {part: np.full_like(clip.frames[part], number) for part in DRIVER_PARTS}
        takes[name] = Take(streams, np.full((4, 16), number == 1, np.float32))
    config, rng = replace(MIRROR_ONLY, mirror=0.0, found=0.5, disturbed=0.2), np.random.default_rng(0)
    drawn = Counter(drawn_take(rng, config) for _ in range(4000))
    assert [drawn[name] / 4000 for name in (FOUND, DISTURBED)] == pytest.approx([0.5, 0.2], abs=0.03)
    for seed in range(20):
        name = drawn_take(np.random.default_rng(seed), config)
        varied = augment(replace(clip, takes=takes), np.random.default_rng(seed), config)
        expected = takes[name].frames["posture"] if name else clip.frames["posture"]
        np.testing.assert_array_equal(varied.frames["posture"], expected)
        assert varied.mask[STREAMS.index("face")].all() == (name != DISTURBED)


def test_every_point_of_the_body_meets_its_namesake_in_the_mirror() -> None:
    other_side = {"l": "r", "r": "l"}
    for name, source in zip(BODY, POSTURE_MIRROR, strict=True):
        side, _, part = name.partition("_")
        expected = f"{other_side[side]}_{part}" if part else name
        assert BODY[source] == expected


def test_the_hands_change_places_finger_by_finger() -> None:
    """Point 94 + k of the left hand and 115 + k of the right: k and 21 + k of the stream."""
    assert list(GESTURE_MIRROR) == [(point + 21) % 42 for point in range(42)]


def test_a_mirrored_clip_is_mirrored_as_a_whole_and_stays_upright(clip: Clip) -> None:
    mirrored = augment(clip, np.random.default_rng(0), MIRROR_ONLY)
    for stream, source in {"incar": "incar", "front": "front", "left": "right", "right": "left"}.items():
        np.testing.assert_array_equal(mirrored.frames[stream], clip.frames[source][:, :, ::-1])
    for stream in ("face", "body"):
        np.testing.assert_array_equal(mirrored.frames[stream], clip.frames[stream][:, :, ::-1])
    for stream in ("posture", "gesture"):
        assert sorted(mirrored.frames[stream][0, :, 1]) == sorted(clip.frames[stream][0, :, 1])
        assert not np.array_equal(mirrored.frames[stream], clip.frames[stream])


def test_without_a_mirror_nothing_is_mirrored(clip: Clip) -> None:
    same = augment(clip, np.random.default_rng(0), replace(MIRROR_ONLY, mirror=0.0))
    assert all(np.array_equal(same.frames[s], clip.frames[s]) for s in STREAMS)
    assert np.array_equal(same.mask, clip.mask)


def test_a_mirror_leaves_unknown_points_unknown(clip: Clip) -> None:
    frames = {**clip.frames, "posture": np.zeros_like(clip.frames["posture"])}
    assert not mirror(frames, clip.mask)[0]["posture"].any()


def test_the_same_seed_varies_a_clip_in_the_same_way_and_another_epoch_in_another(clip: Clip) -> None:
    first, again, later = (augment(clip, np.random.default_rng([7, epoch, 3]), AugmentConfig()) for epoch in (0, 0, 1))
    assert all(np.array_equal(first.frames[s], again.frames[s]) for s in STREAMS)
    assert np.array_equal(first.mask, again.mask)
    assert any(not np.array_equal(first.frames[s], later.frames[s]) for s in STREAMS)


def test_labels_and_the_clips_id_stay(clip: Clip) -> None:
    varied = augment(clip, np.random.default_rng(0), AugmentConfig())
    assert varied.id == "0001" and np.array_equal(varied.labels, clip.labels)


def test_framing_moves_by_up_to_the_share_that_the_config_says_in_every_direction() -> None:
    """What is seen is the same picture, moved as a whole."""
    size, config = 20, AugmentConfig(gain=0.0, shift=0.1)
    picture = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), np.uint8)
    found = set()
    for seed in range(300):
        moved = vary_pixels(picture, np.random.default_rng(seed), config)[0, 5:15, 5:15]
        places = [
            (down, right)
            for down in range(-4, 5)
            for right in range(-4, 5)
            if np.array_equal(moved, picture[0, 5 - down : 15 - down, 5 - right : 15 - right])
        ]
        assert len(places) == 1
        found.add(places[0])
    assert found == {(down, right) for down in range(-2, 3) for right in range(-2, 3)}


def test_a_lesson_at_half_size_holds_means_of_two_by_two_pixels(clip: Clip) -> None:
    small = augment(clip, np.random.default_rng(0), replace(MIRROR_ONLY, mirror=0.0, half=True))
    for stream in ("front", "face"):
        whole = clip.frames[stream].astype(float)
        slots, side = whole.shape[0], whole.shape[1] // 2
        means = whole.reshape(slots, side, 2, side, 2, 3).mean(axis=(2, 4))
        assert small.frames[stream].shape == (slots, side, side, 3)
        assert np.abs(small.frames[stream] - means).max() <= 0.5
    np.testing.assert_array_equal(small.frames["posture"], clip.frames["posture"])


def test_halving_no_images_gives_none() -> None:
    assert halved(np.zeros((0, 8, 6, 3), np.uint8)).shape == (0, 4, 3, 3)
