"""Pictures of evidence: how long steps took, and on what a median step spends its time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from workshop.figures import COLOURS, INK, SOFT, VERMILLION, blank, dress, ink_on, short

BINS = 60


def histograms(rows: Sequence[tuple[str, Sequence[float], float]]) -> Figure:
    """One histogram of a step's latency below the other, on one logarithmic axis; the budget is a line.

    rows: subject's name, its times in ms, its budget in ms. Bars are as high as the square root of their count, so that
    the rare slow step is not hidden; one step is visible.
    """
    everything = [value for _, times, budget in rows for value in (*times, budget)]
    edges = np.geomspace(0.95 * min(everything), 1.1 * max(everything), BINS + 1)
    figure = blank(12, 0.5 + 0.95 * len(rows))
    panels = figure.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, times, budget) in zip(panels, rows, strict=True):
        counts, _ = np.histogram(times, bins=edges)
        axes.bar(edges[:-1], np.sqrt(counts), np.diff(edges), align="edge", color=COLOURS[0], edgecolor="white")
        axes.axvline(budget, color=VERMILLION, linewidth=1.5)
        most = float(np.sqrt(counts.max()))
        axes.text(budget, 1.02 * most, f"budget {budget:g} ms ", ha="right", va="top", fontsize=8, color=INK)
        dress(axes, title=f"{short(name)}: {len(times)} steps, worst {max(times):.1f} ms", y="√ steps", grid="x")
        axes.set(xscale="log", xlim=(edges[0], edges[-1]), ylim=(0, 1.08 * most))
        axes.title.set_fontsize(9)
        axes.tick_params(axis="y", labelleft=False, length=0)
    panels[-1].set_xlabel("latency of a step, ms", fontsize=8.5, color=SOFT)
    panels[-1].xaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
    panels[-1].xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panels[-1].minorticks_off()
    return figure


def stages(rows: Sequence[tuple[str, Mapping[str, float]]]) -> Figure:
    """What a median step spends its time on. rows: subject's name, and ms by stage, without the total."""
    names = list(dict.fromkeys(stage for _, times in rows for stage in times))
    longest = max(sum(times.values()) for _, times in rows)
    figure = blank(12, 1.0 + 0.32 * len(rows))
    axes = figure.subplots()
    ends = np.zeros(len(rows))
    for stage, colour in zip(names, COLOURS * len(names), strict=False):
        widths = np.array([times.get(stage, 0.0) for _, times in rows])
        bars = axes.barh(range(len(rows)), widths, left=ends, height=0.7, color=colour, edgecolor="white", label=stage)
        inside = [stage if width > 0.06 * longest else "" for width in widths]
        axes.bar_label(bars, inside, label_type="center", fontsize=7.5, color=ink_on(colour))
        ends += widths
    for place, end in enumerate(ends):
        axes.text(end, place, f" {end:.1f}", va="center", fontsize=8.5, color=INK)
    dress(axes, x="median of each stage, ms", grid="x")
    axes.set_yticks(range(len(rows)), [short(name) for name, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    figure.legend(loc="outside upper left", ncols=len(names), frameon=False, fontsize=8.5)
    return figure
