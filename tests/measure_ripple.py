"""How far probabilities move between neighbouring frames of a clip, where nothing in it moved as fast.

    python -m tests.measure_ripple samples/try/demo.bundle DATA --clips 60

A context is picked anew at every step, a slot's length apart, so at 15 Hz and slots of 0.2 s three sets of moments take
turns, and answers rippled in their rhythm. A percept's probabilities are the mean over the steps of a slot; beside them
stands what single steps answer. In points of the probability of the class that the clip ends with, at steps with an
answer to every task: the mean step from one frame to the next.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tqdm import tqdm

from codriver import Perceiver, open_source
from codriver.answers.slot_mean import SlotMean
from codriver.device.machine import describe_machine
from workshop.aide_splits import read_split


def moving(rows: Sequence[Sequence[float]], answered: int) -> float:
    """Mean step between neighbours of the answered class's probability, in points. rows: (T, K)."""
    return 100 * float(np.abs(np.diff(np.array(rows)[:, answered])).mean())


@contextmanager
def steps_noted(noted: dict[int, list[Sequence[float]]]) -> Iterator[None]:
    """What single steps answer, by the mean that takes it."""
    mean_of = SlotMean.of

    def of(mean: SlotMean, probabilities: Sequence[float], t: float) -> Sequence[float]:
        noted.setdefault(id(mean), []).append(probabilities)
        return mean_of(mean, probabilities, t)

    SlotMean.of = of  # type: ignore[method-assign]
    try:
        yield
    finally:
        SlotMean.of = mean_of  # type: ignore[method-assign]


def of_clip(perceiver: Perceiver, folder: Path) -> dict[str, tuple[float, float]]:
    """Task -> what single steps move by, and what percepts do, in points."""
    perceiver.reset()
    noted, seen = dict[int, list[Sequence[float]]](), dict[str, list[list[float]]]()
    with open_source(str(folder)) as source, steps_noted(noted):
        for step in source:
            for name, result in perceiver.step(step.frames, t=step.t).tasks.items():
                if result.valid:
                    seen.setdefault(name, []).append(list(result.probabilities.values()))
    singles = dict(zip(seen, noted.values(), strict=True))  # tasks answer in one order, the first time too
    return {
        name: (moving(singles[name][1:], winner), moving(rows[1:], winner))
        for name, rows in seen.items()
        if len(rows) > 3
        for winner in [int(np.argmax(rows[-1]))]
    }


def main(argv: Sequence[str] | None = None) -> int:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("data", type=Path, help="data set in AIDE's layout: its first test clips")
    parser.add_argument("--clips", type=int, default=60)
    options = parser.parse_args(argv)
    refs = read_split(options.data, "test")[: options.clips]
    with Perceiver.open(options.bundle) as perceiver:
        found = [of_clip(perceiver, ref.folder) for ref in tqdm(refs, unit="clip", disable=None)]
    sys.stdout.write(f"{options.bundle.name}, {len(found)} clips, {describe_machine()}\n")
    sys.stdout.write(f"{'points, frame to frame':28} {'single steps':>12} {'percepts':>12} {'share':>7}\n")
    for name in dict.fromkeys(task for clip in found for task in clip):
        before, after = np.mean([clip[name] for clip in found if name in clip], axis=0)
        sys.stdout.write(f"{name:28} {before:12.2f} {after:12.2f} {after / before:7.2f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
