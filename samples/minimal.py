"""The whole interface in one screen: open a bundle, step through a clip, read the answers.

python samples/minimal.py demo.bundle AIDE_Dataset/0001
"""

import sys

from codriver import Perceiver, open_source


def main(bundle: str, clip: str) -> None:
    with Perceiver.open(bundle) as perceiver, open_source(clip) as source:
        for at in source:
            percept = perceiver.step(at.frames, t=at.t, driver=at.driver)
            answers = ", ".join(result.label or "-" for result in percept.tasks.values())
            print(f"{percept.t:6.2f} s  {percept.state:9}  {answers}  {'; '.join(percept.reasons)}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
