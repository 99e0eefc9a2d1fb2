"""Video files as people have them: cut off, damaged, turned, of several clocks, with odd names."""

from __future__ import annotations

import math
import os
import re
import struct
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from codriver.cli.main import main
from codriver.errors import SourceError
from codriver.sources import Videos, open_source
from codriver.sources.stamps import Stamps
from tests.clips import frame, make_video

RATE_HZ = 20.0
BLOCK = re.compile(rb"\xa3(?:[\x81-\xfe]|[\x40-\x7f].|[\x20-\x3f]..)\x81(..)\x80\xff\xd8", re.DOTALL)  # of a JPEG


def make_mkv(path: Path, frames: int = 30) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), RATE_HZ, (96, 54))
    for number in range(frames):
        writer.write(frame(number))
    writer.release()
    return path


def stamp_anew(path: Path, times_ms: dict[int, int] | int) -> Path:
    """Change the time stamps of single frames, or add to all, without a change to anything else."""
    content = bytearray(path.read_bytes())
    blocks = list(BLOCK.finditer(bytes(content)))
    assert len(blocks) == 30
    for number, block in enumerate(blocks):
        later = times_ms if isinstance(times_ms, int) else times_ms.get(number, 50 * number) - 50 * number
        since_cluster = struct.unpack(">h", block[1])[0]
        content[block.start(1) : block.end(1)] = struct.pack(">h", since_cluster + later)
    path.write_bytes(content)
    return path


def times(source: Videos, view: str) -> list[float]:
    with source:
        return [step.t for step in source if view in step.frames]


def test_a_file_that_gives_fewer_frames_than_its_container_promises_is_told(tmp_path: Path) -> None:
    path = make_mkv(tmp_path / "a.mkv")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    source = Videos({"front": path})
    given = len(times(source, "front"))
    assert 5 < given < 25
    assert f"front: a.mkv: its container promises 30 frames (1.50 s) and gives {given}" in source.problems[0]


def test_a_file_that_gives_all_that_it_promises_is_not_blamed(tmp_path: Path) -> None:
    for path in (make_mkv(tmp_path / "a.mkv"), make_video(tmp_path / "b.mp4", 12), make_video(tmp_path / "c.avi", 12)):
        source = Videos({"front": path})
        assert times(source, "front") and source.problems == []


