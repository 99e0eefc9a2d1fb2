"""What the live page costs by viewers: python -m tests.measure_live [--rounds 9]. CPU of the process that serves it.

No page, a page that nobody watches, one viewer and six take turns. Exit code 1 if six cost 10 % more than one or a
page without viewers costs 2 %, by the median of all rounds.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from codriver.live.feed import Feed
from codriver.live.server import LivePage
from codriver.perceiver import Perceiver
from codriver.tasks import VIEWS
from tests.tiny import make_tiny_bundle

STEPS, RATE_HZ = 120, 15.0
NO_PAGE = -1
CLAIMS = (  # so many viewers against so many: at most so much more
    (0, NO_PAGE, 0.02),
    (6, 1, 0.10),
)
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    random = np.random.default_rng(0)
    scene = random.integers(0, 256, (90, 160, 3), np.uint8).repeat(8, 0).repeat(8, 1)  # (720, 1280, 3)
    sets = [{view: np.roll(scene, 8 * (n + i), 1) for i, view in enumerate(VIEWS)} for n in range(10)]
    found: dict[int, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        bundle = make_tiny_bundle(Path(folder) / "tiny.bundle", golden=False)
        for number in range(rounds):
            for viewers in (NO_PAGE, 0, 1, 6) if number % 2 else (6, 1, 0, NO_PAGE):
                with Perceiver.open(bundle, threads=1) as perceiver:
                    found.setdefault(viewers, []).append(_round_s(perceiver, sets, viewers))
            told = ", ".join(f"{_named(viewers)} {some[-1]:.2f}" for viewers, some in sorted(found.items()))
            _say(f"round {number + 1}, seconds of CPU for {STEPS} steps at {RATE_HZ:.0f} Hz: {told}")
    sys.exit(not all([_holds(found, *claim) for claim in CLAIMS]))


def _holds(found: dict[int, list[float]], viewers: int, than: int, most: float) -> bool:
    """By the median of the rounds' ratios. With nine rounds it lies between the two that are told with 96 %."""
    more = sorted(a / b - 1 for a, b in zip(found[viewers], found[than], strict=True))
    middle = median(more)
    verdict = "ok" if middle < most else "FAILED"
    between = f"[{more[1]:+.1%}, {more[-2]:+.1%}]"
    _say(f"{verdict}: {_named(viewers)} costs {middle:+.1%} {between} of {_named(than)}, {most:.0%} allowed")
    return middle < most


def _named(viewers: int) -> str:
    return "no page" if viewers == NO_PAGE else f"{viewers} viewers"


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _round_s(perceiver: Perceiver, sets: list[dict[str, np.ndarray]], viewers: int) -> float:
    if viewers == NO_PAGE:
        return _stepping_s(perceiver, sets, lambda frames, percept: None)
    with LivePage(Feed({})) as page:
        watching = [subprocess.Popen([sys.executable, "-c", VIEWER, str(page.port)]) for _ in range(viewers)]
        while page.viewers < viewers:
            time.sleep(0.05)
        took_s = _stepping_s(perceiver, sets, page.feed.publish)
    for process in watching:
        process.wait()
    return took_s


def _stepping_s(perceiver: Perceiver, sets: list[dict[str, np.ndarray]], publish: Callable[..., object]) -> float:
    began_s, cpu_s = time.monotonic(), time.process_time()
    for number in range(STEPS):
        frames = sets[number % len(sets)]
        publish(frames, perceiver.step(frames, t=number / RATE_HZ))
        time.sleep(max(began_s + (number + 1) / RATE_HZ - time.monotonic(), 0.0))
    return time.process_time() - cpu_s


if __name__ == "__main__":
    main()
