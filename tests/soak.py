"""Step for a long time through a stream that fails now and then, and see that nothing grows and no frame goes missing.

    python -m tests.soak --steps 1000000 --out tests/results/soak.json

The clock is synthetic and the graphs are not run, so what is measured is the runtime around them: a million steps
stand for 14 hours at 20 Hz. Exit code 1 if anything grew.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "sdk"))

from codriver.console import Progress
from codriver.device.machine import describe_machine
from codriver.errors import FrameError
from codriver.perceiver import Perceiver
from codriver.percept import Stats
from tests.faults import KINDS, Cameras, FaultInjector, perceiver_with
from workshop.artifacts import provenance, write_json

EPISODE = 200  # steps with one fault each


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What may grow, after the warm-up."""

    rss_mb: float
    blocks: int = 500  # of Python's allocator
    files: int = 0
    threads: int = 0


@dataclass(frozen=True)
class Usage:
    rss_mb: float
    blocks: int
    files: int
    threads: int

    @staticmethod
    def now() -> Usage:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        rss_mb = pages * os.sysconf("SC_PAGESIZE") / 2**20
        return Usage(rss_mb, sys.getallocatedblocks(), len(os.listdir("/proc/self/fd")), threading.active_count())


def soak(steps: int, warm_up: int = 1000, seed: int = 0) -> dict[str, object]:
    """JSON-ready: how usage grew from the end of the warm-up to the end, the slowest step, and where frames went."""
    perceiver, clean, random = perceiver_with(), Cameras(seed), np.random.default_rng(seed)
    fault, usage, number, worst_ms = _fault(random, 0), Usage.now(), 0, 0.0
    started_s = time.perf_counter()
    with Progress("soak", steps) as progress:
        for number in range(steps):
            if number == warm_up:
                usage = Usage.now()
            if number % EPISODE == 0:
                fault = _fault(random, number)
            took_ms = _step(perceiver, clean, fault, number)
            worst_ms = max(worst_ms, took_ms)
            progress.step()
    took_s = time.perf_counter() - started_s
    end = asdict(Usage.now())
    return {
        "steps": steps,
        "warm_up": warm_up,
        "seed": seed,
        "grew": {name: round(end[name] - was, 3) for name, was in asdict(usage).items()},
        "rss_mb": round(end["rss_mb"], 1),
        "steps_per_s": round(steps / took_s, 1),
        "worst_step_ms": round(worst_ms, 2),
        "conserved": conserved(perceiver.stats()),
        "stats": perceiver.stats().to_dict(),
    }


def _fault(random: np.random.Generator, number: int) -> FaultInjector:
    kind, camera = random.choice(list(KINDS)), random.choice(Cameras().views)
    return FaultInjector(str(kind), (str(camera),), number + 50, int(random.integers(1, 80)))


def _step(perceiver: Perceiver, clean: Cameras, fault: FaultInjector, number: int) -> float:
    """Milliseconds."""
    frames = fault.spoil(number, clean)
    try:
        return perceiver.step(frames, clean.t(number)).latency_ms["total"]
    except FrameError as error:
        assert error.view in fault.cameras
        return 0.0


def conserved(stats: Stats) -> bool:
    return all(some.input == some.processed + some.dropped + some.refused for some in stats.views.values())


def broken(result: dict[str, object], limits: Limits) -> list[str]:
    """Limits that did not hold, for people."""
    grew = result["grew"]
    assert isinstance(grew, dict)
    faults = [
        f"{name} grew by {grew[name]}, at most {limit}" for name, limit in asdict(limits).items() if grew[name] > limit
    ]
    return faults + ([] if result["conserved"] else ["input is not processed + dropped + refused"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the result here as JSON, with the machine")
    args = parser.parse_args()
    result = soak(args.steps, seed=args.seed)
    faults = broken(result, Limits(rss_mb=4.0))
    about = {"schema": 1, "kind": "soak", **provenance(("numpy",), args.seed), "machine": describe_machine()}
    report = {**about, **result, "faults": faults}
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(args.out, report)
    sys.stdout.write(json.dumps(report, indent=1) + "\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
