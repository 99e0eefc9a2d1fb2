"""Score a run on one split.

python -m training.evaluate RUN --data DATA --split test
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score
from tqdm import tqdm

from codriver.errors import CodriverError
from codriver.sources.split import read_split
from codriver.tasks import TaskSet
from training.checkpoint import load_run
from training.data import Clip, load_clips
from training.loop import predict


@dataclass(frozen=True)
class Scores:
    """One task on one split; shares, not percent."""

    accuracy: float
    macro_f1: float  # over the classes that occur in the labels, unrounded
    majority: float  # accuracy of always answering the class that training saw most


def score(
    probabilities: Mapping[str, NDArray[np.float64]],
    clips: Sequence[Clip],
    task_set: TaskSet,
    class_counts: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, Scores]:
    """probabilities: task -> (clips, K). class_counts: of the training split; without them, of these clips."""
    labels = np.stack([clip.labels for clip in clips])
    scores = {}
    for k, task in enumerate(task_set.tasks):
        truth, answer = labels[:, k], probabilities[task.name].argmax(axis=1)
        counts = class_counts[task.name] if class_counts else np.bincount(truth, minlength=task.classes)
        scores[task.name] = Scores(
            accuracy=float((truth == answer).mean()),
            macro_f1=float(f1_score(truth, answer, labels=np.unique(truth), average="macro", zero_division=0)),
            majority=float((truth == int(np.argmax(counts))).mean()),
        )
    return scores


def table(scores: Mapping[str, Scores], task_set: TaskSet) -> str:
    """The scores for people, in percent."""
    lines = [f"{'task':20} {'accuracy':>9} {'macro-F1':>9} {'majority':>9}"]
    for name, result in scores.items():
        values = (result.accuracy, result.macro_f1, result.majority)
        lines.append(f"{task_set[name].title:20} " + " ".join(f"{100 * value:9.1f}" for value in values))
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate",
        description="Score a run on one split, in full precision.",
        epilog="example: python -m training.evaluate out/run --data out/data --split test",
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", choices=("train", "val", "test"), default="test")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    try:
        run = load_run(args.run)
        bar = lambda items: tqdm(items, desc="decode", unit="clip", disable=None)  # noqa: E731
        clips = load_clips(read_split(args.data, args.split), run.model.config, run.model.task_set, bar)
    except CodriverError as error:
        sys.stderr.write(f"training.evaluate: {error}\n")
        return 2
    scores = score(predict(run.model, clips), clips, run.model.task_set, run.meta["class_counts"])
    result = {
        "n": len(clips),
        "split": args.split,
        "tasks": {task: asdict(some) for task, some in scores.items()},
    }
    sys.stdout.write(
        json.dumps(result) + "\n" if args.json else f"n = {len(clips)}\n{table(scores, run.model.task_set)}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
