"""Cameras that are real but for their lens, where Debian's packages are: a network camera, and GStreamer's pipelines.

apt-get install gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly
gstreamer1.0-libav python3-gst-1.0 gir1.2-gst-plugins-base-1.0 gir1.2-gst-rtsp-server-1.0 (.ci/run does)
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests import ROOT

PYTHON = "/usr/bin/python3"  # Debian's own, to which its packages belong
BINDINGS = Path("/usr/lib/python3/dist-packages/gi")
ASKS = (
    "import gi, sys; [gi.require_version(n, '1.0') for n in ('Gst', 'GstApp', 'GstVideo', 'GstRtspServer')]; "
    "print(*sys.version_info[:2])"
)


@cache
def gstreamer_python() -> tuple[int, ...]:
    """Version of the Python for which there is all of GStreamer, () if there is not."""
    try:
        asked = subprocess.run([PYTHON, "-c", ASKS], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ()
    return tuple(map(int, asked.stdout.split()))


needs_gstreamer = pytest.mark.skipif(not gstreamer_python(), reason="Debian's GStreamer is not here: .ci/run gets it")
needs_bindings = pytest.mark.skipif(
    gstreamer_python() != sys.version_info[:2], reason="Debian's bindings of GStreamer are for another Python"
)


def with_bindings(folder: Path) -> dict[str, str]:
    """An environment whose Python sees Debian's gi, and nothing else of Debian's."""
    if not (folder / "gi").exists():
        (folder / "gi").symlink_to(BINDINGS)
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "sdk"), str(ROOT), str(folder)])}


def pipeline_measured(pipeline: str, frames: int, folder: Path) -> dict[str, Any]:
    """What tests.measure_cameras says of it. In a process of its own: gi cannot be taken out of one again."""
    command = [sys.executable, "-m", "tests.measure_cameras", f"incar=gst:{pipeline}", "--frames", str(frames)]
    done = subprocess.run(
        command, env=with_bindings(folder), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


class NetworkCamera:
    """gst-rtsp-server on loopback: 320x240, 30 Hz, H.264. `stall` it, or end it and start it again on its port."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.address = f"rtsp://user:secret@127.0.0.1:{self.port}/camera"
        self.start()

    def start(self) -> None:
        command = [PYTHON, str(ROOT / "tests" / "rtsp_camera.py"), str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout and self._process.stdout.readline() == "ready\n"

    def stall(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> NetworkCamera:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()
