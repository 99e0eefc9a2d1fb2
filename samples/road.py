"""Where the road is and where the vehicles are, by a bundle with maps and boxes (docs/maps.md).

python samples/road.py road.bundle front=drive.mp4
"""

import sys

from codriver import Perceiver, open_source


def main(bundle: str, cameras: str) -> None:
    with Perceiver.open(bundle) as perceiver, open_source(cameras) as source:
        for at in source:
            percept = perceiver.step(at.frames, t=at.t)
            road, vehicles = percept.drivable_area, percept.vehicles
            if not road.valid or not vehicles.valid:
                print(f"{percept.t:6.2f} s  {road.reason or vehicles.reason}")
                continue
            height, width = at.images["front"].shape[:2]
            ahead = road.on(height, width)[height // 2 :, width // 3 : -width // 3]  # what lies before the car
            free = (ahead == road.labels.index("direct")).mean()
            print(f"{percept.t:6.2f} s  {free:4.0%} of the way ahead is free, {(vehicles.scores > 0.3).sum()} vehicles")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
