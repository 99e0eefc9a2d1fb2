"""How much a single frame of the outside views tells of what only motion should tell.

    python -m training.footage.probe --clips 600 --seed 20             freshly drawn clips, classes balanced
    python -m training.footage.probe --data out/data --split test      the clips that a model is scored on

A linear probe (standardised pixels, logistic regression, five-fold cross-validation) guesses each task from one
instant's frames, shrunk to 16x9; classes weigh the same. At chance it has a balanced accuracy of 1/K.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from codriver.errors import ConfigError
from codriver.sources.aide import read_annotation
from codriver.tasks import AIDE, VIEWS
from training.data.clips import frame_numbers, read_frame, read_labels
from training.footage.camera import draw_camera, draw_light
from training.footage.motion import FRAMES, MIDDLE, rng_for
from training.footage.outside.road import Road
from training.footage.spec import ClipSpec
from workshop.aide_splits import SPLITS, ClipRef, read_split
from workshop.command import command

OUTSIDE = tuple(view for view in VIEWS if view != "incar")
TASKS = ("vehicle_behavior", "traffic_context")
INSTANTS = ("first", "middle", "last", "random", "later")  # later: LATER frames after the middle, for motion
LATER = 3  # 0.2 s
STRENGTHS = (1e-4, 1e-3, 1e-2)  # C of the logistic regression
SIZE = (160, 90)  # rendered at; shrunk to CELLS
CELLS = (16, 9)

Pixels = NDArray[np.float32]


@dataclass(frozen=True)
class Sample:
    """Frames of clips and their labels: (clips, instants, views, 9, 16, 3) BGR 0..255."""

    pixels: Pixels
    labels: dict[str, list[str]]

    def at(self, instant: str, views: Sequence[str] = OUTSIDE) -> Pixels:
        """(clips, views, 9, 16, 3)"""
        return self.pixels[:, INSTANTS.index(instant)][:, [OUTSIDE.index(view) for view in views]]


@dataclass(frozen=True)
class ProbeFinding:
    """One row of the table."""

    task: str
    views: str
    instant: str
    sees: str  # pixels, means (of colours), or change (between two frames)
    strength: float
    accuracy: float  # balanced
    chance: float
    error: float  # standard error at chance
    clips: int


def specs(clips: int, seed: int) -> list[ClipSpec]:
    """Every class of every task equally often, independent across tasks."""
    rng = np.random.default_rng(seed)
    columns = {t.name: rng.permutation([t.labels[k % t.classes] for k in range(clips)]).tolist() for t in AIDE.tasks}
    rows = [{name: column[k] for name, column in columns.items()} for k in range(clips)]
    return [ClipSpec(seed, k, row, *SIZE) for k, row in enumerate(rows)]


def pictures(spec: ClipSpec) -> Pixels:
    """(instants, views, 9, 16, 3)"""
    lenses = spec.rng("cameras")
    cameras = {view: draw_camera(lenses, spec.width, spec.height) for view in VIEWS}
    road = Road(spec, draw_light(spec.rng("light")), cameras)
    # A stream of its own, beyond those of the clip's parts.
    anywhere = int(rng_for(spec.seed, spec.number, 99).integers(FRAMES))
    wanted = [0, MIDDLE, FRAMES - 1, anywhere, MIDDLE + LATER]
    shrunk = [
        [cv2.resize(frame, CELLS, interpolation=cv2.INTER_AREA) for frame in road.frames(view, wanted)]
        for view in OUTSIDE
    ]
    return np.array(shrunk, dtype=np.float32).swapaxes(0, 1)


def start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent alone answers Ctrl-C
    cv2.setNumThreads(1)


def draw_all(wanted: list[ClipSpec], workers: int) -> Iterator[Pixels]:
    if workers == 1:
        yield from map(pictures, wanted)
        return
    with multiprocessing.get_context("spawn").Pool(workers, start_worker) as pool:
        yield from pool.imap(pictures, wanted, chunksize=8)


def draw_sample(clips: int, seed: int, workers: int = 1) -> Sample:
    wanted = specs(clips, seed)
    drawn = tqdm(draw_all(wanted, workers), total=clips, unit="clip", disable=not sys.stderr.isatty())
    return Sample(np.stack(list(drawn)), {task.name: [s.labels[task.name] for s in wanted] for task in AIDE.tasks})


def read_sample(data: Path, split: str) -> Sample:
    """A data set's own clips. `random` is an instant that follows from the clip's place in its list."""
    refs = read_split(data, split)
    read = tqdm(enumerate(refs), total=len(refs), desc="read", unit="clip", disable=not sys.stderr.isatty())
    pixels = np.stack([_read_pictures(ref, place) for place, ref in read])
    labels = np.stack([read_labels(ref, read_annotation(ref.annotation), AIDE) for ref in refs])
    return Sample(pixels, {t.name: [t.labels[k] for k in labels[:, place]] for place, t in enumerate(AIDE.tasks)})


def _read_pictures(ref: ClipRef, place: int) -> Pixels:
    """(instants, views, 9, 16, 3)"""
    numbers = frame_numbers(ref.folder)
    middle, last = len(numbers) // 2, len(numbers) - 1
    anywhere = int(rng_for(0, place).integers(len(numbers)))
    wanted = [numbers[min(at, last)] for at in (0, middle, last, anywhere, middle + LATER)]
    frames = [[read_frame(ref.folder / f"{view}frames" / f"{n}.jpg") for view in OUTSIDE] for n in wanted]
    return np.array([[cv2.resize(f, CELLS, interpolation=cv2.INTER_AREA) for f in row] for row in frames], np.float32)


def balanced_accuracy(features: Pixels, labels: Sequence[str], strength: float) -> float:
    """Of a probe's guesses on clips that it was not fitted on."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    probe = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=300, class_weight="balanced"))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    with threadpool_limits(1):  # matrices this small take many times as long when threads wait for one another
        guesses = cross_val_predict(probe, features.reshape(len(features), -1), labels, cv=folds)
    return float(balanced_accuracy_score(labels, guesses))


