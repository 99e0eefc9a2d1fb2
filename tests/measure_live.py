"""What the live page costs by viewers: python -m tests.measure_live. CPU of the process that serves it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from codriver.live.feed import Feed
from codriver.live.server import LivePage
from codriver.perceiver import Perceiver
from codriver.tasks import VIEWS
from tests.tiny import make_tiny_bundle

STEPS, RATE_HZ = 320, 15.0
VIEWER = """
import sys
from websockets.sync.client import connect
from websockets.exceptions import ConnectionClosed
port = sys.argv[1]
with connect(f"ws://127.0.0.1:{port}/socket", origin=f"http://127.0.0.1:{port}", compression=None) as viewer:
    try:
        while viewer.recv():
            pass
    except ConnectionClosed:
        pass
"""


def main() -> None:
    random = np.random.default_rng(0)
    scene = random.integers(0, 256, (90, 160, 3), np.uint8).repeat(8, 0).repeat(8, 1)  # (720, 1280, 3)
    sets = [{view: np.roll(scene, 8 * (n + i), 1) for i, view in enumerate(VIEWS)} for n in range(10)]
    with tempfile.TemporaryDirectory() as folder:
        bundle = make_tiny_bundle(Path(folder) / "tiny.bundle", golden=False)
        for viewers in (0, 1, 6, 0, 1, 6):
            with Perceiver.open(bundle, threads=1) as perceiver, LivePage(Feed({})) as page:
                took_s = _cpu_s(perceiver, page, sets, viewers)
            sys.stdout.write(f"{viewers} viewers: {took_s:.2f} s of CPU for {STEPS} steps at {RATE_HZ:.0f} Hz\n")
            sys.stdout.flush()


def _cpu_s(perceiver: Perceiver, page: LivePage, sets: list[dict[str, np.ndarray]], viewers: int) -> float:
    watching = [subprocess.Popen([sys.executable, "-c", VIEWER, str(page.port)]) for _ in range(viewers)]
    while page.viewers < viewers:
        time.sleep(0.05)
    began_s, cpu_s = time.monotonic(), time.process_time()
    for number in range(STEPS):
        frames = sets[number % len(sets)]
        page.feed.publish(frames, perceiver.step(frames, t=number / RATE_HZ))
        time.sleep(max(began_s + (number + 1) / RATE_HZ - time.monotonic(), 0.0))
    took_s = time.process_time() - cpu_s
    page.close()
    for process in watching:
        process.wait()
    return took_s


if __name__ == "__main__":
    main()
