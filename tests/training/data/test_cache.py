"""Clips kept on disk: the same as decoded ones, never stale, never half there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from codriver.errors import CodriverError, ConfigError, SourceError
from codriver.tasks import AIDE, STREAMS
from tests.aide import edit_annotation
from training.data import cache
from training.data.__main__ import main
from training.data.clips import ClipSet, load_clips, open_clips
from training.data.sampling import Sampling
from training.model.uvm3tl import SIZES
from workshop.aide_splits import read_split

AIDE16 = Sampling("aide16")

pytestmark = pytest.mark.torch
CONFIG = SIZES["tiny"]


@pytest.fixture
def root(dataset: Path, tmp_path: Path) -> Path:
    """A copy of the data set to change."""
    return Path(shutil.copytree(dataset, tmp_path / "data"))


def train(root: Path, tmp_path: Path, **options: Any) -> ClipSet:
    return open_clips(read_split(root, "train"), CONFIG, AIDE, tmp_path / "cache", **options)


def test_a_cached_clip_is_the_decoded_clip(dataset: Path, tmp_path: Path) -> None:
    decoded = load_clips(read_split(dataset, "train"), CONFIG, AIDE)
    for clips in (
        train(dataset, tmp_path),
        load_clips(read_split(dataset, "train"), CONFIG, AIDE, cache=tmp_path / "cache"),
    ):
        for clip, expected in zip(clips, decoded, strict=True):
            assert clip.id == expected.id and np.array_equal(clip.labels, expected.labels)
            assert np.array_equal(clip.mask, expected.mask)
            assert all(np.array_equal(clip.frames[s], expected.frames[s]) for s in STREAMS)
            assert all(clip.frames[s].dtype == expected.frames[s].dtype for s in STREAMS)


def test_what_is_cached_is_not_decoded_again(root: Path, tmp_path: Path) -> None:
    clips = train(root, tmp_path)
    for path in (root / "AIDE_Dataset" / "0001" / "frontframes").iterdir():
        path.write_bytes(b"x" * path.stat().st_size)
    assert train(root, tmp_path).files == clips.files
    assert clips[0].mask.all()


def test_a_changed_annotation_or_frame_size_setting_or_sampling_is_another_file(root: Path, tmp_path: Path) -> None:
    files = {train(root, tmp_path).files[0], train(root, tmp_path, sampling=AIDE16).files[0]}
    larger = replace(CONFIG, view_px=64)
    files.add(open_clips(read_split(root, "train"), larger, AIDE, tmp_path / "cache").files[0])
    edit_annotation(root, "0001", lambda c: c["pose_list"].reverse())
    files.add(train(root, tmp_path).files[0])
    frame = root / "AIDE_Dataset" / "0001" / "leftframes" / "44.jpg"
    frame.write_bytes(frame.read_bytes() + b"\0")
    files.add(train(root, tmp_path).files[0])
    assert len(files) == 5


def test_a_changed_label_is_never_read_from_an_old_cache(root: Path, tmp_path: Path) -> None:
    before = train(root, tmp_path)[0].labels[0]
    edit_annotation(root, "0001", lambda c: c.update(emotion_label="anger"))
    clips = train(root, tmp_path)
    assert before != 4 and clips[0].labels[0] == clips.labels[0, 0] == 4


def test_an_interrupted_cache_goes_on_where_it_stopped(dataset: Path, tmp_path: Path) -> None:
    def stop_after_two(items: Any) -> Iterator[Any]:
        for number, item in enumerate(items):
            yield item
            if number == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(dataset, tmp_path, progress=stop_after_two, workers=1)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").glob("*/*.safetensors")}
    assert len(kept) >= 2 and not list((tmp_path / "cache").glob("*/.*"))
    clips = train(dataset, tmp_path)
    assert set(kept) <= set(clips.files) and all(path.stat().st_mtime_ns == when for path, when in kept.items())


def test_writing_that_fails_leaves_nothing_half_written(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def full(source: Any, target: Path) -> None:
        if target.suffix == ".safetensors":
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(CodriverError, match=r"\.safetensors: no room to write it .* free some"):
        train(dataset, tmp_path)
    assert [path.name for path in (tmp_path / "cache").glob("*/*")] == ["cache.json"]


def test_a_disk_that_is_too_small_is_refused_before_the_first_clip(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"3 clips need .* GB, .* GB are free"):
        cache.check_room(tmp_path, 3, 10**18)


def test_a_cache_that_is_a_file_is_refused(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(ConfigError, match="expected a folder that can be written"):
        train(dataset, tmp_path)


def test_a_damaged_file_is_decoded_again_instead(dataset: Path, tmp_path: Path) -> None:
    clips = train(dataset, tmp_path)
    expected = clips[0].frames["front"].copy()  # what is mapped would be cut short with its file
    clips.files[0].write_bytes(clips.files[0].read_bytes()[:100])
    np.testing.assert_array_equal(clips[0].frames["front"], expected)


def test_a_bad_clip_is_refused_while_the_cache_is_made(root: Path, tmp_path: Path) -> None:
    (root / "AIDE_Dataset" / "0003" / "rightframes" / "44.jpg").write_bytes(b"")
    with pytest.raises(SourceError, match=r"0003/rightframes/44\.jpg cannot be decoded"):
        train(root, tmp_path)


def test_a_cache_says_what_it_was_made_from(dataset: Path, tmp_path: Path) -> None:
    said = json.loads((train(dataset, tmp_path).files[0].parent / "cache.json").read_text())
    assert said["sampling"] == {"name": "uniform"} and said["inputs"]["incar"] == [32, 32, 3]


def test_the_command_caches_all_splits_and_tells_both_speeds(dataset: Path, tmp_path: Path, capsys: Any) -> None:
    assert main(["cache", str(dataset), "--size", "tiny", "--out", str(tmp_path / "cache"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["clips"] == {"train": 4, "val": 1, "test": 1} and result["speed_clips"] == 4
    assert result["cached"] > 0 and result["decoded"] > 0
    assert len(list(Path(result["folder"]).glob("*.safetensors"))) == 6
