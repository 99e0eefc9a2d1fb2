"""Topics of ROS 2 from a process of its own, heard by zenoh-ros2-sdk in this one."""

import os
import subprocess
import sys

from tests import ROOT
from tests.clips import make_clip
from tests.ros2_peer import Ros2Peer
from tests.tiny import make_tiny_bundle


def test_answers_diagnostics_and_pictures_arrive(tmp_path):
    peer, sample = Ros2Peer(), ROOT / "samples" / "ros2_zenoh.py"
    texts = peer.heard("/codriver/driver_behavior/label", "std_msgs/msg/String")
    statuses = peer.heard("/diagnostics", "diagnostic_msgs/msg/DiagnosticArray")
    pictures = peer.heard("/codriver/incar/image/compressed", "sensor_msgs/msg/CompressedImage")
    done = subprocess.run(
        [
            sys.executable,
            sample,
            make_tiny_bundle(tmp_path / "tiny.bundle", golden=False),
            make_clip(tmp_path, frames=24),
            peer.address,
        ],
        env=os.environ | {"PYTHONPATH": str(ROOT / "sdk")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    peer.close()
    assert (done.returncode, done.stderr) == (0, "") and len(done.stdout.splitlines()) == 24
    assert len(texts) >= 10 and len(pictures) >= 10 and any(text.data for text in texts)
    assert {status.name for status in statuses[-1].status} >= {"codriver: answers", "codriver: camera left"}
    assert len(sample.read_text().splitlines()) <= 60
