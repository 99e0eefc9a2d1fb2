"""What frames alone cost against annotations, what each of the driver's streams is worth, and how sure the finder was.

All of it follows from the evidence's JSON. Where a subject has no finder, nothing is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from targets.evidence.verdict import FRAMES_ALONE, Paired, pairs_of
from workshop import statistics
from workshop.resampling import Interval

ANNOTATIONS = "annotations"
THIRDS = ("least sure third", "middle third", "surest third")
Subject = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Change:
    """One task's answers one way against the same clips another way. Shares, not percent."""

    way: str
    against: str
    task: str
    accuracy: float
    macro_f1: float
    paired: Paired
    f1_difference: float
    f1_interval: Interval


@dataclass(frozen=True, kw_only=True)
class Sure:
    """Clips by how sure the finder was of the driver."""

    name: str
    low: float  # of certainty
    high: float
    n: int
    accuracy: Mapping[str, float]  # by task, with frames alone
    annotated: Mapping[str, float]  # on the same clips


def changes(subject: Subject) -> list[Change]:
    """Frames alone against annotations, and each stream missing against frames alone; Holm's correction by way."""
    ways: Mapping[str, Any] = subject.get("driver", {}).get("ways", {})
    found = []
    for way, tasks in ways.items():
        against = ANNOTATIONS if way == FRAMES_ALONE else FRAMES_ALONE
        before = subject["tasks"] if way == FRAMES_ALONE else ways[FRAMES_ALONE]
        found += [
            _change((way, against, task), tasks[task], before[task], row)
            for task, row in pairs_of(tasks, before).items()
        ]
    return found


def _change(names: tuple[str, str, str], here: Mapping[str, Any], there: Mapping[str, Any], row: Paired) -> Change:
    labels, first, second = (
        np.array(some, dtype=np.int64) for some in (here["labels"], there["predicted"], here["predicted"])
    )
    difference, between = statistics.f1_difference(labels, first, second, len(here["classes"]))
    return Change(
        way=names[0],
        against=names[1],
        task=names[2],
        accuracy=here["accuracy"],
        macro_f1=here["macro_f1"],
        paired=row,
        f1_difference=difference,
        f1_interval=between,
    )


def by_certainty(subject: Subject) -> list[Sure]:
    """Thirds of the clips, by how sure the finder was."""
    told = subject.get("driver")
    if not told or len(told["certainty"]) < len(THIRDS):
        return []
    sure = np.array(told["certainty"])
    order = np.argsort(sure, kind="stable")
    rows = []
    for name, members in zip(THIRDS, np.array_split(order, len(THIRDS)), strict=True):
        alone, annotated = (_accuracies(some, members) for some in (told["ways"][FRAMES_ALONE], subject["tasks"]))
        ends = float(sure[members].min()), float(sure[members].max())
        rows.append(Sure(name=name, low=ends[0], high=ends[1], n=len(members), accuracy=alone, annotated=annotated))
    return rows


def _accuracies(tasks: Mapping[str, Any], members: NDArray[np.intp]) -> dict[str, float]:
    """Of tasks whose every clip is labelled: others' answers are not in the clips' order."""
    most = max(len(task["labels"]) for task in tasks.values())
    return {
        name: float(np.mean(np.array(task["predicted"])[members] == np.array(task["labels"])[members]))
        for name, task in tasks.items()
        if len(task["labels"]) == most
    }
