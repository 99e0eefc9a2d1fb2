"""Network cameras: how old each picture is by its sender's clock, and what a camera that stalls looks like.

python samples/rtsp.py demo.bundle incar=rtsp://10.0.0.7/main,front=rtsp://10.0.0.8/main [STEPS]

pip install 'codriver[rtsp]'. The cameras' clocks and this machine's have to be set by one (NTP, PTP): docs/device.md.
"""

import sys
import time

from codriver import CodriverError, Perceiver, open_source


def main(bundle: str, cameras: str, steps: float = float("inf")) -> int:
    try:
        with Perceiver.open(bundle) as perceiver, open_source(cameras) as source:
            for at in source:
                percept = perceiver.step(at.frames, t=at.t)
                now = time.monotonic()
                ages = [f"{view} {(now - f.t) * 1e3:.0f} ms by {f.clock}" for view, f in at.frames.items()]
                why = [f"{view}: {why}" for view, why in at.absent.items()]
                print(f"{percept.sequence:5} {percept.state:9} {'; '.join(ages + why)}", flush=True)
                if percept.sequence + 1 >= steps:
                    break
            for view, counts in source.counts().items():
                print(f"{view}: {counts.frames} frames came, {counts.lost} were lost, opened {counts.opened} times")
    except CodriverError as error:
        print(f"rtsp.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])))
