"""The evaluation as one page to read and to print: pictures inside, nothing fetched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from codriver.tasks import VIEWS, TaskSet
from training.report.metrics import COARSE, Reliability
from training.report.pictures import confusion_picture, reliability_picture
from workshop.pages import REPORT_STYLE, html_table, interval_text, percent, with_interval


def page(report: Mapping[str, Any], task_set: TaskSet) -> str:
    """report: what report.json holds."""
    title = f"Evaluation of {report['run']['folder']} on the {report['split']} split"
    parts = [
        f"<h1>{escape(title)}</h1>",
        _summary(report, task_set),
        "<h2>Tasks</h2>",
        _headline(report, task_set),
        "<h2>Coarse classes</h2>",
        _coarse(report),
        "<h2>Confusion</h2><p class=soft>Rows are labels, columns answers; shade and percent: share of the row.</p>",
        _pictures(confusion_picture(np.array(report["confusion"][t.name]), t.labels, t.title) for t in task_set.tasks),
        "<h2>Calibration</h2><p class=soft>A bar above the dashed line: more often right than it says. Below: less "
        "often.</p>",
        _pictures(reliability_picture(_reliability(report, task.name), task.title) for task in task_set.tasks),
        *(("<h2>Camera subsets</h2>", _subsets(report, task_set)) if report["subsets"] else ()),
        "<h2>Most confident errors</h2>",
        _errors(report["errors"], task_set),
        "<h2>Where this comes from</h2>",
        _origin(report),
    ]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{REPORT_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n' + "\n".join(parts) + "\n</body></html>\n"


def _summary(report: Mapping[str, Any], task_set: TaskSet) -> str:
    mean = report["mean_accuracy"]
    boot = report["bootstrap"]
    return (
        f"<p class=soft>{escape(report['data']['kind'])}, {report['n']} clips, made {escape(report['created'])}</p>"
        f"<div class=figures><div><b>{percent(mean['value'])} %</b>mean accuracy of {len(task_set.tasks)} tasks "
        f"<span class=ci>{interval_text(mean['interval'])}</span></div><div><b>{report['n']}</b>clips; one clip is "
        f"{100 / report['n']:.2f} points</div></div>"
        f"<p class=soft>In brackets: {100 * boot['confidence']:.0f} % intervals, percentile bootstrap over clips, "
        f"{boot['resamples']} resamples, seed {boot['seed']}. They speak of other clips like these, not of another "
        "training run. Where every clip went the same way, an interval has no width; that is no certainty.</p>"
    )


def _headline(report: Mapping[str, Any], task_set: TaskSet) -> str:
    rows = []
    for task in task_set.tasks:
        score, between = report["tasks"][task.name], report["intervals"][task.name]
        metrics = [with_interval(score[name], between[name]) for name in between]
        rows.append([escape(task.title), *metrics, percent(score["ece"]), percent(score["majority"])])
    return html_table(
        ("Task", "Accuracy %", "Macro-F1 %", "Balanced accuracy %", "ECE %", "Majority class %"), rows
    ) + (
        "<p class=soft>Macro-F1 and balanced accuracy: over the classes that occur in the labels. ECE: expected "
        "calibration error, 15 bins of confidence. Majority: accuracy of always giving training's commonest class.</p>"
    )


def _coarse(report: Mapping[str, Any]) -> str:
    rows = []
    for coarse in COARSE:
        found = report["coarse"].get(coarse.task)
        if found:
            counts = ", ".join(f"{label} {n}" for label, n in zip(coarse.labels, found["class_counts"], strict=True))
            metrics = [with_interval(found["scores"][name], found["intervals"][name]) for name in found["intervals"]]
            rows.append([escape(coarse.title), *metrics, percent(found["scores"]["majority"]), escape(counts)])
    heads = ("Task", "Accuracy %", "Macro-F1 %", "Balanced accuracy %", "Majority class %", "Clips")
    return html_table(heads, rows) + "<p class=soft>The fine answer, seen coarsely; the model is not trained anew.</p>"


def _subsets(report: Mapping[str, Any], task_set: TaskSet) -> str:
    rows = []
    for subset in report["subsets"]:
        cells = ["&#9679;" if view in subset["views"] else "<span class=none>&middot;</span>" for view in VIEWS]
        for task in task_set.tasks:
            score = subset["tasks"][task.name]
            text = f"{percent(score['accuracy'])} <span class=ci>F1 {percent(score['macro_f1'])}</span>"
            cells.append(text if task.name in subset["answered"] else f"<span class=none>({text})</span>")
        rows.append([*cells, with_interval(subset["mean_accuracy"], subset["mean_accuracy_interval"])])
    heads = (*VIEWS, *(f"{escape(task.title)} %" for task in task_set.tasks), "Mean accuracy %")
    return html_table(heads, rows, left=0) + (
        "<p class=soft>Absent cameras are masked, not black. Without the in-car camera, face, body, posture and "
        "gesture are absent too. In parentheses: no camera of this task is there, so codriver marks the answer "
        "invalid.</p>"
    )


def _errors(errors: Sequence[Mapping[str, Any]], task_set: TaskSet) -> str:
    if not errors:
        return "<p>None: every answer was right.</p>"
    rows = [
        [
            f"<code>{escape(error['clip'])}</code>",
            task_set[error["task"]].title,
            *map(escape, (error["label"], error["answer"])),
            percent(error["confidence"]),
        ]
        for error in errors
    ]
    return html_table(("Clip", "Task", "Label", "Answer", "Confidence %"), rows, left=4)


def _origin(report: Mapping[str, Any]) -> str:
    run, data = report["run"], report["data"]
    known = {True: "yes", False: "no", None: "the run does not say"}[data["same_as_in_training"]]
    rows = [
        ["Run", f"{escape(run['folder'])}, size {escape(str(run['size']))}, training seed {run['seed']}"],
        ["Weights", f"<code>sha256 {run['weights_sha256']}</code>"],
        ["Trained", f"{escape(str(run['created']))}, commit <code>{escape(str(run['git_commit']))}</code>"],
        ["Clips", f"{report['n']} of split {report['split']}, <code>sha256 {report['clips_sha256']}</code>"],
        ["Split as it was at training", known],
        ["Evaluated", f"{escape(report['created'])}, commit <code>{escape(report['git_commit'])}</code>"],
        ["Tools", escape(", ".join(f"{name} {version}" for name, version in report["tools"].items()))],
    ]
    return html_table(("", ""), rows, left=2)


def _reliability(report: Mapping[str, Any], task: str) -> Reliability:
    return Reliability(**{name: np.array(values) for name, values in report["reliability"][task].items()})


def _pictures(sources: Any) -> str:
    return "<div class=pictures>" + "".join(f'<img alt="" src="{source}">' for source in sources) + "</div>"
