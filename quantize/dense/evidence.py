"""The evidence of maps and boxes as one page; evidence.html has its words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from codriver.tasks import TaskSet
from quantize.dense.trial import DenseTrial
from training.dense.drawing import Drawn, drawn
from training.dense.page import uri
from training.dense.scene import SceneRef
from training.dense.scores import is_error, written
from training.dense.train import LOADERS
from workshop.pages import Cell, Row, percent, render

TEMPLATE = Path(__file__).with_name("evidence.html")
SHOWN = 4  # pictures of each bundle
SAID = {
    "fail": "may not ship",
    "open": "INT8 costs no more than it may by the estimates; the pictures do not show all of it",
    "pass": "INT8 costs no more than it may",
    "none": "full precision, which the others are held beside",
}


@dataclass(frozen=True)
class Worst:
    """The pictures that one bundle answers worst, as it and the reference answer them."""

    key: str
    beside: str  # key of the reference, empty if it is that itself
    titles: tuple[str, ...]  # of the tasks
    pictures: tuple[tuple[Drawn, Drawn | None], ...]


def worst_of(trials: Sequence[DenseTrial], refs: Sequence[SceneRef]) -> list[Worst]:
    """By the mean of the tasks' own scores of a picture, below the reference's; the reference by its own."""
    full = next((trial for trial in trials if trial.is_full_precision), None)
    return [_worst(trial, None if full is trial else full, refs) for trial in trials]


def _worst(trial: DenseTrial, full: DenseTrial | None, refs: Sequence[SceneRef]) -> Worst:
    marks = np.array(trial.marks) - (np.array(full.marks) if full else 0)
    order = [int(at) for at in np.argsort(marks) if np.isfinite(marks[at])][:SHOWN]
    task_set = TaskSet(trial.spec.task_set, trial.spec.asked)
    pictures = []
    for at in order:
        scene = LOADERS[trial.spec.task_set].read(refs[at])
        pair = [
            None if some is None else drawn(scene, some.answers(scene), task_set, some.marks[at])
            for some in (trial, full)
        ]
        assert pair[0] is not None
        pictures.append((pair[0], pair[1]))
    return Worst(trial.key, full.key if full else "", tuple(task.title for task in trial.spec.asked), tuple(pictures))


def page(evidence: Mapping[str, Any], worst: Sequence[Worst]) -> str:
    return render(
        TEMPLATE,
        title=f"Evidence: {evidence['task_set']}, {evidence['pictures']['n']} pictures",
        evidence=evidence,
        verdicts=[_verdict(subject) for subject in evidence["subjects"]],
        scores=[(title, _scores(evidence, task)) for task, title in _titles(evidence).items()],
        steps=[
            [subject["key"], subject["engine"], *(f"{subject['step_ms'][p]:.1f}" for p in ("p50", "p95", "p99"))]
            for subject in evidence["subjects"]
        ],
        worst=[(some, [_tiles(*pair) for pair in some.pictures]) for some in worst],
        origin=[
            ["Measured", f"{evidence['created']}, commit {evidence['git_commit']}"],
            ["Machine", ", ".join(str(value) for value in evidence["machine"].values())],
            ["Tools", ", ".join(f"{name} {version}" for name, version in evidence["tools"].items())],
            ["Pictures", f"{evidence['data']}, test; names {evidence['pictures']['names_sha256'][:12]}"],
        ],
    )


def _titles(evidence: Mapping[str, Any]) -> dict[str, str]:
    return {task: one["title"] for subject in evidence["subjects"] for task, one in subject["tasks"].items()}


def _verdict(subject: Mapping[str, Any]) -> dict[str, Any]:
    mark = "fail" if subject["misses"] else "open" if subject["open"] else "pass"
    mark = "none" if mark == "pass" and subject["full_precision"] else mark
    return {"mark": mark, "key": subject["key"], "said": SAID[mark], "lines": [*subject["misses"], *subject["open"]]}


def _scores(evidence: Mapping[str, Any], task: str) -> list[Row]:
    """A definition a row, a bundle a column; under the judged one what it costs."""
    found = [subject["tasks"].get(task, {"scores": {}, "judged_by": ""}) for subject in evidence["subjects"]]
    rows: list[Row] = []
    for name in dict.fromkeys(name for one in found for name in one["scores"]):
        judged = any(one["judged_by"] == name for one in found)
        less = ", less is better" if is_error(name) else ""
        label = Cell(name, below=f"judged by it{less}" if judged else "", mark="code")
        rows.append([label, *(_score(one, name) for one in found)])
    return rows


def _score(one: Mapping[str, Any], name: str) -> str | Cell:
    if name not in one["scores"]:
        return "-"
    if name != one["judged_by"]:
        return written(name, one["scores"][name])
    between = "" if one["interval"] is None else " to ".join(written(name, side) for side in one["interval"])
    cost = one.get("cost")
    if cost is None:
        return Cell(written(name, one["scores"][name]), small=between)
    mark = "fail" if cost["low"] > cost["allowed"] else "open" if cost["high"] > cost["allowed"] else "pass"
    worse = f"worse by {100 * cost['cost']:+.2f} {cost['unit']}, {100 * cost['low']:+.2f} to {100 * cost['high']:+.2f}"
    return Cell(written(name, one["scores"][name]), small=between, below=worse, mark=mark)


def _tiles(mine: Drawn, full: Drawn | None) -> dict[str, Any]:
    """Rows of truth, answer, the reference's answer, and error; a kind without an error map has a gap."""
    rows = [("truth", _row(mine, 0)), ("answer", _row(mine, 1))]
    rows += [("full precision", _row(full, 1))] if full else []
    rows += [("error", _row(mine, 2))]
    score = percent(mine.score) + (f", full precision {percent(full.score)}" if full else "")
    return {"name": mine.name, "score": score, "image": uri(mine.image), "rows": rows}


def _row(some: Drawn, k: int) -> list[str]:
    return [uri(tiles[k]) if k < len(tiles) else "" for tiles in some.columns.values()]
