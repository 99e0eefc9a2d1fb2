"""Pictures of how training went.

python -m training.curves RUN
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from codriver.errors import CodriverError, SourceError
from codriver.tasks import AIDE, TASK_SETS, TaskSet
from training.checkpoint import CURVES, METRICS

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # Okabe and Ito's, which colour-blind people tell apart


def draw_curves(records: Sequence[dict[str, Any]], path: Path, task_set: TaskSet = AIDE) -> None:
    """Loss, weight and validation accuracy of each task by epoch, as a PNG. records: lines of metrics.jsonl."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

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
            majority = 100 * judged[-1]["val"][task.name]["majority"]
            accuracies.axhline(majority, color=look["color"], linewidth=1.0, linestyle=":")
    titles = ("Training loss (1: guessing)", "Weight of the task", "Validation accuracy, % (dotted: majority)")
    sparse = [record["epoch"] for record in records if record["sparse"]]
    for axes, title in zip((losses, weights, accuracies), titles, strict=True):
        axes.set_title(title, loc="left", fontsize=11)
        axes.set_xlabel("epoch")
        axes.set_xlim(0.5, max(epochs) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        if sparse and len(sparse) < len(records):
            axes.axvspan(0.5, max(sparse) + 0.5, color="black", alpha=0.05, linewidth=0)
    losses.set_ylim(bottom=0)
    weights.set_ylim(bottom=0)
    accuracies.set_ylim(0, 102)
    figure.legend(loc="outside lower center", ncols=len(task_set.tasks), frameon=False)
    if sparse and len(sparse) < len(records):
        note = "grey: epochs that see a few slots"
        figure.text(0.995, 0.02, note, ha="right", color="#666666", fontsize=9)
    FigureCanvasAgg(figure).print_png(path)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.curves",
        description="Draw curves.png from a run's metrics.jsonl; training does so after each epoch.",
        epilog="example: python -m training.curves out/run.partial",
    )
    parser.add_argument("run", type=Path, help="run folder, whole or partial")
    parser.add_argument("--task-set", choices=TASK_SETS, default="aide")
    args = parser.parse_args(argv)
    try:
        records = read_metrics(args.run / METRICS)
        draw_curves(records, args.run / CURVES, TASK_SETS[args.task_set])
    except CodriverError as error:
        sys.stderr.write(f"training.curves: {error}\n")
        return 2
    sys.stdout.write(f"{args.run / CURVES}\n")
    return 0


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """One record for each epoch."""
    if not path.is_file():
        raise SourceError(f"{path} is missing; give a folder that training.train wrote")
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if not records:
        raise SourceError(f"{path} holds no epoch yet; wait for the first to end")
    return records


if __name__ == "__main__":
    sys.exit(main())
