"""The whole interface in one screen: open a bundle, step through frames, read the answers.

python samples/minimal.py demo.bundle AIDE_Dataset/0001
python samples/minimal.py demo.bundle incar=0,front=1,left=2,right=3
"""

import sys

from codriver import Perceiver, open_source


def main(bundle: str, cameras: str) -> None:
    with Perceiver.open(bundle) as perceiver, open_source(cameras) as source:
        for at in source:
            percept = perceiver.step(at.frames, t=at.t)  # frames are enough: the bundle finds the driver
            answers = ", ".join(result.label or "-" for result in percept.tasks.values())
            print(f"{percept.t:6.2f} s  {percept.state:9}  {answers}  {'; '.join(percept.reasons)}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
