"""The evaluation of a dense run as one page to read and to print; page.html has its words."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codriver.tasks import TaskSet
from training.dense.drawing import Drawn
from training.dense.scores import written
from workshop.figures import BLUE, blank, data_uri, dress
from workshop.pages import Cell, Row, interval_text, percent, render

TEMPLATE = Path(__file__).with_name("page.html")
BESIDE = ("without_looking", "linear_probe")  # of the report, in the tables' order
UNITS = {"px": "px", "m": "m", "deg": "degrees"}  # by the end of a score's name; all others are percent


def page(report: Mapping[str, Any], task_set: TaskSet, worst: Sequence[Drawn], best: Sequence[Drawn]) -> str:
    """report: what report.json holds. worst, best: pictures to show, the extreme one first."""
    return render(
        TEMPLATE,
        title=f"Evaluation of {report['run']} on {report['task_set']}, {report['split']}",
        report=report,
        scores=[
            (task.title, *score_tables(report, task.name), curve_picture(report["curves"].get(task.name)))
            for task in task_set.tasks
        ],
        titles=[task.title for task in task_set.tasks],
        extremes=[
            ("Worst pictures", [tiles(some, task_set) for some in worst]),
            ("Best pictures", [tiles(some, task_set) for some in best]),
        ],
        origin=[
            ["Evaluated", f"{report['created']}, commit {report['git_commit']}"],
            ["Tools", ", ".join(f"{name} {version}" for name, version in report["tools"].items())],
        ],
    )


def score_tables(report: Mapping[str, Any], task: str) -> tuple[list[Row], list[Row]]:
    """By definition, and by class: the model's, beside the constant answer's and, of maps, the linear probe's."""
    mine = report["tasks"][task]
    others = [report[other].get(task, {}).get("scores", {}) for other in BESIDE]
    named: list[Row] = []
    by_class: list[Row] = []
    for name, value in mine["scores"].items():
        unit = UNITS.get(name.rsplit("_", 1)[-1], "%")
        row = [written(name, value), *(written(name, some[name]) if name in some else "-" for some in others)]
        if name.startswith("iou_"):
            by_class.append([name.removeprefix("iou_"), *("-" if cell == "nan" else cell for cell in row)])
        else:
            chosen = "a run is chosen by it" if name == mine["chosen_by"] else ""
            named.append([Cell(name, below=chosen, mark="code"), *row, unit])
    between = Cell(interval_text(mine["interval"]), mark="wide")
    beside = [report[other].get(task, {}).get("interval") for other in BESIDE]
    ahead = [report["ahead"].get(other, {}).get(task) for other in BESIDE]
    intervals, gaps = (
        ["-" if one is None else Cell(interval_text(one), mark="wide") for one in some] for some in (beside, ahead)
    )
    named.append(["the chosen score, 95 % interval", between, *intervals, "%"])
    named.append(["how far the model is ahead, on the same pictures", "-", *gaps, "points"])
    return named, by_class


def curve_picture(curve: Mapping[str, Sequence[float]] | None) -> str:
    """Precision over recall, as a picture; empty if there is none."""
    if not curve:
        return ""
    figure = blank(3.4, 2.6)
    axes = figure.subplots()
    axes.plot(curve["recall"], curve["precision"], color=BLUE, linewidth=1.6)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    dress(axes, x="recall", y="precision")
    return data_uri(figure)


def tiles(some: Drawn, task_set: TaskSet) -> dict[str, Any]:
    """Rows of truth, answer and error; a kind without an error map has a gap."""
    columns = [[uri(tile) for tile in some.columns[name]] for name in task_set.names]
    rows = [[column[k] if k < len(column) else "" for column in columns] for k in range(3)]
    return {
        "name": some.name,
        "score": percent(some.score),
        "image": uri(some.image),
        "rows": list(zip(("truth", "answer", "error"), rows, strict=True)),
    }


def uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
