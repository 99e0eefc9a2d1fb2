"""A real network camera and real pipelines: how old their frames are, and what is told when they stall or go.

python -m tests.vehicle.streams: a line for each claim with `ok` or `FAILED`.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from codriver import Perceiver
from codriver.capture.camera import Camera
from codriver.percept import ViewStatus
from codriver.sources import Cameras, FrameSet, open_source
from tests.measure_cameras import measured
from tests.real_cameras import NetworkCamera, pipeline_measured
from tests.tiny import make_tiny_bundle

FRAMES, LIMIT_S = 300, 30.0
OLD_MS, PIPELINE_OLD_MS, STALL_S, CALM_S = 100.0, 5.0, 2.0, 5.0
LIVE = "videotestsrc is-live=true ! video/x-raw, width=640, height=480, framerate=30/1 ! videoconvert ! appsink"


class Claims:
    def __init__(self) -> None:
        self.all_hold = True

    def add(self, holds: bool, what: str) -> None:
        self.all_hold &= holds
        sys.stdout.write(f"{'ok    ' if holds else 'FAILED'}  {what}\n")
        sys.stdout.flush()


def main() -> None:
    claims = Claims()
    sys.stdout.write("== rtsp:// by PyAV, gst-rtsp-server on loopback, 320x240 at 30 Hz\n")
    with NetworkCamera() as camera:
        _ages(claims, measured(Camera(where=camera.address), FRAMES), OLD_MS)
        with open_source(f"incar={camera.address}") as source:
            assert isinstance(source, Cameras)
            _stall(claims, camera, source)
            _switched_off(claims, camera, source)
    sys.stdout.write("== a live pipeline of GStreamer, 640x480 at 30 Hz\n")
    with tempfile.TemporaryDirectory() as folder:
        _ages(claims, pipeline_measured(LIVE, FRAMES, Path(folder)), PIPELINE_OLD_MS)
    sys.stdout.write(f"== {'all' if claims.all_hold else 'NOT all'} of it held\n")
    sys.exit(not claims.all_hold)


def _ages(claims: Claims, found: dict[str, object], most_ms: float) -> None:
    ages_ms = found.get("age_ms")
    assert isinstance(ages_ms, dict), found
    told = ", ".join(f"{name} {ms:.1f}" for name, ms in ages_ms.items())
    what = f"{found['timed']} of {found['frames']} frames tell when they were taken, ms ago: {told}"
    claims.add(ages_ms["median"] < most_ms, f"{what}; {most_ms:.0f} allowed for the median")


def _stall(claims: Claims, camera: NetworkCamera, source: Cameras) -> None:
    """The server's process is stopped; its connection stays, and says nothing."""
    _until(source, lambda at: at.frames and at.frames["incar"].clock == "capture")
    with tempfile.TemporaryDirectory() as folder:
        bundle = make_tiny_bundle(Path(folder) / "tiny.bundle", golden=False)
        with Perceiver.open(bundle, engine="fake") as perceiver:
            calm_s = time.monotonic() + CALM_S
            before = {view.status for view in _seen(perceiver, source, lambda view: time.monotonic() > calm_s)}
            camera.stall()
            began_s = time.monotonic()
            *_, view = _seen(perceiver, source, lambda view: view.status == "lost")
    told_s = time.monotonic() - began_s
    what = f"while it sends, for {CALM_S:.0f} s, percepts call it neither late nor lost: {', '.join(sorted(before))}"
    claims.add(not before & {"late", "lost"}, what)
    claims.add(told_s < STALL_S, f"a stall is told after {told_s:.2f} s, {STALL_S:.0f} allowed: lost, {view.reason}")
    at = _until(source, lambda at: any("silent" in what for what in at.news))
    sys.stdout.write(f"        {time.monotonic() - began_s:.2f} s: {at.news[0]}\n")
    camera.go_on()
    at = _until(source, lambda at: any("is back" in what for what in at.news))
    claims.add(source.counts()["incar"].opened == 2, f"after the stall it is opened anew: {at.news[0]}")


def _seen(perceiver: Perceiver, source: Cameras, last: Callable[[ViewStatus], bool]) -> list[ViewStatus]:
    """What percepts say of the camera, until `last` holds."""
    views: list[ViewStatus] = []

    def wanted(at: FrameSet) -> bool:
        views.append(perceiver.step(at.frames, t=at.t).views["incar"])
        return last(views[-1])

    _until(source, wanted)
    return views


def _switched_off(claims: Claims, camera: NetworkCamera, source: Cameras) -> None:
    """The server is killed, and another one begins at its address."""
    camera.end()
    at = _until(source, lambda at: any("stopped" in what or "cannot" in what for what in at.news))
    sys.stdout.write(f"        switched off: {at.news[0]}\n")
    camera.start()
    began_s = time.monotonic()
    _until(source, lambda at: any("is back" in what for what in at.news))
    claims.add(
        source.counts()["incar"].opened == 3, f"switched on again, it is back {time.monotonic() - began_s:.1f} s later"
    )


def _until(source: Cameras, wanted: Callable[[FrameSet], object]) -> FrameSet:
    end_s = time.monotonic() + LIMIT_S
    for at in source:
        if wanted(at):
            return at
        if time.monotonic() > end_s:
            break
    raise AssertionError(f"not within {LIMIT_S:.0f} s; {source.problems}")


if __name__ == "__main__":
    main()
