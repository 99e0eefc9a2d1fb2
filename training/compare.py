"""Is one run better than another? Two evaluations of the same clips, compared clip by clip.

python -m training.compare RUN_A/evaluation-test RUN_B/evaluation-test
"""

from __future__ import annotations

import argparse
import json
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from codriver.errors import ConfigError, SourceError
from codriver.tasks import TASK_SETS, TaskSet
from training.evaluate import MARKER, REPORT, SCHEMA, Predictions
from workshop.command import command
from workshop.resampling import BootstrapConfig, paired_difference, resample
from workshop.statistics import paired_tests


@dataclass(frozen=True)
class Evaluation:
    """What training.evaluate left: its report, and the answers behind it."""

    folder: Path
    report: dict[str, Any]
    found: Predictions


def load_evaluation(folder: Path, task_set: TaskSet) -> Evaluation:
    """Raises SourceError for a folder that training.evaluate did not write."""
    if not (folder / REPORT).is_file() or not (folder / MARKER).is_file():
        raise SourceError(
            f"{folder} is not an evaluation: it lacks {REPORT} or {MARKER}; make one with training.evaluate"
        )
    try:
        report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        if report.get("schema") != SCHEMA or report.get("kind") != "evaluation":
            raise SourceError(f"{folder / REPORT}: not an evaluation of schema {SCHEMA}; evaluate the run again")
        with (folder / MARKER).open("rb") as file, np.load(file) as kept:
            probabilities = {task: kept[task] for task in task_set.names}
            found = Predictions(tuple(kept["clips"].tolist()), kept["labels"], probabilities)
    except (json.JSONDecodeError, zipfile.BadZipFile, KeyError, ValueError, EOFError, OSError) as error:
        raise SourceError(f"{folder} does not hold a whole evaluation: {error}; run training.evaluate again") from error
    return Evaluation(folder, report, found)


def compare(
    a: Evaluation,
    b: Evaluation,
    task_set: TaskSet,
    bootstrap: BootstrapConfig = BootstrapConfig(),  # noqa: B008 (frozen)
) -> dict[str, Any]:
    """Per task: accuracies, their difference B - A with its interval, and McNemar's exact test, Holm-corrected.

    JSON-ready. Raises ConfigError if the two speak of different clips.
    """
    refuse_other_clips(a, b)
    right_a, right_b = a.found.right, b.found.right
    weights = resample(len(right_a), bootstrap)
    tests = paired_tests([(right_a[:, k], right_b[:, k]) for k in range(len(task_set.tasks))])
    rows = {}
    for k, task in enumerate(task_set.tasks):
        row = paired_difference(right_a[:, k].astype(float), right_b[:, k].astype(float), weights, bootstrap)
        test = tests[k]
        row |= {"only_a": test.lost, "only_b": test.gained, "p": test.p, "p_holm": test.p_holm}
        rows[task.name] = row | {"verdict": verdict(task.title, row, 1 - bootstrap.confidence)}
    return {
        "schema": 1,
        "kind": "comparison",
        "a": {"folder": str(a.folder), "run": a.report["run"]},
        "b": {"folder": str(b.folder), "run": b.report["run"]},
        "split": a.report["split"],
        "n": len(right_a),
        "clips_sha256": a.report["clips_sha256"],
        "bootstrap": asdict(bootstrap),
        "tasks": rows,
        "mean_accuracy": paired_difference(right_a.mean(axis=1), right_b.mean(axis=1), weights, bootstrap),
    }


def refuse_other_clips(a: Evaluation, b: Evaluation) -> None:
    """The same clips with the same labels, or a comparison would say nothing."""
    same = all(a.report[name] == b.report[name] for name in ("split", "clips_sha256"))
    if not same or a.found.clips != b.found.clips or not np.array_equal(a.found.labels, b.found.labels):
        said = [f"{e.folder}: split {e.report['split']}, clips {e.report['clips_sha256'][:12]}" for e in (a, b)]
        raise ConfigError(f"{'; '.join(said)}: expected the same clips; evaluate both runs with one --data and --split")


def verdict(title: str, row: Mapping[str, Any], level: float) -> str:
    """One sentence. level: of the corrected p below which a difference counts as shown."""
    points, differing = 100 * row["difference"], row["only_a"] + row["only_b"]
    if not differing:
        return f"{title}: the two are right and wrong on the same clips."
    numbers = f"{differing} clips differ, {row['only_b']} for B; Holm p = {row['p_holm']:.2g}"
    if row["p_holm"] < level:
        return f"{title}: {'B' if points > 0 else 'A'} is better, by {abs(points):.1f} points ({numbers})."
    low, high = (100 * side for side in row["interval"])
    return f"{title}: no difference shown; B - A lies between {low:+.1f} and {high:+.1f} points ({numbers})."


def page(comparison: Mapping[str, Any], task_set: TaskSet) -> str:
    """The comparison for people, in percent."""
    lines = [
        f"A  {comparison['a']['folder']}",
        f"B  {comparison['b']['folder']}",
        f"n = {comparison['n']} clips of split {comparison['split']}; accuracy %, B - A with its "
        f"{100 * comparison['bootstrap']['confidence']:.0f} % interval (paired bootstrap over clips)",
        "",
        f"{'task':20} {'A':>6} {'B':>6} {'B - A':>7} {'interval':>16} {'only A':>7} {'only B':>7} {'p':>7} {'Holm':>7}",
    ]
    for name, row in comparison["tasks"].items():
        lines.append(
            f"{task_set[name].title:20} {_accuracies(row)} {row['only_a']:7} {row['only_b']:7} "
            f"{row['p']:7.2g} {row['p_holm']:7.2g}"
        )
    lines += [f"{'mean':20} {_accuracies(comparison['mean_accuracy'])}", ""]
    return "\n".join([*lines, *(row["verdict"] for row in comparison["tasks"].values())])


def _accuracies(row: Mapping[str, Any]) -> str:
    low, high = (100 * side for side in row["interval"])
    between = f"{low:+.1f} to {high:+.1f}"
    a, b, change = (100 * row[name] for name in ("accuracy_a", "accuracy_b", "difference"))
    return f"{a:6.1f} {b:6.1f} {change:+7.1f} {between:>16}"


@command("training.compare")
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.compare",
        description="Compare two evaluations of the same clips: paired differences and McNemar's exact test.",
        epilog="example: python -m training.compare out/run/evaluation-test out/other/evaluation-test",
    )
    parser.add_argument("a", type=Path, help="folder that training.evaluate wrote")
    parser.add_argument("b", type=Path, help="another, on the same clips")
    parser.add_argument("--json", action="store_true", help="print the comparison as JSON")
    args = parser.parse_args(argv)
    task_set = TASK_SETS["aide"]
    comparison = compare(load_evaluation(args.a, task_set), load_evaluation(args.b, task_set), task_set)
    sys.stdout.write((json.dumps(comparison) if args.json else page(comparison, task_set)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
