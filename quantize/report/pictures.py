"""Pictures of the quantization report: accuracy with intervals, and what each quantizer costs each task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from codriver.tasks import GROUPS, TaskSet
from workshop.figures import BLUE, SOFT, VERMILLION, Line, blank, dress, interval_figure

SHADES = {"fp32": SOFT, "PTQ": VERMILLION, "QAT": BLUE}
FAINT = 1e-5  # mean absolute difference of a probability below which nothing is drawn


def accuracy_figure(accuracy: Mapping[str, Any], task_set: TaskSet) -> Figure:
    """One panel a task: every name's accuracy with its interval; full precision comes first, and is compared with."""
    lines = []
    for name, row in accuracy.items():
        tasks = [row["tasks"][task] for task in task_set.names]
        found = [(some["accuracy"], tuple(some["intervals"]["accuracy"])) for some in tasks]
        lines.append(Line(name=name, found=found, colour=SHADES[name.rpartition(" ")[2]]))
    return interval_figure([task.title for task in task_set.tasks], lines, reference=0, unit="accuracy, %")


def sensitivity_figure(found: Mapping[str, Any], task_set: TaskSet) -> Figure:
    """One panel a task: places in the encoder by streams, shaded by the loss that the quantizer there causes."""
    groups = list(GROUPS)
    split = [(row["name"].partition("."), row) for row in found["quantizers"]]
    places = sorted({place for (_, _, place), _ in split}, key=_along_the_encoder)
    figure = blank(12, 1.2 + 0.21 * len(places))
    panels = figure.subplots(1, len(task_set.tasks), sharey=True, squeeze=False)[0]
    worst = max(loss["mean_abs"] for row in found["quantizers"] for loss in row["losses"].values())
    norm = LogNorm(vmin=FAINT, vmax=max(worst, 10 * FAINT))
    for axes, task in zip(panels, task_set.tasks, strict=True):
        cells = np.full((len(places), len(groups)), np.nan)
        for (group, _, place), row in split:
            if group in groups:
                cells[places.index(place), groups.index(group)] = row["losses"][task.name]["mean_abs"]
        drawn = np.where(np.isnan(cells), np.nan, np.maximum(cells, FAINT))
        shown = axes.pcolormesh(drawn, norm=norm, cmap="Blues", edgecolors="white", linewidth=0.8)
        dress(axes, title=task.title, grid="none")
        axes.set_xticks(np.arange(len(groups)) + 0.5, groups, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(np.arange(len(places)) + 0.5, places, fontsize=7)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    panels[0].set_ylim(len(places), 0)
    bar = figure.colorbar(shown, ax=list(panels), shrink=0.6, pad=0.01)
    bar.set_label("mean absolute change of a probability", fontsize=8, color=SOFT)
    bar.ax.tick_params(labelsize=7)
    return figure


ORDER = ("mul", "layers", "project", "feature", "sub", "change", "scene", "relu", "blocks", "halve", "slot")


def _along_the_encoder(place: str) -> tuple[int, list[str], int]:
    """Where pixels pass first comes first; of one place, the weights before what they give."""
    parts = place.split(".")
    return (ORDER.index(parts[0]) if parts[0] in ORDER else len(ORDER), parts[:-1], parts[-1] != "weights")
