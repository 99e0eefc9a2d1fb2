"""Confusion matrices and reliability diagrams of the evaluation's page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.report.metrics import Reliability
from workshop.figures import BLUE, INK, SOFT, VERMILLION, data_uri, dress


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
    dress(axes, title=title, x="answer", y="label (clips)", grid="none")
    rows = [f"{label} ({total})" for label, total in zip(labels, totals, strict=True)]
    axes.set_xticks(np.arange(classes) + 0.5, labels, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(np.arange(classes) + 0.5, rows)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return data_uri(figure)


def reliability_picture(found: Reliability, title: str) -> str:
    """Accuracy over confidence, a dot at each bin's mean confidence, with the clips of each bin below."""
    figure = Figure(figsize=(2.4, 3.1))
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1), gridspec_kw={"hspace": 0.08})
    edges = np.linspace(0, 1, len(found.counts) + 1)
    width, there = edges[1], found.counts > 0
    above.bar(edges[:-1][there], found.accuracy[there], width, align="edge", color=BLUE, edgecolor="white")
    above.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle="--")
    above.plot(found.confidence[there], found.accuracy[there], "o", color=VERMILLION, markersize=3.5)
    dress(above, title=f"{title}, ECE {100 * found.ece:.1f} %", y="accuracy, share of clips", grid="y")
    above.set(xlim=(0, 1), ylim=(0, 1.02))
    below.bar(edges[:-1], found.counts, width, align="edge", color=SOFT, edgecolor="white")
    dress(below, x="confidence of the answer", y="clips", grid="none")
    return data_uri(figure)
