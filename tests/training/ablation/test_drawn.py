"""Footage that a plan draws: the clips of a data set of the same seed, and drawn again they are the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from codriver.errors import ConfigError
from codriver.tasks import AIDE, STREAMS
from training.ablation.drawn import DrawnConfig, DrawnFootage
from training.data.clips import load_clips
from training.model.uvm3tl import SIZES
from training.synth import main as synth
from workshop.aide_splits import read_split

pytestmark = pytest.mark.torch
DRAWN, COUNTS = DrawnConfig(clips=4, seed=7), {"train": 1, "test": 1, "watch": 1}


def bar(_: str, items: list[object]) -> list[object]:
    return items


def test_drawn_clips_are_those_that_a_data_set_of_the_seed_holds_but_for_jpeg(tmp_path: Path) -> None:
    synth([str(tmp_path / "data"), "--clips", "4", "--seed", "7", "--videos", "none", "--workers", "1"])
    clips = DrawnFootage(DRAWN, COUNTS, SIZES["small"]).clips(None, bar)
    for kind, split in (("train", "train"), ("test", "test"), ("watch", "val")):
        read, drawn = load_clips(read_split(tmp_path / "data", split)[:1], SIZES["small"], AIDE)[0], clips[kind][0]
        assert drawn.id == read.id and drawn.labels.tolist() == read.labels.tolist()
        np.testing.assert_array_equal(drawn.mask, read.mask)
        for stream in STREAMS:
            apart = np.abs(drawn.frames[stream].astype(np.float64) - read.frames[stream])
            assert apart.mean() < (6.0 if drawn.frames[stream].dtype == np.uint8 else 1e-6), stream


def test_what_was_kept_is_what_is_drawn_and_other_clips_have_another_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    footage = DrawnFootage(DRAWN, COUNTS, SIZES["tiny"])
    fresh = footage.clips(tmp_path, bar)
    monkeypatch.setattr("training.ablation.drawn.drawn_clip", None)  # nothing may be drawn again
    again = footage.clips(tmp_path, bar)
    for kind, some in fresh.items():
        for one, other in zip(some, again[kind], strict=True):
            assert one.labels.tolist() == other.labels.tolist() and (one.mask == other.mask).all()
            assert all((one.frames[s] == other.frames[s]).all() for s in STREAMS)
    monkeypatch.undo()
    more = DrawnFootage(DRAWN, COUNTS | {"train": 2}, SIZES["tiny"])
    assert more.digest != footage.digest == DrawnFootage(DRAWN, COUNTS, SIZES["tiny"]).digest
    assert len([*tmp_path.rglob("*.safetensors")]) == 3
    more.clips(tmp_path, bar)
    assert len([*tmp_path.rglob("*.safetensors")]) == 4  # the three are taken from where they are


def test_a_data_set_with_too_few_clips_is_refused_by_kind() -> None:
    with pytest.raises(ConfigError, match="1 of 3 test"):
        DrawnFootage(DRAWN, COUNTS | {"test": 3}, SIZES["tiny"])
