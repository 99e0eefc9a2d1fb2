"""Answers, diagnostics and pictures as topics of ROS 2, without ROS: what is which topic is codriver's map `ros2`.

python samples/ros2_zenoh.py BUNDLE CLIP [ROUTER]     ROUTER: of `ros2 run rmw_zenoh_cpp rmw_zenohd`: docs/buses.md
"""

import sys
import time

from codriver import Buses, BusesConfig, Perceiver, Ros2Config, open_source


def main(bundle: str, clip: str, router: str = "tcp/127.0.0.1:7447") -> None:
    config = BusesConfig(ros2=Ros2Config(router=router, images=True))  # distro="humble" for Humble; domain= for others
    with Perceiver.open(bundle) as perceiver, open_source(clip) as source, Buses(config) as buses:
        for at in source:
            percept = perceiver.step(at.frames, t=at.t)
            buses.add(percept, frames=at.frames)  # pictures are compressed if somebody subscribes to them
            print(f"{at.t:6.2f} s  {percept.state}  {percept.driver_behavior.label or 'no answer'}")
            time.sleep(1 / source.rate_hz)  # a camera would pace this loop


if __name__ == "__main__":
    main(*sys.argv[1:]) if len(sys.argv) > 2 else sys.exit(__doc__)
