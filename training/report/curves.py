"""Pictures of how training went."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from codriver.files.atomic import whole_file
from codriver.tasks import AIDE, TaskSet


def draw_curves(records: Sequence[dict[str, Any]], path: Path, task_set: TaskSet = AIDE) -> None:
    """Loss, weight and validation accuracy of each task by epoch, as a PNG. records: lines of metrics.jsonl."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    from workshop.figures import COLOURS, dress

    figure = Figure(figsize=(12.5, 3.9), layout="constrained")
    losses, weights, accuracies = figure.subplots(1, 3)
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
    titles = ("Training loss (1: guessing)", "Weight of the task", "Validation accuracy, % (dotted: majority)")
    sparse = [record["epoch"] for record in records if record["sparse"]]
    for axes, title in zip((losses, weights, accuracies), titles, strict=True):
        dress(axes, title=title, x="epoch")
        axes.set_xlim(0.5, max(epochs) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if sparse and len(sparse) < len(records):
            axes.axvspan(0.5, max(sparse) + 0.5, color="black", alpha=0.05, linewidth=0)
    losses.set_ylim(bottom=0)
    weights.set_ylim(bottom=0)
    accuracies.set_ylim(0, 102)
    figure.legend(loc="outside lower center", ncols=len(task_set.tasks), frameon=False)
    if sparse and len(sparse) < len(records):
        note = "grey: epochs that see a few slots"
        figure.text(0.995, 0.02, note, ha="right", color="#666666", fontsize=9)
    with whole_file(path) as fresh:
        FigureCanvasAgg(figure).print_png(fresh)  # type: ignore[no-untyped-call]  # matplotlib wraps it without a type