def test_behind_a_hole_in_the_middle_a_file_goes_on_and_the_hole_is_counted(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", 30)
    content = bytearray(path.read_bytes())
    start = content.index(b"mdat")
    end = content.index(b"moov")
    middle = start + (end - start) // 2
    content[middle : middle + (end - start) // 8] = bytes((end - start) // 8)
    path.write_bytes(content)
    source = Videos({"front": path})
    found = times(source, "front")
    assert 15 < len(found) < 30 and found[-1] == pytest.approx(29 / 15, abs=0.01)
    assert source.problems == [f"front: a.mp4: {30 - len(found)} frames within it cannot be decoded: is it damaged?"]


ON_TIME = [k / RATE_HZ for k in range(12)]
SLIPS = {
    "one ahead": {5: 1000.0},
    "two ahead": {5: 1000.0, 6: 1001.0},
    "one behind": {5: 0.0},
    "one below zero": {5: -3.0},
    "the first": {0: 1000.0},
    "the last": {11: 1000.0},
    "one twice": {5: 4 / RATE_HZ},
}


@pytest.mark.parametrize("slips", SLIPS.values(), ids=list(SLIPS))
def test_a_wrong_time_stamp_does_not_move_its_neighbours(slips: dict[int, float]) -> None:
    stamps = [slips.get(k, t) for k, t in enumerate(ON_TIME)]
    clock = Stamps(RATE_HZ)
    assert [clock.time_s(t, stamps[k + 1 : k + 4]) for k, t in enumerate(stamps)] == pytest.approx(ON_TIME, abs=1e-6)
    assert len(clock.problems) == (0 if slips == SLIPS["one twice"] else 1)


def test_stamps_that_begin_again_go_on_and_a_real_gap_stays() -> None:
    again, clock = ON_TIME + ON_TIME, Stamps(RATE_HZ)
    found = [clock.time_s(t, again[k + 1 : k + 4]) for k, t in enumerate(again)]
    assert found == pytest.approx([k / RATE_HZ for k in range(24)], abs=1e-6) and clock.problems
    gap, clock = ON_TIME + [t + 60 for t in ON_TIME], Stamps(RATE_HZ)
    assert [clock.time_s(t, gap[k + 1 : k + 4]) for k, t in enumerate(gap)] == gap and not clock.problems


def test_a_container_without_stamps_is_counted_and_not_blamed() -> None:
    clock = Stamps(RATE_HZ)
    assert [clock.time_s(0.0, [0.0] * min(3, 11 - k)) for k in range(12)] == pytest.approx(ON_TIME)
    assert not clock.problems


def test_one_wrong_stamp_of_a_file_leaves_the_other_view_in_every_step(tmp_path: Path) -> None:
    odd = stamp_anew(make_mkv(tmp_path / "odd.mkv"), {10: 30_000})
    source = Videos({"incar": odd, "front": make_mkv(tmp_path / "b.mkv")})
    with source:
        steps = list(source)
    assert len(steps) == 30 and all(set(step.frames) == {"incar", "front"} for step in steps)
    assert [step.t for step in steps] == pytest.approx([k / RATE_HZ for k in range(30)], abs=2e-3)
    (said,) = source.problems
    assert said.startswith("incar: odd.mkv: a time stamp of 30.00 s does not fit between its neighbours: 0.50 s")


@pytest.mark.skipif(not hasattr(cv2, "CAP_PROP_PTS"), reason="this OpenCV does not tell when a file starts")
def test_files_that_start_at_different_times_are_aligned_by_their_containers(tmp_path: Path) -> None:
    late = stamp_anew(make_mkv(tmp_path / "late.mkv"), 500)
    source = Videos({"incar": late, "front": make_mkv(tmp_path / "b.mkv")})
    with source:
        steps = list(source)
    assert [step.t for step in steps if "incar" in step.frames] == pytest.approx(
        [0.5 + k / RATE_HZ for k in range(30)], abs=2e-3
    )
    assert "incar" not in steps[9].frames and len(steps) == source.length == 40
    assert source.problems == ["front: b.mkv ended at 1.45 s"]


@pytest.mark.skipif(not hasattr(cv2, "CAP_PROP_PTS"), reason="this OpenCV does not tell when a file starts")
def test_files_whose_clocks_do_not_overlap_are_taken_to_start_together_and_that_is_told(tmp_path: Path) -> None:
    far = stamp_anew(make_mkv(tmp_path / "far.mkv"), 20_000)
    source = Videos({"incar": far, "front": make_mkv(tmp_path / "b.mkv")})
    with source:
        assert all(len(step.frames) == 2 for step in source)
    assert source.problems == ["by their containers' times these files do not overlap: taken to start together"]


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_file_that_is_to_be_turned_comes_upright(tmp_path: Path, degrees: int) -> None:
    plain, turned = (make_video(tmp_path / name, 3) for name in ("a.mp4", "b.mp4"))
    content = bytearray(turned.read_bytes())
    at = content.index(b"tkhd") + 4 + 40  # the matrix of version 0
    sine, cosine = (round(f(math.radians(degrees))) for f in (math.sin, math.cos))
    content[at : at + 36] = struct.pack(">9i", cosine << 16, sine << 16, 0, -sine << 16, cosine << 16, 0, 0, 0, 1 << 30)
    turned.write_bytes(content)
    (upright,) = (next(iter(Videos({"front": turned}))).images["front"],)
    (stored,) = (next(iter(Videos({"front": plain}))).images["front"],)
    np.testing.assert_array_equal(upright, np.rot90(stored, -degrees // 90))  # clockwise


def test_a_codec_without_a_decoder_is_named(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", 5)
    path.write_bytes(path.read_bytes().replace(b"mp4v", b"av01").replace(b"esds", b"free"))
    with pytest.raises(SourceError, match=r"a\.mp4 is AV1 \(av01\), and this OpenCV decodes no frame"):
        open_source(f"front={path}")


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX alone")
@pytest.mark.parametrize("name", [b"caf\xe9.mp4", b"front, morning\xff, drive.mp4"])
def test_names_with_commas_or_that_are_not_utf8_are_read_and_drawn(
    tmp_path: Path, bundle_path: Path, name: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    make_video(tmp_path / "plain.mp4", 6).rename(path)
    outputs = ("--sheet", str(tmp_path / "s.png"), "--view", str(tmp_path / "v.mp4"))
    assert main(["run", str(bundle_path), "--source", f"front={path}", *outputs]) == 0
    assert "6 steps" in capsys.readouterr().err
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0
    with open_source(f"front={path}") as source:
        source.name.encode()
        assert len(list(source)) == 6
    assert not before or len(os.listdir("/proc/self/fd")) == before


def test_times_ascend_whatever_the_stamps_say() -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        stamps = random.choice([0.0, 0.1, 0.2, 5.0, -1.0, 1e6], 20).tolist()
        clock = Stamps(RATE_HZ)
        found = [clock.time_s(t, stamps[k + 1 : k + 4]) for k, t in enumerate(stamps)]
        assert all(a < b for a, b in pairwise(found))
