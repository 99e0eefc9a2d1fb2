"""Real network cameras and pipelines on loopback: when each picture was taken, what happens when they stall."""

from __future__ import annotations

import sys
import time
from itertools import islice

import cv2
import pytest

from codriver.capture.camera import Camera
from codriver.capture.opening import opened
from codriver.errors import BackendMissing
from codriver.sources import Cameras, open_source
from tests.real_cameras import NetworkCamera, needs_bindings, needs_gstreamer, pipeline_measured

LIVE = "videotestsrc is-live=true pattern=white ! video/x-raw, width=322, height=240, framerate=30/1"


@pytest.fixture(scope="module")
def network_camera():
    with NetworkCamera() as camera:
        yield camera


def until(source, wanted, limit_s=20.0):
    """The first set of a source that is wanted."""
    end_s = time.monotonic() + limit_s
    for at in source:
        if wanted(at):
            return at
        assert time.monotonic() < end_s, source.problems
    raise AssertionError("the source ended")


@needs_gstreamer
def test_a_network_cameras_frames_have_the_senders_time_and_are_young(network_camera):
    pytest.importorskip("av")
    capture = opened(Camera(where=network_camera.address))
    ages_s = []
    while len(ages_s) < 60:
        image, taken_s = capture.read()
        if taken_s is not None:
            ages_s.append(time.monotonic() - taken_s)
    capture.close()
    assert image.shape == (240, 320, 3)
    # A picture is whole when the next one begins, 33 ms later; what comes on top is how busy this machine is.
    assert 0.01 < min(ages_s) < 0.1


@needs_gstreamer
def test_a_network_camera_that_stalls_is_told_at_once_and_opened_anew(network_camera):
    pytest.importorskip("av")
    with open_source(f"incar={network_camera.address}") as source:
        until(source, lambda at: at.frames and at.frames["incar"].clock == "capture")
        network_camera.stall()
        stalled_s = time.monotonic()
        absent = until(source, lambda at: not at.frames)
        assert "has sent nothing new" in absent.absent["incar"] and time.monotonic() - stalled_s < 1.0
        silent = until(source, lambda at: "is silent for 2 s" in at.absent.get("incar", ""))
        assert 1.9 < time.monotonic() - stalled_s < 3.0 and silent.frames == {}
        network_camera.go_on()
        until(source, lambda at: at.frames)
        assert source.counts()["incar"].opened == 2


@needs_gstreamer
def test_a_network_camera_that_was_switched_off_and_on_is_opened_anew_and_its_password_is_told_nobody():
    pytest.importorskip("av")
    with NetworkCamera() as camera, open_source(f"incar={camera.address}") as source:
        until(source, lambda at: at.frames)
        camera.end()
        until(source, lambda at: "stopped sending" in at.absent.get("incar", ""))
        until(source, lambda at: "cannot be opened" in at.absent.get("incar", ""))
        camera.start()
        until(source, lambda at: at.frames)
        assert source.counts()["incar"].opened == 2
        told = " ".join([source.name, *source.problems])
    assert f"rtsp://127.0.0.1:{camera.port}" in told and "secret" not in told and "user" not in told


@needs_gstreamer
def test_without_pyav_opencv_reads_a_network_camera_and_says_that_times_are_of_arrival(network_camera, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with Cameras({"incar": network_camera.address}) as source:
        at = next(at for at in islice(source, 30) if at.frames)
    assert at.frames["incar"].clock == "arrival"
    assert "without capture times" in source.problems[0] and "pip install 'codriver[rtsp]'" in source.problems[0]


@needs_bindings
def test_a_live_pipelines_frames_have_its_own_time(tmp_path):
    found = pipeline_measured(f"{LIVE} ! videoconvert ! appsink", 45, tmp_path)
    assert found["by"] == "GstCapture" and found["timed"] == 45 and found["ended"] == ""
    # The rest of an age is how long this machine lets a frame wait for a processor.
    assert 0 <= found["age_ms"]["least"] < 5


@needs_bindings
@pytest.mark.parametrize("pixels", ["BGR", "BGRx"])
def test_rows_that_are_padded_come_out_whole(tmp_path, pixels):
    found = pipeline_measured(f"{LIVE}, format={pixels} ! appsink", 2, tmp_path)
    assert found["shape"] == [240, 322, 3] and found["mean"] == 255


@needs_bindings
def test_a_pipeline_that_is_not_live_has_no_times_and_its_own_pace(tmp_path):
    found = pipeline_measured("videotestsrc num-buffers=20 ! videoconvert ! appsink", 40, tmp_path)
    assert found["timed"] == 0 and found["ended"] == "stopped sending"
    assert found["seconds"] > 0.5, "twenty frames of 30 Hz"


@needs_bindings
@pytest.mark.parametrize(
    ("pipeline", "says"),
    [
        ("nosuchelement ! appsink", 'is no pipeline: no element "nosuchelement"'),
        ("v4l2src device=/dev/video99 ! videoconvert ! appsink", "/dev/video99"),
        ("videotestsrc ! video/x-raw, format=I420 ! appsink", "negotiat"),
    ],
)
def test_a_pipeline_that_fails_says_why(tmp_path, pipeline, says):
    assert says in pipeline_measured(pipeline, 2, tmp_path)["ended"]


def test_a_pipeline_where_nothing_reads_any_says_what_to_install(monkeypatch):
    if cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        pytest.skip("this OpenCV has GStreamer")
    monkeypatch.setitem(sys.modules, "gi", None)
    with pytest.raises(BackendMissing, match=r"incar: a GStreamer pipeline needs.*apt install.*python3-gst-1\.0"):
        open_source("incar=videotestsrc ! appsink,front=0")
