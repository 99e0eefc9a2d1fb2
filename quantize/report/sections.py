"""Rows of the quantization report's tables: accuracy, parity, files, ranges, sensitivity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from codriver.tasks import TaskSet
from quantize.parity.runners import FP32
from workshop.pages import Cell, Row, interval_text, percent, points
from workshop.quantized_report import MeasuredRanges, QuantizedReport

SHOWN_QUANTIZERS = 12


@dataclass(frozen=True)
class Box:
    """A verdict: pass, fail or open, and what it rests on."""

    mark: str
    headline: str
    lines: Sequence[str]


def accuracy(proof: Mapping[str, Any], task_set: TaskSet) -> list[Row]:
    return [
        [
            name,
            proof["ways"].get(name, "torch"),
            *(_accuracy(row["tasks"][task], row["against"].get(FP32, {}).get(task)) for task in task_set.names),
        ]
        for name, row in proof["accuracy"].items()
    ]


def _accuracy(row: Mapping[str, Any], change: Mapping[str, Any] | None) -> Cell:
    between = interval_text(row["intervals"]["accuracy"])
    return Cell(percent(row["accuracy"]), f"{between} F1 {percent(row['macro_f1'])}", _change(change) if change else "")


def _change(change: Mapping[str, Any]) -> str:
    return f"{points(change['difference'], change['interval'])}, p {change['p_holm']:.2g}"


def fine_tuned(proof: Mapping[str, Any], task_set: TaskSet) -> list[Row]:
    """QAT against PTQ."""
    return [
        [f"{name} against {other}", *(_change(some[task]) for task in task_set.names)]
        for name, row in proof["accuracy"].items()
        for other, some in row["against"].items()
        if other != FP32
    ]


def parity(proof: Mapping[str, Any], task_set: TaskSet) -> list[Row]:
    rows: list[Row] = []
    for check in proof["checks"]:
        tasks = [check["tasks"][task] for task in task_set.names]
        worst = [max(check[part].items(), key=lambda some: some[1]) for part in ("features", "slots")]
        rows.append(
            [
                *(check[key] for key in ("dialect", "way", "against", "mode")),
                str(check["clips"]),
                *(Cell(percent(t["agreement"]), below=f"{t['mean_abs']:.4f}, {t['max_abs']:.3f}") for t in tasks),
                *(Cell(percent(value), below=group) for group, value in worst),
                Cell("fails", mark="fail") if check["faults"] else "holds",
            ]
        )
    return rows


def files(report: QuantizedReport) -> list[Row]:
    full = report.dialects.get(FP32)
    rows: list[Row] = []
    for name, some in report.dialects.items():
        size, share = some.encoder.all_bytes, some.audit.int8_share if some.audit else None
        rows.append(
            [
                name,
                some.engine,
                ", ".join(some.requires) or "any processor",
                f"{size / 1e6:.2f}",
                f"{percent(size / full.encoder.all_bytes)} %" if full else "",
                Cell("not audited", mark="none") if share is None else f"{percent(share)} %",
                str(some.lint.findings) if some.lint else Cell("not linted", mark="none"),
            ]
        )
    return rows


def ranges(measured: Mapping[str, MeasuredRanges], task_set: TaskSet) -> list[Row]:
    """What each range estimator cost, where quantize.run tried them all."""
    taken = Cell("taken", mark="pass")
    return [
        [name, tried, *(_loss(asdict(losses[task])) for task in task_set.names), taken if tried == some.chosen else ""]
        for name, some in measured.items()
        for tried, losses in some.losses.items()
    ]


def sensitivity(found: Mapping[str, Any], task_set: TaskSet) -> list[Row]:
    every = ({"name": "all together", "losses": found["full"]}, *found["quantizers"][:SHOWN_QUANTIZERS])
    return [[row["name"], *(_loss(row["losses"][task]) for task in task_set.names)] for row in every]


def _loss(loss: Mapping[str, float]) -> Cell:
    return Cell(f"{loss['mean_abs']:.5f}", f"KL {loss['kl']:.1e}, {100 * loss['accuracy']:+.1f}")


def search(found: Mapping[str, Any]) -> Box:
    """Which layers a budget asks to keep in floating point."""
    budget = ", ".join(f"{task} {value:g}" for task, value in found["budget"].items())
    costs = [
        f"{name}: {some['more_ms']:+.2f} ms a step ({some['ratio']:.2f} times)"
        for name, some in found["cost"].items()
        if isinstance(some, Mapping) and name != "none"
    ]
    kept = ", ".join(found["keep_float"]) or "no layer"
    lines = [f"Budget ({found['measure']}): {budget}.", f"In floating point: {kept}.", *costs]
    if found["met"]:
        return Box("pass", "The budget is met.", lines)
    return Box("fail", "The budget cannot be met, not even with every layer in floating point.", lines)
