"""Score a run on one split, and leave a folder with report.json, predictions.npz and report.html.

python -m training.evaluate RUN --data DATA --split test --subsets
python -m training.evaluate RUN --data DATA --finder FINDER              # with frames alone, as a device
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix
from tqdm import tqdm

from codriver.errors import ConfigError
from codriver.files.atomic import sha256
from codriver.tasks import STREAMS, TASK_SETS, VIEW_OF, VIEWS, TaskSet
from training.data.batches import predict
from training.data.clips import Clip, footage_kind, found, labels_of, load_clips
from training.dense.evaluate import evaluate_dense, for_people, is_dense
from training.finder.lookout import driver_by, make_lookout
from training.report.metrics import COARSE, Scores, plain_scores, reliability, score, table
from training.trainer.checkpoint import Run, load_run
from training.trainer.processes import freed_memory_kept
from workshop.aide_splits import SPLITS, ClipRef, read_split, split_digest
from workshop.artifacts import provenance, whole_folder, write_json, write_text
from workshop.command import command
from workshop.resampling import BootstrapConfig, confusions, intervals, mean_accuracy, mean_accuracy_interval, resample

SCHEMA = 1
REPORT = "report.json"
MARKER = "predictions.npz"  # other artefacts have a report.json too
CONFIDENT_ERRORS = 20  # listed in the report
SUBSETS = tuple(some for size in (4, 3, 2, 1) for some in combinations(VIEWS, size))


@dataclass(frozen=True)
class Predictions:
    """What a run answered on a split."""

    clips: tuple[str, ...]  # ids, in the order of the split's CSV
    labels: NDArray[np.int64]  # (n, tasks)
    probabilities: dict[str, NDArray[np.float64]]  # task -> (n, K)

    @property
    def answers(self) -> NDArray[np.int64]:
        """(n, tasks)"""
        return np.stack([some.argmax(axis=1) for some in self.probabilities.values()], axis=1)

    @property
    def right(self) -> NDArray[np.bool_]:
        """(n, tasks)"""
        return np.asarray(self.answers == self.labels)

    def save(self, path: Path) -> None:
        named: dict[str, Any] = {"clips": np.array(self.clips), "labels": self.labels, **self.probabilities}
        np.savez_compressed(path, **named)


@freed_memory_kept()
def evaluate(
    run_folder: Path,
    data: Path,
    split: str = "test",
    out: Path | None = None,
    subsets: bool = False,
    bootstrap: BootstrapConfig = BootstrapConfig(),  # noqa: B008 (frozen)
    finder: Path | None = None,
) -> dict[str, Any]:
    """Score the run, write the folder `out` (default: RUN/evaluation-SPLIT), and return what its report.json holds.

    subsets: also score each of the 15 sets of cameras. finder: the driver is then where it sees one. Raises SourceError
    for a run or data that cannot be read, and ConfigError for an `out` that is something else.
    """
    from training.report.page import page  # matplotlib takes a second, and training needs the scores alone

    run, refs, lookout = load_run(run_folder), read_split(data, split), make_lookout(finder) if finder else None
    task_set = run.model.task_set
    with whole_folder(out or run_folder / f"evaluation-{split}", marker=MARKER) as folder:
        bar = lambda items: tqdm(items, desc="decode", total=len(refs), unit="clip", disable=None)  # noqa: E731
        clips = found(load_clips(refs, run.model.config, task_set, bar, lookout=lookout))
        answers = Predictions(
            tuple(ref.id for ref in refs),
            labels_of(clips),
            predict(run.model, clips, progress=lambda items: tqdm(items, desc="predict", disable=None)),
        )
        weights = resample(len(clips), bootstrap)
        report = {
            "schema": SCHEMA,
            "kind": "evaluation",
            **provenance(("torch", "scikit-learn", "scipy", "matplotlib", "opencv-python-headless"), bootstrap.seed),
            "run": _describe_run(run, run_folder),
            "data": _describe_data(run, data, split, refs),
            "split": split,
            "n": len(clips),
            "clips_sha256": split_digest(refs),
            "bootstrap": asdict(bootstrap),
            "driver": driver_by(lookout),
            **assess(answers, task_set, run.record.class_counts, bootstrap, weights),
            "subsets": assess_subsets(run, clips, bootstrap, weights) if subsets else [],
        }
        answers.save(folder / MARKER)
        write_json(folder / REPORT, report)
        write_text(folder / "report.html", page(report, task_set))
    return report


def assess(
    found: Predictions,
    task_set: TaskSet,
    class_counts: Mapping[str, Sequence[int]],
    bootstrap: BootstrapConfig,
    weights: NDArray[np.float64],
) -> dict[str, Any]:
    """All that can be said of these answers, JSON-ready. class_counts: of the training split. weights: (R, n)."""
    clips = [Clip({}, np.zeros(0, np.float32), labels) for labels in found.labels]
    report: dict[str, Any] = {
        "tasks": {
            task: asdict(some) for task, some in score(found.probabilities, clips, task_set, class_counts).items()
        },
        "mean_accuracy": {
            "value": mean_accuracy(found.right),
            "interval": mean_accuracy_interval(found.right, weights, bootstrap),
        },
        **{name: {} for name in ("intervals", "class_counts", "confusion", "reliability", "coarse")},
    }
    for k, task in enumerate(task_set.tasks):
        truth, answer = found.labels[:, k], found.answers[:, k]
        matrix = confusion_matrix(truth, answer, labels=range(task.classes))
        report["intervals"][task.name] = intervals(confusions(truth, answer, task.classes, weights), bootstrap)
        report["class_counts"][task.name] = matrix.sum(axis=1).tolist()
        report["confusion"][task.name] = matrix.tolist()
        report["reliability"][task.name] = {
            name: values.tolist() for name, values in asdict(reliability(truth, found.probabilities[task.name])).items()
        }
    for coarse in COARSE:
        if coarse.task in task_set.names:
            k, task = task_set.names.index(coarse.task), task_set[coarse.task]
            truth, answer = coarse.merge(found.labels[:, k], task), coarse.merge(found.answers[:, k], task)
            seen = np.bincount(coarse.merge(np.arange(task.classes), task), class_counts[task.name])
            scores = asdict(plain_scores(truth, answer, int(np.argmax(seen))))
            del scores["ece"]  # a merged answer has no confidence of its own
            report["coarse"][coarse.task] = {
                "labels": coarse.labels,
                "class_counts": np.bincount(truth, minlength=len(coarse.labels)).tolist(),
                "scores": scores,
                "intervals": intervals(confusions(truth, answer, len(coarse.labels), weights), bootstrap),
            }
    report["errors"] = confident_errors(found, task_set)
    return report


def confident_errors(found: Predictions, task_set: TaskSet, count: int = CONFIDENT_ERRORS) -> list[dict[str, Any]]:
    """The wrong answers that were surest of themselves, surest first: bad labels hide here as well as blind spots."""
    errors = [
        {
            "clip": found.clips[i],
            "task": task_set.tasks[k].name,
            "label": task_set.tasks[k].labels[found.labels[i, k]],
            "answer": task_set.tasks[k].labels[found.answers[i, k]],
            "confidence": float(found.probabilities[task_set.tasks[k].name][i].max()),
        }
        for i, k in np.argwhere(~found.right)
    ]
    return sorted(errors, key=lambda error: -error["confidence"])[:count]


def with_views(clip: Clip, views: Sequence[str]) -> Clip:
    """The clip as if only these cameras were there: masked as the runtime masks them. Pixels are shared, not copied."""
    mask = clip.mask.copy()
    mask[[VIEW_OF[stream] not in views for stream in STREAMS]] = 0.0
    return Clip(clip.frames, mask, clip.labels)


def assess_subsets(
    run: Run, clips: Sequence[Clip], bootstrap: BootstrapConfig, weights: NDArray[np.float64]
) -> list[dict[str, Any]]:
    """Scores with each set of cameras, all four first. `answered`: tasks that a camera of theirs is there for."""
    labels, task_set, rows = labels_of(clips), run.model.task_set, []
    for views in tqdm(SUBSETS, desc="cameras", unit="subset", disable=None):
        probabilities = predict(run.model, [with_views(clip, views) for clip in clips])
        scores = score(probabilities, clips, task_set, run.record.class_counts)
        right = Predictions((), labels, probabilities).right
        rows.append(
            {
                "views": views,
                "answered": [task.name for task in task_set.tasks if set(task.needs_any) & set(views)],
                "tasks": {task: asdict(some) for task, some in scores.items()},
                "mean_accuracy": mean_accuracy(right),
                "mean_accuracy_interval": mean_accuracy_interval(right, weights, bootstrap),
            }
        )
    return rows


def _describe_run(run: Run, folder: Path) -> dict[str, Any]:
    return {
        "folder": folder.resolve().name,
        "weights_sha256": sha256((folder / "model.safetensors").read_bytes()),
        **{name: getattr(run.record, name) for name in ("size", "seed", "created", "git_commit")},
    }


def _describe_data(run: Run, data: Path, split: str, refs: Sequence[ClipRef]) -> dict[str, Any]:
    at_training = run.record.data.clips_sha256.get(split)
    return {
        "kind": footage_kind(data),
        "same_as_in_training": at_training == split_digest(refs) if at_training else None,
    }


def _for_people(report: Mapping[str, Any], task_set: TaskSet, folder: Path) -> str:
    mean = report["mean_accuracy"]
    low, high = (100 * side for side in mean["interval"])
    return "\n".join(
        [
            f"n = {report['n']}, the driver {report['driver']}",
            table({task: Scores(**row) for task, row in report["tasks"].items()}, task_set),
            f"{'mean':20} {100 * mean['value']:9.1f}   {100 * report['bootstrap']['confidence']:.0f} % interval "
            f"{low:.1f} to {high:.1f}",
            f"page  {folder / 'report.html'}",
        ]
    )


@command("training.evaluate")
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate",
        description="Score a run on one split, in full precision; leave report.json, report.html and predictions.npz.",
        epilog="example: python -m training.evaluate out/run --data out/data --split test --subsets",
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", choices=tuple(SPLITS), default="test")
    parser.add_argument("--out", type=Path, help="folder to write; default: RUN/evaluation-SPLIT")
    parser.add_argument("--subsets", action="store_true", help="score each of the 15 sets of cameras too")
    parser.add_argument("--finder", type=Path, metavar="RUN", help="of training.finder: score with frames alone")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    args = parser.parse_args(argv)
    out = args.out or args.run / f"evaluation-{args.split}"
    if is_dense(args.run):
        if args.subsets:
            raise ConfigError("--subsets are sets of the four cameras; a benchmark's pictures come from one")
        found = evaluate_dense(args.run, args.data, args.split, out)
        sys.stdout.write((json.dumps(found) if args.json else for_people(found, out)) + "\n")
        return 0
    report = evaluate(args.run, args.data, args.split, out, args.subsets, finder=args.finder)
    sys.stdout.write((json.dumps(report) if args.json else _for_people(report, TASK_SETS["aide"], out)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
