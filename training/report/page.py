"""The evaluation as one page to read and to print; evaluation.html has its words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from codriver.tasks import VIEWS, TaskSet
from training.report.metrics import COARSE, Reliability
from training.report.pictures import confusion_picture, reliability_picture
from workshop.pages import Cell, Row, interval_text, percent, render, with_interval

TEMPLATE = Path(__file__).with_name("evaluation.html")


def page(report: Mapping[str, Any], task_set: TaskSet) -> str:
    """report: what report.json holds."""
    confusion, reliability = report["confusion"], report["reliability"]
    return render(
        TEMPLATE,
        title=f"Evaluation of {report['run']['folder']} on the {report['split']} split",
        report=report,
        titles=[task.title for task in task_set.tasks],
        mean=percent(report["mean_accuracy"]["value"]),
        between=interval_text(report["mean_accuracy"]["interval"]),
        tasks=_headline(report, task_set),
        coarse=_coarse(report),
        confusions=[confusion_picture(np.array(confusion[t.name]), t.labels, t.title) for t in task_set.tasks],
        reliabilities=[reliability_picture(_reliability(reliability[t.name]), t.title) for t in task_set.tasks],
        views=VIEWS,
        subsets=_subsets(report, task_set),
        errors=_errors(report["errors"], task_set),
        origin=_origin(report),
    )


def _headline(report: Mapping[str, Any], task_set: TaskSet) -> list[Row]:
    rows: list[Row] = []
    for task in task_set.tasks:
        score, between = report["tasks"][task.name], report["intervals"][task.name]
        metrics = [with_interval(score[name], between[name]) for name in between]
        rows.append([task.title, *metrics, percent(score["ece"]), percent(score["majority"])])
    return rows


def _coarse(report: Mapping[str, Any]) -> list[Row]:
    rows: list[Row] = []
    for coarse in COARSE:
        if found := report["coarse"].get(coarse.task):
            counts = ", ".join(f"{label} {n}" for label, n in zip(coarse.labels, found["class_counts"], strict=True))
            metrics = [with_interval(found["scores"][name], found["intervals"][name]) for name in found["intervals"]]
            rows.append([coarse.title, *metrics, percent(found["scores"]["majority"]), counts])
    return rows


def _subsets(report: Mapping[str, Any], task_set: TaskSet) -> list[Row]:
    rows: list[Row] = []
    for subset in report["subsets"]:
        cells = [Cell("●") if view in subset["views"] else Cell("·", mark="none") for view in VIEWS]
        for task in task_set.tasks:
            score, answered = subset["tasks"][task.name], task.name in subset["answered"]
            share, f1 = percent(score["accuracy"]), f"F1 {percent(score['macro_f1'])}"
            cells.append(Cell(share, f1) if answered else Cell(f"({share})", f1, mark="none"))
        rows.append([*cells, with_interval(subset["mean_accuracy"], subset["mean_accuracy_interval"])])
    return rows


def _errors(errors: Sequence[Mapping[str, Any]], task_set: TaskSet) -> list[Row]:
    return [
        [
            Cell(error["clip"], mark="code"),
            task_set[error["task"]].title,
            error["label"],
            error["answer"],
            percent(error["confidence"]),
        ]
        for error in errors
    ]


def _origin(report: Mapping[str, Any]) -> list[Row]:
    run, data = report["run"], report["data"]
    known = {True: "yes", False: "no", None: "the run does not say"}[data["same_as_in_training"]]
    return [
        ["Run", f"{run['folder']}, size {run['size']}, training seed {run['seed']}"],
        ["Weights", Cell(f"sha256 {run['weights_sha256']}", mark="code")],
        ["Trained", f"{run['created']}, commit {run['git_commit']}"],
        ["Clips", Cell(f"sha256 {report['clips_sha256']}", f"{report['n']} of split {report['split']}", mark="code")],
        ["Split as it was at training", known],
        ["Evaluated", f"{report['created']}, commit {report['git_commit']}"],
        ["Tools", ", ".join(f"{name} {version}" for name, version in report["tools"].items())],
    ]


def _reliability(found: Mapping[str, Any]) -> Reliability:
    return Reliability(**{name: np.array(values) for name, values in found.items()})
