"""What a camera's times are worth: python -m tests.measure_cameras incar=rtsp://HOST/PATH [--frames 300]

A line of JSON for each camera: the age at which its frames came, of those that tell when they were taken. It is read
alone, without a step.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from statistics import median
from typing import Any

from codriver.capture.camera import Camera, Ended
from codriver.capture.opening import opened
from codriver.sources.spelling import read_views


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("--frames", type=int, default=300)
    args = parser.parse_args()
    for view, camera in read_views(args.source).items():
        assert isinstance(camera, Camera), f"{view} is a file"
        sys.stdout.write(json.dumps({"view": view, **measured(camera, args.frames)}) + "\n")


def measured(camera: Camera, frames: int) -> dict[str, Any]:
    ages_ms, mean, shape, ended = [], 0.0, None, ""
    began_s, came = time.monotonic(), 0
    try:
        capture = opened(camera)
    except Ended as why:
        return {"ended": str(why)}
    try:
        while came < frames:
            image, taken_s = capture.read()
            came += 1
            if taken_s is not None:
                ages_ms.append((time.monotonic() - taken_s) * 1e3)
            if image is not None:
                mean, shape = float(image.mean()), image.shape
    except Ended as why:
        ended = str(why)
    capture.close()
    return {
        "by": type(capture).__name__,
        "frames": came,
        "seconds": round(time.monotonic() - began_s, 2),
        "timed": len(ages_ms),
        "age_ms": {"least": min(ages_ms), "median": median(ages_ms), "most": max(ages_ms)} if ages_ms else None,
        "shape": shape,
        "mean": mean,
        "ended": ended,
        "notes": capture.notes,
    }


if __name__ == "__main__":
    main()
