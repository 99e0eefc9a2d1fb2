"""A drive as rosbag2, written and read without ROS: steps are recorded, exported, and counted again by rosbags.

python samples/export_rosbag2.py BUNDLE CLIP OUT     OUT: a folder that is not there yet; wants codriver[ros]
"""

import subprocess
import sys
from collections import Counter
from pathlib import Path

from rosbags.highlevel import AnyReader

from codriver import Perceiver, Recorder, open_source


def record(bundle: str, clip: str, drive: Path) -> None:
    """What `codriver run BUNDLE --source CLIP --record DRIVE` does."""
    with Perceiver.open(bundle) as perceiver, open_source(clip) as source, Recorder(drive, perceiver) as recorder:
        for at in source:
            recorder.add(at.frames, at.driver, perceiver.step(at.frames, t=at.t, driver=at.driver))


def read(bag: Path) -> None:
    """Each topic, its type and its messages; then the likeliest behaviour over time."""
    with AnyReader([bag]) as reader:  # types that no ROS has come with the bag
        counts = Counter((of.topic, of.msgtype) for of, _, _ in reader.messages())
        for (topic, kind), count in sorted(counts.items()):
            print(f"{count:5}  {topic}  {kind}")
        classes = [of for of in reader.connections if of.topic == "/codriver/driver_behavior/classes"]
        for of, t_ns, data in reader.messages(classes):
            results = reader.deserialize(data, of.msgtype).results  # none: there was no answer
            likeliest = f"{results[0].class_id} {results[0].score:.0%}" if len(results) else "no answer"
            print(f"{t_ns / 1e9:6.2f} s  {likeliest}")


def main(bundle: str, clip: str, out: str) -> None:
    drive, bag = Path(out) / "drive", Path(out) / "rosbag2"  # a folder called .bag is ROS 1 to rosbags
    record(bundle, clip, drive)
    subprocess.run([sys.executable, "-m", "codriver", "export", drive, "--to", "rosbag2", "--out", bag], check=True)
    read(bag)


if __name__ == "__main__":
    main(*sys.argv[1:]) if len(sys.argv) == 4 else sys.exit(__doc__)
