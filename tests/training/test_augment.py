"""What varies in training: a mirror that is a mirror, and absence that is only in the mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from codriver.sources.split import read_split
from codriver.tasks import AIDE, STREAMS, VIEWS
from training.augment import AugmentConfig, augment, drop, mirror, vary_pixels
from training.data import Clip, load_clip
from training.model import SIZES

pytestmark = pytest.mark.torch


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
