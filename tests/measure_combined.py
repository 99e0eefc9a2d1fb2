"""What the road costs the four answers: the same frames through a bundle without it and one with it, in turns.

    python -m tests.measure_combined out/four.bundle out/both.bundle --steps 400 --threads 2

A step of the four answers' own: all of it but the stage that looks at the road. The second bundle looks at the road at
the rate of its manifest; build it with --every 0.133, every other of the frames here. Exit code 1 if its median is more
than 5 % above the first's.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "sdk"))

from codriver import Perceiver
from codriver.device.machine import describe_machine
from codriver.verify.timed_stream import RATE_HZ, random_steps

WARM_UP = 60
MOST = 1.05


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("alone", type=Path, help="bundle of the four answers")
    parser.add_argument("both", type=Path, help="the same with maps and boxes")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    with (
        Perceiver.open(options.alone, threads=options.threads) as alone,
        Perceiver.open(options.both, threads=options.threads) as both,
    ):
        assert both.manifest.dense is not None
        every_s = both.manifest.dense.every_s
        steps = random_steps(alone.manifest.views, (1280, 720), found=alone.bundle.finder is not None)
        own_ms: dict[str, list[float]] = {"alone": [], "both": []}
        looked = 0
        for number in range(WARM_UP + options.steps):
            frames, t, driver = next(steps)
            turns = (("alone", alone), ("both", both)) if number % 4 < 2 else (("both", both), ("alone", alone))
            for name, perceiver in turns:
                latency = perceiver.step(frames, t, driver).latency_ms
                if number >= WARM_UP:
                    own_ms[name].append(latency["total"] - latency.get("dense", 0.0))
                    looked += latency.get("dense", 0.0) > 1.0
    medians = {name: float(np.median(some)) for name, some in own_ms.items()}
    blocks = np.array([own_ms[name] for name in ("alone", "both")]).reshape(2, 10, -1)
    ratios = np.sort(np.median(blocks[1], axis=1) / np.median(blocks[0], axis=1))
    ratio = medians["both"] / medians["alone"]
    cpu, said = describe_machine()["cpu"], "ok" if ratio <= MOST else "FAILED"
    lines = (
        f"{cpu}, {options.threads} threads, four 1280x720 frames at {RATE_HZ:.0f} Hz",
        f"{options.steps} steps, the road looked at in {looked} of them (every_s {every_s})",
        f"the four answers' own step, median: {medians['alone']:.2f} ms alone, {medians['both']:.2f} beside the road",
        f"ratio {ratio:.3f}, ten blocks {ratios[0]:.3f} to {ratios[-1]:.3f}; at most {MOST} is allowed: {said}",
    )
    sys.stdout.write("\n".join(lines) + "\n")
    return int(ratio > MOST)


if __name__ == "__main__":
    sys.exit(main())
