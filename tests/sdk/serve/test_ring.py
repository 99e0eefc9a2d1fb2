"""Steps as MCAP in a folder that does not grow, over restarts, other bundles and a disk that was full."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from codriver.perceiver import Perceiver
from codriver.recording.reader import Recording
from codriver.serve import ring as ring_module
from codriver.serve.config import RecordingConfig
from codriver.serve.ring import Ring
from codriver.sources import FrameSet
from tests.clips import percept
from tests.tiny import make_tiny_bundle


@pytest.fixture(scope="module")
def perceiver(tmp_path_factory):
    bundle = make_tiny_bundle(tmp_path_factory.mktemp("ring") / "tiny.bundle", golden=False)
    with Perceiver.open(bundle, threads=1) as opened:
        yield opened


def step(perceiver, number):
    noise = np.random.default_rng(number).integers(0, 256, (96, 128, 3), np.uint8)  # PNG of it: 37 kB
    return FrameSet({"incar": noise}, number / 15), replace(percept(number), model=perceiver.manifest.id)


def recorded(folder, perceiver, numbers, **config):
    ring = Ring(folder, RecordingConfig(path="", **({"images": "png", "limit_mb": 1.0} | config)), perceiver)
    for number in numbers:
        ring.add(*step(perceiver, number))
    ring.close()
    return ring


def mb(folder):
    return sum(file.stat().st_size for file in folder.rglob("*.mcap")) / 1e6


def test_over_many_starts_the_folder_keeps_within_its_limit_and_each_drive_is_whole(perceiver, tmp_path):
    for start in range(4):
        recorded(tmp_path, perceiver, range(100 * start, 100 * start + 40))
        assert 0.2 < mb(tmp_path) <= 1.0
    drives = sorted(tmp_path.iterdir())
    assert drives[-1].name == "000003"
    sequences = [found.percept["sequence"] for drive in drives for found in Recording(drive).steps()]
    assert sequences[-1] == 339 and sequences == sorted(sequences) and sequences[0] > 100
    assert all(Recording(drive).cut == [] for drive in drives)
    (found, *_) = Recording(drives[-1]).steps()
    assert found.about.wall_offset_ns  # cameras' times can be the wall clock's


def test_unless_it_is_asked_for_no_picture_is_recorded(perceiver, tmp_path):
    assert RecordingConfig(path="x").images == "none"
    recorded(tmp_path, perceiver, range(5), images="none")
    assert [found.frames for found in Recording(tmp_path / "000000").steps()] == [{}] * 5


def test_another_bundle_begins_another_drive(perceiver, tmp_path):
    ring = Ring(tmp_path, RecordingConfig(path=""), perceiver)
    at, answered = step(perceiver, 0)
    ring.add(at, answered)
    ring.add(at, replace(answered, sequence=1, model="other-0123456789ab"))
    ring.close()
    assert [len(list(Recording(drive).steps())) for drive in sorted(tmp_path.iterdir())] == [1, 1]


def test_a_disk_that_is_full_loses_steps_and_says_so_and_later_they_go_on(perceiver, tmp_path, monkeypatch):
    ring = Ring(tmp_path / "drives", RecordingConfig(path=""), perceiver)
    ring.add(*step(perceiver, 0))

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("codriver.recording.writer.McapFile.write", full)
        ring.add(*step(perceiver, 1))
        assert "No space left on device" in ring.problem
        ring.add(*step(perceiver, 2))
    ring.add(*step(perceiver, 3))
    assert ring.problem, "it is not tried at each step"
    monkeypatch.setattr(ring_module, "RETRY_S", 0.0)
    ring._retry_s = 0.0
    ring.add(*step(perceiver, 4))
    ring.close()
    assert ring.problem == ""
    assert [s.percept["sequence"] for s in Recording(tmp_path / "drives" / "000001").steps()] == [4]
