"""Everything that is wrong with a benchmark's files, in one pass, and how often each class occurs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codriver.errors import SourceError
from codriver.tasks import TaskSet
from training.dense.model import KINDS
from training.dense.scene import Scene

ENDING = re.compile(r"(_[a-zA-Z]+)*\.\w+$")  # of a label's file, behind the picture's name


@dataclass
class DenseReport:
    """What a pass over a data set found."""

    task_set: TaskSet
    pictures: dict[str, int] = field(default_factory=dict)  # of each of the benchmark's splits
    problems: list[str] = field(default_factory=list)  # each names its file
    counts: dict[str, Counter[str]] = field(default_factory=dict)  # task -> pixels of a class, or boxes

    def to_json(self) -> dict[str, Any]:
        return {
            "task_set": self.task_set.name,
            "pictures": self.pictures,
            "problems": self.problems,
            "counts": {task: dict(some) for task, some in self.counts.items()},
        }

    def __str__(self) -> str:
        lines = [
            f"{self.task_set.name}: " + ", ".join(f"{n} pictures of {split}" for split, n in self.pictures.items())
        ]
        for task, some in self.counts.items():
            whole = max(sum(some.values()), 1)
            unit = "boxes" if self.task_set[task].kind == "detection" else "pixels"
            shares = ", ".join(
                f"{label} {count} ({100 * count / whole:.1f} %)" for label, count in sorted(some.items())
            )
            lines.append(f"{task}, {unit}: {shares}")
        lines += [f"  {problem}" for problem in self.problems]
        return "\n".join([*lines, f"{len(self.problems)} problems" if self.problems else "nothing is wrong"])


def check_benchmark(
    task_set: TaskSet, loader: Any, root: Path, progress: Callable[[Iterable[Any], int], Iterable[Any]]
) -> DenseReport:
    """Read every picture and label. progress: is handed an iterable and its length, and gives the same things back."""
    report = DenseReport(task_set, counts={task.name: Counter() for task in task_set.tasks})
    todo = []
    for split in ("train", "val"):
        names, found = loader.listed(root, split)
        report.pictures[split] = len(names)
        todo += [(name, found) for name in names]
    used: set[Path] = set()
    for name, found in progress(todo, len(todo)):
        try:
            ref = found(name)
            used.update(ref.files.values())
            missing = [path for path in ref.files.values() if not path.is_file()]
            report.problems += [f"{path} is missing" for path in missing]
            if not missing:
                _count(report, loader.read(ref))
        except SourceError as error:
            report.problems.append(str(error))
    if loader.BY_FOLDER:
        report.problems += [f"{path} has no picture" for path in left_over(used, {Path(name).name for name, _ in todo})]
    return report


def left_over(used: set[Path], names: set[str]) -> list[Path]:
    """Files beside the labels of pictures, of the same form, that are no picture's. What follows a picture's name tells
    the form: Cityscapes keeps _color.png beside _labelIds.png."""
    forms = {(path.parent, ENDING.search(path.name)[0]) for path in used}  # type: ignore[index]
    beside = [(path, ending) for folder, ending in forms for path in folder.glob(f"*{ending}")]
    return sorted(path for path, ending in beside if path.name.removesuffix(ending) not in names)


def _count(report: DenseReport, scene: Scene) -> None:
    for task in report.task_set.tasks:
        report.counts[task.name].update(KINDS[task.kind].counted(task, scene.truth[task.name]))
