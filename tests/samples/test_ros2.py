"""Topics of ROS 2 from a process of its own, heard by zenoh-ros2-sdk in this one."""

from tests import ROOT
from tests.clips import make_clip
from tests.ros2_peer import Ros2Peer
from tests.samples.own_process import sample
from tests.tiny import make_tiny_bundle


def test_answers_diagnostics_and_pictures_arrive(tmp_path):
    peer = Ros2Peer()
    texts = peer.heard("/codriver/driver_behavior/label", "std_msgs/msg/String")
    statuses = peer.heard("/diagnostics", "diagnostic_msgs/msg/DiagnosticArray")
    pictures = peer.heard("/codriver/incar/image/compressed", "sensor_msgs/msg/CompressedImage")
    bundle = make_tiny_bundle(tmp_path / "tiny.bundle", golden=False)
    done = sample("ros2_zenoh.py", bundle, make_clip(tmp_path, frames=24), peer.address, folder=tmp_path)
    peer.close()
    assert (done.returncode, done.stderr) == (0, "") and len(done.stdout.splitlines()) == 24
    assert len(texts) >= 10 and len(pictures) >= 10 and any(text.data for text in texts)
    assert {status.name for status in statuses[-1].status} >= {"codriver: answers", "codriver: camera left"}
    assert len((ROOT / "samples" / "ros2_zenoh.py").read_text().splitlines()) <= 60
