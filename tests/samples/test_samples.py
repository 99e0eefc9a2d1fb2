"""Samples run as they stand, in a process and a folder of their own."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager

import cv2
import pytest
from websockets.sync.client import connect

from codriver.tasks import VIEWS
from tests import ROOT
from tests.clips import make_clip, make_video
from tests.real_cameras import NetworkCamera, needs_bindings, needs_gstreamer, with_bindings
from tests.samples.own_process import sample
from tests.tiny import make_tiny_bundle
from tests.tiny_road import make_tiny_road


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_tiny_bundle(tmp_path_factory.mktemp("samples") / "tiny.bundle", golden=False)


def test_minimal_prints_a_line_per_step(bundle, tmp_path):
    done = sample("minimal.py", bundle, make_clip(tmp_path, frames=24), folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == 24
    assert "init" in lines[0] and "-, -, -, -" in lines[0]
    assert "ok" in lines[-1] and "-, " not in lines[-1]


def test_minimal_answers_as_well_with_cameras_alone_as_with_a_clip(bundle, tmp_path):
    where = ",".join(f"{view}={make_video(tmp_path / f'{view}.mp4', 24, view=view)}" for view in VIEWS)
    done = sample("minimal.py", bundle, where, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == 24 and "ok" in lines[-1] and "-, " not in lines[-1]


def test_road_tells_what_lies_ahead_in_thirty_lines(tmp_path):
    video = make_video(tmp_path / "front.mp4", 8, view="front")
    done = sample("road.py", make_tiny_road(tmp_path / "road.bundle"), f"front={video}", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(
        re.fullmatch(r" +[\d.]+ s +\d+% of the way ahead is free, \d+ vehicles", x) for x in done.stdout.splitlines()
    )
    assert len(done.stdout.splitlines()) == 8
    assert len((ROOT / "samples" / "road.py").read_text().splitlines()) <= 30


def test_minimal_fits_on_one_screen():
    assert len((ROOT / "samples" / "minimal.py").read_text().splitlines()) <= 25


def test_minimal_without_arguments_says_how_to_call_it(tmp_path):
    done = sample("minimal.py", folder=tmp_path)
    assert done.returncode == 1 and "python samples/minimal.py" in done.stderr


def test_cameras_writes_the_file_it_is_told_to(bundle, tmp_path):
    views = ("incar", "front")
    where = ",".join(f"{view}={make_video(tmp_path / f'{view}.mp4', 5, view=view)}" for view in views)
    done = sample("cameras.py", bundle, where, "--file", tmp_path / "answers.mp4", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert cv2.VideoCapture(str(tmp_path / "answers.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 5


@pytest.mark.skipif(not re.search(r"GUI:\s+NONE", cv2.getBuildInformation()), reason="it has windows")
def test_cameras_without_windows_says_so_and_writes_a_file(bundle, tmp_path):
    done = sample("cameras.py", bundle, f"incar={make_video(tmp_path / 'a.mp4', 3)}", folder=tmp_path)
    assert done.returncode == 0 and "has no windows: writing codriver.mp4" in done.stderr
    assert (tmp_path / "codriver.mp4").stat().st_size > 0


def test_cameras_names_a_source_that_is_not_there(bundle, tmp_path):
    done = sample("cameras.py", bundle, "incar=no.mp4", folder=tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr and "no.mp4" in done.stderr


def test_worker_counts_every_frame(bundle, tmp_path):
    done = sample("worker.py", bundle, make_clip(tmp_path, frames=6), folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    counts = [line.split() for line in done.stdout.splitlines()[-4:]]
    assert [words[0] for words in counts] == ["incar:", "front:", "left:", "right:"]
    assert all(words[3] == "6" and int(words[1]) + int(words[7]) == 6 for words in counts)


def test_worker_names_a_bundle_that_is_not_there(tmp_path):
    done = sample("worker.py", "no.bundle", make_clip(tmp_path), folder=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith("worker.py: no.bundle")


@contextmanager
def running(name, *arguments, environment):
    """A sample's lines as they come, until the test has seen enough."""
    command = [sys.executable, str(ROOT / "samples" / name), *map(str, arguments)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@needs_gstreamer
def test_live_shows_a_network_camera_on_its_page_and_ends_with_ctrl_c(bundle):
    pytest.importorskip("av")
    own = os.environ | {"PYTHONPATH": str(ROOT / "sdk")}
    with NetworkCamera() as camera, running("live.py", bundle, f"front={camera.address}", environment=own) as live:
        url = live.stdout.readline().strip()
        with connect(f"{url.replace('http', 'ws')}socket", origin=url.rstrip("/"), compression=None) as viewer:
            assert json.loads(viewer.recv(timeout=10))["source"] == f"front=rtsp://127.0.0.1:{camera.port}/camera"
            assert b'"state"' in viewer.recv(timeout=10)
        live.send_signal(signal.SIGINT)
        assert live.wait(timeout=10) == 130 and live.stderr.read() == ""


@needs_gstreamer
def test_rtsp_tells_how_old_pictures_are_by_their_senders_clock(bundle, tmp_path):
    pytest.importorskip("av")
    with NetworkCamera() as camera:
        done = sample("rtsp.py", bundle, f"incar={camera.address}", 90, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    *steps, counts = done.stdout.splitlines()
    assert len(steps) == 90
    assert any("ms by capture" in step for step in steps[-30:])
    assert counts.startswith("incar: ") and counts.endswith("opened 1 times")


@needs_bindings
def test_jetson_csi_reads_another_source_than_a_jetsons_with_its_time(bundle, tmp_path):
    where = "incar=videotestsrc is-live=true ! video/x-raw, framerate=30/1"
    with running("jetson_csi.py", bundle, where, environment=with_bindings(tmp_path)) as csi:
        lines = [csi.stdout.readline() for _ in range(20)]
    assert all("ms (capture)" in line for line in lines)


@needs_bindings
def test_jetson_csi_without_a_jetson_says_what_is_missing(bundle, tmp_path):
    with running("jetson_csi.py", bundle, "incar=0", environment=with_bindings(tmp_path)) as csi:
        _, errors = csi.communicate(timeout=60)
    assert csi.returncode == 2 and 'no element "nvarguscamerasrc"' in errors and "Traceback" not in errors


def test_cameras_samples_fit_on_one_screen():
    for name in ("live.py", "rtsp.py", "jetson_csi.py"):
        assert len((ROOT / "samples" / name).read_text().splitlines()) <= 40


def test_the_readme_names_every_sample():
    readme = (ROOT / "samples" / "README.md").read_text()
    names = [path.name for path in (ROOT / "samples").glob("*.py") if path.name != "__init__.py"]
    assert names and all(f"python samples/{name}" in readme for name in names)
