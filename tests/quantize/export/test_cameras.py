"""What each set of cameras tells: the same answers as if the other cameras had never been there."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")

import torch

from codriver.tasks import JOINTS, STREAMS, VIEWS
from quantize.export.cameras import answers_without, sets_of_cameras
from training.data.batches import predict
from training.data.clips import Clip
from training.evaluate import SUBSETS, with_views
from training.model.uvm3tl import SIZES, UVM3TL

pytestmark = pytest.mark.torch


def drawn_clip(random: np.random.Generator) -> Clip:
    """Noise in every stream, a fifth of all frames absent."""
    config = SIZES["tiny"]
    frames = {}
    for stream in STREAMS:
        shape = (config.slots, *config.input_shape(stream))
        frames[stream] = (
            random.random(shape, np.float32) if stream in JOINTS else random.integers(0, 256, shape, "uint8")
        )
    mask = (random.random((len(STREAMS), config.slots)) < 0.8).astype(np.float32)
    return Clip(frames, mask, np.zeros(4, np.int64))


def test_a_set_of_cameras_answers_as_if_the_others_had_never_been_there() -> None:
    torch.manual_seed(0)
    model = UVM3TL(SIZES["tiny"]).eval()
    random = np.random.default_rng(0)
    clips = [drawn_clip(random) for _ in range(3)]
    found = answers_without(model, clips, sets_of_cameras())
    assert list(found) == list(SUBSETS) and next(iter(found)) == VIEWS
    assert np.abs(found[VIEWS]["driver_emotion"] - found["front", "left"]["driver_emotion"]).max() > 1e-4
    for views, answers in found.items():
        expected = predict(model, [with_views(clip, views) for clip in clips])
        for task, probabilities in expected.items():
            np.testing.assert_allclose(answers[task], probabilities, atol=2e-6)