def find(sample: Sample, task: str, cue: tuple[str, str], views: Sequence[str], strength: float) -> ProbeFinding:
    """cue: the instant, and what the probe sees of it: pixels, means or change."""
    instant, sees = cue
    features = sample.at(instant, views)
    if sees == "means":
        features = features.mean(axis=(2, 3))
    elif sees == "change":
        features = np.abs(sample.at("later", views) - features).mean(axis=-1)
    labels, chance = sample.labels[task], 1 / AIDE[task].classes
    clips_of = Counter(labels)  # balanced accuracy is a mean of recalls, each with its own number of clips
    error = chance * math.sqrt(sum(chance * (1 - chance) / n for n in clips_of.values()))
    accuracy = balanced_accuracy(features, labels, strength)
    return ProbeFinding(task, "+".join(views), instant, sees, strength, accuracy, chance, error, len(labels))


def findings(sample: Sample) -> Iterator[ProbeFinding]:
    """The table, row by row: pixels at each instant, mean colours, and the change that should tell."""
    for task in TASKS:
        for instant in INSTANTS[:-1]:
            for strength in STRENGTHS:
                yield find(sample, task, (instant, "pixels"), OUTSIDE, strength)
        for view in OUTSIDE:
            for strength in STRENGTHS:
                yield find(sample, task, ("middle", "pixels"), [view], strength)
        yield find(sample, task, ("middle", "means"), OUTSIDE, 1.0)
        yield find(sample, task, ("middle", "change"), OUTSIDE, 1e-3)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.footage.probe",
        description="Balanced accuracy of linear probes on the outside views of freshly drawn clips, or of a data set.",
        epilog="example: python -m training.footage.probe --clips 600 --seed 20",
    )
    parser.add_argument("--clips", type=int, default=600, metavar="N", help="clips, 50 to 9999 (default 600)")
    parser.add_argument("--seed", type=int, default=20, metavar="S", help="draws clips and labels (default 20)")
    parser.add_argument("--workers", type=int, default=2, metavar="W", help="processes that draw (default 2)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="probe this data set instead of drawing clips")
    parser.add_argument("--split", choices=SPLITS, default="test", help="of the data set (default test)")
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    return parser.parse_args(arguments)


def check(args: argparse.Namespace) -> None:
    for name, (low, high) in {"clips": (50, 9999), "seed": (0, 2**63 - 1), "workers": (1, 256)}.items():
        if not low <= getattr(args, name) <= high:
            raise ConfigError(f"--{name}: got {getattr(args, name)}, expected {low} to {high}")


@command("training.footage.probe")
def main(arguments: Sequence[str] | None = None) -> int:
    args = parse(arguments)
    check(args)
    sample = read_sample(args.data, args.split) if args.data else draw_sample(args.clips, args.seed, args.workers)
    rows = list(tqdm(findings(sample), unit="probe", disable=not sys.stderr.isatty()))
    if args.json:
        sys.stdout.write(json.dumps([asdict(row) for row in rows]) + "\n")
        return 0
    sys.stdout.write(f"{'task':16} {'views':16} {'instant':7} {'sees':6} {'C':>6}  accuracy  chance +- error, n\n")
    for r in rows:
        sys.stdout.write(
            f"{r.task:16} {r.views:16} {r.instant:7} {r.sees:6} {r.strength:6g}  {r.accuracy:8.3f}"
            f"  {r.chance:.3f} +- {r.error:.3f}, {r.clips}\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
