"""Pictures of how training went."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from codriver.files.atomic import whole_file
from codriver.tasks import AIDE, TaskSet
from training.losses.instruments import KEY


def draw_curves(records: Sequence[dict[str, Any]], path: Path, task_set: TaskSet = AIDE) -> None:
    """Loss, weight and validation accuracy of each task by epoch, and below what the instruments said, as a PNG.

    records: lines of metrics.jsonl."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    from workshop.figures import COLOURS, dress

    measured = [record for record in records if KEY in record]
    rows = 2 if measured else 1
    figure = Figure(figsize=(12.5, 0.4 + 3.5 * rows), layout="constrained")
    grid = figure.subplots(rows, 3, squeeze=False)
    losses, weights, accuracies = grid[0]
    epochs = [record["epoch"] for record in records]
    judged = [record for record in records if "val" in record]
    for k, task in enumerate(task_set.tasks):
        look: dict[str, Any] = {"color": COLOURS[k % len(COLOURS)], "linewidth": 1.8, "marker": "o", "markersize": 3}
        losses.plot(epochs, [record["task_losses"][k] for record in records], label=task.title, **look)
        weights.plot(epochs, [record["task_weights"][k] for record in records], **look)
        if judged:
            seen = [record["epoch"] for record in judged]
            accuracies.plot(seen, [100 * record["val"][task.name]["accuracy"] for record in judged], **look)
            majority = judged[-1]["val"][task.name].get("majority")  # maps and boxes have none
            if majority is not None:
                accuracies.axhline(100 * majority, color=look["color"], linewidth=1.0, linestyle=":")
    if measured:
        _draw_instruments(grid[1], measured, task_set)
    titles = ("Training loss (1: guessing)", "Weight of the task", "Validation accuracy, % (dotted: majority)")
    sparse = [record["epoch"] for record in records if record["sparse"]]
    for axes, title in zip((losses, weights, accuracies), titles, strict=True):
        dress(axes, title=title)
    for axes in grid.flat:
        axes.set_xlabel("epoch")
        axes.set_xlim(0.5, max(epochs) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if sparse and len(sparse) < len(records):
            axes.axvspan(0.5, max(sparse) + 0.5, color="black", alpha=0.05, linewidth=0)
    losses.set_ylim(bottom=0)
    weights.set_ylim(bottom=0)
    accuracies.set_ylim(0, 102)
    _finish(figure, sparse, records, task_set, path)


def _finish(
    figure: Any, sparse: Sequence[int], records: Sequence[dict[str, Any]], task_set: TaskSet, path: Path
) -> None:
    """Legend, note and file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.legend(loc="outside lower center", ncols=len(task_set.tasks), frameon=False)
    if sparse and len(sparse) < len(records):
        note = "grey: epochs that see a few slots"
        figure.text(0.995, 0.02, note, ha="right", color="#666666", fontsize=9)
    with whole_file(path) as fresh:
        FigureCanvasAgg(figure).print_png(fresh)  # type: ignore[no-untyped-call]  # matplotlib wraps it without a type


def _draw_instruments(axes: Any, records: Sequence[dict[str, Any]], task_set: TaskSet) -> None:
    """Three axes: each task's gradient at the encoders, cosines between tasks' gradients, likeness of embeddings."""
    from workshop.figures import COLOURS, INK, SOFT, dress

    norms, cosines, alike = axes
    epochs = [record["epoch"] for record in records]
    look: dict[str, Any] = {"linewidth": 1.8, "marker": "o", "markersize": 3}
    at = [record[KEY]["encoders"] for record in records]
    tasks = range(len(task_set.tasks))
    for k in tasks:
        norms.plot(epochs, [some["norm"][k] for some in at], color=COLOURS[k % len(COLOURS)], **look)
    for a, b in combinations(tasks, 2):  # both tasks' colours, one as the line and one as its dots
        colours = {"color": COLOURS[a % len(COLOURS)], "markerfacecolor": COLOURS[b % len(COLOURS)]}
        cosines.plot(epochs, [some["cosine"][a][b] for some in at], **look | colours | {"markersize": 5})
    cosines.axhline(0, color=SOFT, linewidth=1.0)
    for name, colour, style in (("raw", INK, "-"), ("centred", INK, "--"), ("summands", SOFT, "-")):
        values = [record[KEY]["likeness"].get(name) for record in records]
        if values and values[0] is not None:
            means = [sum(v) / len(v) if isinstance(v, list) else v for v in values]
            alike.plot(epochs, means, label=name, **look | {"color": colour, "linestyle": style})
    dress(norms, title="Gradient at the encoders, norm")
    dress(cosines, title="Cosine of two tasks' gradients (below 0: conflict)")
    dress(alike, title="Likeness of embeddings, squared cosine")
    norms.set_ylim(bottom=0)
    alike.set_ylim(bottom=0)
    alike.legend(frameon=False, fontsize=8)
