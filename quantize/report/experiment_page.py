"""The experiment for people: Markdown tables, in percent and points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codriver.tasks import TaskSet
from quantize.qat.losses import LOSSES

NAMES = {"PTQ": "PTQ", "afd": "QAT, the run's loss", "frozen": "QAT, frozen weights", "equal": "QAT, equal weights"}


def page(result: Mapping[str, Any], task_set: TaskSet) -> str:
    """Accuracy and distance from FP32 of each setting, then how AFD-Loss's weights moved."""
    qat, run, clips = result["qat"], result["run"], result["clips"]
    lines = [
        "# FP32, PTQ and QAT on the same clips",
        "",
        f"{result['n']} clips of split {result['split']} ({run['data']['kind']}), run of size {run['size']} "
        f"(sha256 {run['weights_sha256'][:12]}, {run['train']['epochs']} epochs), seed {qat['seed']}. Calibrated on "
        f"{clips['calibration']} clips, fine-tuned for {qat['epochs']} epochs on {clips['train']}, watched on "
        f"{clips['val']}. Machine: {result['machine']['processor']}, {result['machine']['threads']} thread(s). "
        f"Commit {result['git_commit']}.",
        "",
        "Differences are against FP32 on the same clips, in points, with 95 % intervals of a paired bootstrap; p is "
        "McNemar's exact test, Holm-corrected over the tasks. Moved: mean absolute difference of a probability from "
        "FP32's, times 1000. Same: share of answers that are FP32's. All in the fake-quantized torch model.",
    ]
    for row in result["rows"]:
        lines += ["", f"## {row['setting']}", "", *accuracy_table(row, task_set)]
        lines += ["", *weights_table(row, task_set)]
    return "\n".join(lines) + "\n"


def accuracy_table(row: Mapping[str, Any], task_set: TaskSet) -> list[str]:
    lines = [
        "| task | model | accuracy | against FP32 | p | moved | same | against PTQ |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for task in task_set.tasks:
        full = row["PTQ"]["tasks"][task.name]["accuracy_a"]
        lines.append(f"| {task.title} | FP32 | {100 * full:.1f} | | | | | |")
        for name in ("PTQ", *LOSSES):
            if name not in row:
                continue
            found, moved = row[name]["tasks"][task.name], row[name]["moved"][task.name]
            ptq = row[name].get("against_ptq")
            lines.append(
                f"| | {NAMES[name]} | {100 * found['accuracy_b']:.1f} | {points(found)} | {found['p_holm']:.2g} "
                f"| {1000 * moved['mean']:.1f} | {100 * moved['same_answer']:.1f} "
                f"| {points(ptq['tasks'][task.name]) if ptq else ''} |"
            )
    return lines


def points(found: Mapping[str, Any]) -> str:
    low, high = (100 * side for side in found["interval"])
    return f"{100 * found['difference']:+.1f} ({low:+.1f} to {high:+.1f})"


def weights_table(row: Mapping[str, Any], task_set: TaskSet) -> list[str]:
    """Task weights in each epoch, and what was kept."""
    titles = " | ".join(task.title for task in task_set.tasks)
    lines = [
        f"| task weights | epoch | {titles} | decoupling | kept |",
        f"|---|--:|{'--:|' * len(task_set.tasks)}--:|---|",
    ]
    for name in LOSSES:
        for record in row[name]["record"]["records"] if name in row else ():
            weights = " | ".join(f"{weight:.3f}" for weight in record["task_weights"])
            mark = "kept" if record["epoch"] == row[name]["record"]["kept_epoch"] else ""
            lines.append(f"| {NAMES[name]} | {record['epoch']} | {weights} | {record['decoupling']:.4f} | {mark} |")
    kept = [NAMES[name] for name in LOSSES if name in row and row[name]["record"]["kept_epoch"] == 0]
    return (
        [*lines, "", f"Kept PTQ's weights, as no epoch's worst task was better: {', '.join(kept)}."] if kept else lines
    )
