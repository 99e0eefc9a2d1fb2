"""A recorded clip as rosbag2, from a process of its own."""

from tests import ROOT
from tests.clips import make_clip
from tests.samples.own_process import sample
from tests.tiny import make_tiny_bundle


def test_a_clip_is_recorded_exported_and_read_again(tmp_path):
    bundle = make_tiny_bundle(tmp_path / "tiny.bundle", golden=False)
    done = sample("export_rosbag2.py", bundle, make_clip(tmp_path, frames=24), "out", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.splitlines()]
    counts = {words[1]: (int(words[0]), words[2]) for words in lines if words[1].startswith("/codriver")}
    assert counts["/codriver/incar/image/compressed"] == (24, "sensor_msgs/msg/CompressedImage")
    assert counts["/codriver/driver_behavior/classes"] == (24, "vision_msgs/msg/Classification")
    answers = [line.partition(" s  ")[2] for line in done.stdout.splitlines() if " s  " in line]
    assert len(answers) == 24 and answers[0] == "no answer" and answers[-1].endswith("%")
    assert len((ROOT / "samples" / "export_rosbag2.py").read_text().splitlines()) <= 60
