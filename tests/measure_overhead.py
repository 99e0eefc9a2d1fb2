"""What a step costs beside its two graphs: run it on the device, with engines that take no time.

    python -m tests.measure_overhead --rate-hz 15 --steps 200 --threads 1 2

Frames are 1280 x 720 from four cameras with a driver; streams, features and slots have the size of the `edge` model.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "sdk"))

from codriver.bundle.manifest import Manifest, StreamSpec
from codriver.config import Policy
from codriver.device.cores import Cores
from codriver.device.imports import opencv
from codriver.frames.health import Health, look_at
from codriver.perceiver import Perceiver
from codriver.percept import Driver
from codriver.tasks import VIEWS
from tests.faults import Idle
from tests.tiny import loaded, tiny_manifest


def full_size(manifest: Manifest) -> Manifest:
    def grown(stream: StreamSpec) -> StreamSpec:
        if stream.kind == "joints":
            return replace(stream, feature=(128,), slot=(96, 1, 1))
        size_px, cells = (224, 14) if stream.name in VIEWS else (112, 7)
        return replace(stream, size=size_px, feature=(32, cells, cells), slot=(96, 7, 7))

    return replace(manifest, streams=tuple(grown(stream) for stream in manifest.streams))


def main() -> None:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--rate-hz", type=float, default=15.0)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--threads", type=int, nargs="+", default=[1], help="several take turns, step by step")
    options = parser.parse_args()
    opencv().setNumThreads(1)  # as Perceiver.open does
    manifest = full_size(tiny_manifest())
    perceivers = {threads: idle(manifest, threads) for threads in options.threads}
    random = np.random.default_rng(0)
    sets = [{view: random.integers(0, 256, (720, 1280, 3), np.uint8) for view in manifest.views} for _ in range(2)]
    keypoints = (random.random((136, 3)) * [1280, 720, 1]).astype(np.float32)
    driver = Driver(face_px=(500, 100, 200, 200), body_px=(300, 50, 600, 600), keypoints=keypoints)
    times_ms: dict[int, list[Mapping[str, float]]] = {threads: [] for threads in perceivers}
    busy_s = dict.fromkeys(perceivers, 0.0)
    for n in range(60 + options.steps):
        for threads in random.permutation(options.threads).tolist():
            started_s = time.process_time()
            percept = perceivers[threads].step(sets[n % 2], n / options.rate_hz, driver)
            if n >= 60:
                busy_s[threads] += time.process_time() - started_s
                times_ms[threads].append(percept.latency_ms)
    for threads, some in times_ms.items():
        busy_ms = busy_s[threads] * 1e3 / options.steps
        sys.stdout.write(f"{threads} thread(s)\nprocessor   mean   {busy_ms:7.3f} ms a step, whatever else there is\n")
        for stage in some[0]:
            least, median, p99 = np.percentile([step[stage] for step in some], [0, 50, 99])
            sys.stdout.write(f"{stage:10}  least {least:7.3f} ms   median {median:7.3f} ms   p99 {p99:7.3f} ms\n")
    first, *others = times_ms
    for threads in others:
        pairs = zip(times_ms[threads], times_ms[first], strict=True)
        low, middle, high = np.percentile([step["total"] / other["total"] for step, other in pairs], [25, 50, 75])
        sys.stdout.write(f"{threads} for {first}: {middle:.2f} of its time (quartiles {low:.2f} to {high:.2f})\n")
    sys.stdout.write(
        f"checks      mean   {checks_ms(sets, options.steps):7.3f} ms a step: health alone, processor time\n"
    )


def idle(manifest: Manifest, threads: int) -> Perceiver:
    engines = Idle(manifest.encoder_signature), Idle(manifest.fuser_signature)
    return Perceiver(loaded(manifest, *engines, cores=Cores(threads)))


def checks_ms(sets: list[dict[str, np.ndarray]], steps: int) -> float:
    """Processor time of the health checks of one set of frames; at most 1 ms for four of 1280 x 720 (OVH-1)."""
    health = Health(Policy(), sets[0])
    started_s = time.process_time()
    for n in range(steps):
        looks = {view: look_at(image) for view, image in sets[n % 2].items()}
        health.judge(looks, dict.fromkeys(sets[0], n / 15), {})
    return (time.process_time() - started_s) * 1e3 / steps


if __name__ == "__main__":
    main()
