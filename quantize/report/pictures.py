"""Pictures for the quantization report: accuracy with intervals, and what each quantizer costs each task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from codriver.tasks import GROUPS, TaskSet
from workshop.figures import AMBER, BLUE, INK, SOFT

SHADES = {"fp32": SOFT, "PTQ": AMBER, "QAT": BLUE}
FAINT = 1e-5  # mean absolute difference of a probability below which nothing is drawn


def accuracy_figure(accuracy: Mapping[str, Any], task_set: TaskSet) -> Figure:
    """One panel a task: every name's accuracy with its interval, full precision as a line to compare with."""
    names = list(accuracy)
    figure = Figure(figsize=(11, 0.9 + 0.32 * len(names)), layout="constrained")
    panels = figure.subplots(1, len(task_set.tasks), sharey=True)
    for axes, task in zip(panels, task_set.tasks, strict=True):
        rows = [accuracy[name]["tasks"][task.name] for name in names]
        for place, (name, row) in enumerate(zip(names, rows, strict=True)):
            value, (low, high) = row["accuracy"], row["intervals"]["accuracy"]
            shade = SHADES[name.rpartition(" ")[2]]
            axes.plot([100 * low, 100 * high], [place, place], color=shade, linewidth=2.2, solid_capstyle="round")
            axes.plot([100 * value], [place], "o", color=shade, markersize=6)
        axes.axvline(100 * rows[0]["accuracy"], color=SOFT, linewidth=0.9, linestyle=":")
        if axes.get_xlim()[1] > 100:  # no axis beyond what there is, but room for half a dot
            axes.set_xlim(right=100 + 0.03 * (100 - axes.get_xlim()[0]))
        axes.set_title(task.title, fontsize=10, color=INK, loc="left")
        axes.set_xlabel("accuracy, %", fontsize=8, color=SOFT)
        axes.set_yticks(range(len(names)), names, fontsize=8)
        axes.tick_params(labelsize=8, length=2)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.grid(axis="x", alpha=0.25)
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    return figure


def sensitivity_figure(found: Mapping[str, Any], task_set: TaskSet) -> Figure:
    """One panel a task: places in the encoder by streams, shaded by the loss that the quantizer there causes."""
    groups = list(GROUPS)
    split = [(row["name"].partition("."), row) for row in found["quantizers"]]
    places = sorted({place for (_, _, place), _ in split}, key=_along_the_encoder)
    figure = Figure(figsize=(12, 1.2 + 0.21 * len(places)), layout="constrained")
    panels = figure.subplots(1, len(task_set.tasks), sharey=True)
    worst = max(loss["mean_abs"] for row in found["quantizers"] for loss in row["losses"].values())
    norm = LogNorm(vmin=FAINT, vmax=max(worst, 10 * FAINT))
    for axes, task in zip(panels, task_set.tasks, strict=True):
        cells = np.full((len(places), len(groups)), np.nan)
        for (group, _, place), row in split:
            if group in groups:
                cells[places.index(place), groups.index(group)] = row["losses"][task.name]["mean_abs"]
        shown = axes.pcolormesh(
            np.where(cells > FAINT, cells, np.where(np.isnan(cells), np.nan, FAINT)),
            norm=norm,
            cmap="Blues",
            edgecolors="white",
            linewidth=0.8,
        )
        axes.set_title(task.title, fontsize=10, color=INK, loc="left")
        axes.set_xticks(
            np.arange(len(groups)) + 0.5, groups, rotation=45, ha="right", rotation_mode="anchor", fontsize=8
        )
        axes.set_yticks(np.arange(len(places)) + 0.5, places, fontsize=7)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    panels[0].set_ylim(len(places), 0)
    bar = figure.colorbar(shown, ax=panels, shrink=0.6, pad=0.01)
    bar.set_label("mean absolute change of a probability", fontsize=8, color=SOFT)
    bar.ax.tick_params(labelsize=7)
    return figure


ORDER = ("mul", "layers", "project", "feature", "sub", "change", "scene", "relu", "blocks", "halve", "slot")


def _along_the_encoder(place: str) -> tuple[int, list[str], int]:
    """Where pixels pass first comes first; of one place, the weights before what they give."""
    parts = place.split(".")
    return (ORDER.index(parts[0]) if parts[0] in ORDER else len(ORDER), parts[:-1], parts[-1] != "weights")
