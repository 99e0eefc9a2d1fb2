"""Confusion matrices and reliability diagrams, as SVG that carries its own letters: it prints sharp on any machine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.report.metrics import Reliability
from workshop.figures import AMBER, BLUE, INK, SOFT, data_uri


def confusion_picture(matrix: NDArray[np.int64], labels: Sequence[str], title: str) -> str:
    """matrix: (K, K) clips, rows are the labels. Shade: share of the row; number: clips."""
    classes = len(labels)
    totals = matrix.sum(axis=1)
    shares = matrix / np.maximum(totals, 1)[:, None]
    figure = Figure(figsize=(1.9 + 0.62 * classes, 1.5 + 0.52 * classes))
    axes = figure.subplots()
    axes.pcolormesh(shares, cmap="Blues", vmin=0, vmax=1, edgecolors="white", linewidth=1.5)
    axes.invert_yaxis()
    for row, column in np.ndindex(classes, classes):
        if matrix[row, column]:
            text = f"{matrix[row, column]}\n{100 * shares[row, column]:.0f} %"
            colour = "white" if shares[row, column] > 0.55 else INK
            axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=7.5, color=colour)
    rows = [f"{label} ({total})" for label, total in zip(labels, totals, strict=True)]
    axes.set_xticks(np.arange(classes) + 0.5, labels, rotation=35, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_yticks(np.arange(classes) + 0.5, rows, fontsize=8)
    axes.set_xlabel("answer", fontsize=8, color=SOFT)
    axes.set_ylabel("label (clips)", fontsize=8, color=SOFT)
    axes.set_title(title, fontsize=10, color=INK, loc="left")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return data_uri(figure)


def reliability_picture(found: Reliability, title: str) -> str:
    """Accuracy over confidence, with the clips of each bin below."""
    figure = Figure(figsize=(3.1, 3.5))
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1), gridspec_kw={"hspace": 0.08})
    edges = np.linspace(0, 1, len(found.counts) + 1)
    width, there = edges[1], found.counts > 0
    above.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle="--", label="confidence = accuracy")
    above.bar(edges[:-1][there], found.accuracy[there], width, align="edge", color=BLUE, edgecolor="white")
    above.plot(found.confidence[there], found.accuracy[there], "o", color=AMBER, markersize=3.5, label="bin's mean")
    above.set(xlim=(0, 1), ylim=(0, 1.02))
    above.set_ylabel("accuracy", fontsize=8, color=SOFT)
    above.legend(fontsize=7, frameon=False, loc="upper left")
    above.set_title(f"{title}, ECE {100 * found.ece:.1f} %", fontsize=10, color=INK, loc="left")
    below.bar(edges[:-1], found.counts, width, align="edge", color=SOFT, edgecolor="white")
    below.set_xlabel("confidence of the answer", fontsize=8, color=SOFT)
    below.set_ylabel("clips", fontsize=8, color=SOFT)
    for axes in (above, below):
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    return data_uri(figure)
