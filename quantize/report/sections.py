"""Sections of the quantization report: accuracy, parity, files, sensitivity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from codriver.tasks import TaskSet
from quantize.parity.runners import FP32
from quantize.report.pictures import accuracy_figure, sensitivity_figure
from workshop.figures import data_uri
from workshop.pages import html_table, percent

SHOWN_QUANTIZERS = 12


def box(kind: str, headline: str, lines: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<div class="verdict {kind}"><b>{escape(headline)}</b>' + (f"<ul>{items}</ul>" if items else "") + "</div>"


def accuracy(proof: Mapping[str, Any], task_set: TaskSet) -> str:
    picture = data_uri(accuracy_figure(proof["accuracy"], task_set))
    rows = []
    for name, row in proof["accuracy"].items():
        cells = [_cell(row["tasks"][task], row["against"].get(FP32, {}).get(task)) for task in task_set.names]
        rows.append([escape(name), escape(proof["ways"].get(name, "torch")), *cells])
    heads = ("Model", "Run by", *(f"{escape(task.title)} %" for task in task_set.tasks))
    boot = proof["bootstrap"]
    return (
        f'<div class=pictures><img alt="accuracy" src="{picture}"></div>'
        + html_table(heads, rows, left=2)
        + f"<p class=soft>Accuracy with its {100 * boot['confidence']:.0f} % interval (bootstrap over clips, "
        f"{boot['resamples']} resamples), macro-F1, and the change against full precision on the same clips in points; "
        "p: McNemar's exact test, Holm-corrected over tasks.</p>" + _qat(proof, task_set)
    )


def _cell(row: Mapping[str, Any], change: Mapping[str, Any] | None) -> str:
    low, high = row["intervals"]["accuracy"]
    more = f"[{percent(low)}, {percent(high)}] F1 {percent(row['macro_f1'])}"
    return f"{percent(row['accuracy'])} <span class=ci>{more}</span>" + (_change(change) if change else "")


def _change(change: Mapping[str, Any]) -> str:
    low, high = (100 * side for side in change["interval"])
    points = 100 * change["difference"]
    return f"<br><span class=ci>{points:+.1f} ({low:+.1f} to {high:+.1f}), p {change['p_holm']:.2g}</span>"


def _qat(proof: Mapping[str, Any], task_set: TaskSet) -> str:
    rows = [
        [escape(f"{name} against {other}"), *(_change(some[task]).removeprefix("<br>") for task in task_set.names)]
        for name, row in proof["accuracy"].items()
        for other, some in row["against"].items()
        if other != FP32
    ]
    if not rows:
        return ""
    return "<p>Fine-tuned (QAT) against post-training (PTQ), points:</p>" + html_table(
        ("", *(t.title for t in task_set.tasks)), rows
    )


def parity(proof: Mapping[str, Any], task_set: TaskSet) -> str:
    rows = []
    for check in proof["checks"]:
        tasks = [check["tasks"][task] for task in task_set.names]
        worst = {part: max(check[part].items(), key=lambda some: some[1]) for part in ("features", "slots")}
        rows.append(
            [
                *(escape(check[key]) for key in ("dialect", "way", "against", "mode")),
                str(check["clips"]),
                *(
                    f"{percent(row['agreement'])} <span class=ci>{row['mean_abs']:.4f}, {row['max_abs']:.3f}</span>"
                    for row in tasks
                ),
                *(f"{percent(value)} <span class=ci>{group}</span>" for group, value in worst.values()),
                '<span class="wrong">fails</span>' if check["faults"] else "holds",
            ]
        )
    heads = (
        "Dialect",
        "Way",
        "Against",
        "Mode",
        "Clips",
        *(f"{t.title} %" for t in task_set.tasks),
        "Features %",
        "Slots %",
        "",
    )
    return html_table(heads, rows, left=4) + (
        "<p class=soft>Per task: clips with the same class; small: mean and largest difference of a probability. "
        "Features are handed from step to step, slots are remembered for three seconds: relative error of the worst "
        "group of streams. fake-quant: the quantized model in torch; integer: ONNX Runtime without optimisation, node "
        "by node.</p>"
    )


def files(report: Mapping[str, Any]) -> str:
    full = report["dialects"].get(FP32, {}).get("encoder", {}).get("bytes")
    rows = []
    for name, entry in report["dialects"].items():
        size = sum(file["bytes"] for file in (entry["encoder"], entry["encoder"].get("weights")) if file)
        share = f"{percent(size / full)} %" if full else ""
        audit, lint = entry.get("audit") or {}, entry.get("lint") or {}
        int8 = f"{percent(audit['int8_share'])} %" if "int8_share" in audit else "<span class=none>not audited</span>"
        found = str(lint["findings"]) if "findings" in lint else "<span class=none>not linted</span>"
        needs = ", ".join(entry["requires"]) or "any processor"
        rows.append(
            [
                escape(name),
                escape(entry.get("engine", "onnxruntime")),
                escape(needs),
                f"{size / 1e6:.2f}",
                share,
                int8,
                found,
            ]
        )
    heads = ("Dialect", "Runtime", "Needs", "Encoder MB", "Of FP32", "Multiply-accumulates in INT8", "Lint findings")
    return html_table(heads, rows, left=3)


def ranges(measured: Mapping[str, Any], task_set: TaskSet) -> str:
    """What each range estimator cost, where quantize.run tried them all."""
    if not measured:
        return ""
    rows = [
        [escape(name), escape(ranges), *(_loss(losses[task]) for task in task_set.names), chosen]
        for name, some in measured.items()
        for ranges, losses in some["losses"].items()
        for chosen in ["<b>taken</b>" if ranges == some["chosen"] else ""]
    ]
    heads = ("Dialect", "Range estimator", *(escape(task.title) for task in task_set.tasks), "")
    return html_table(heads, rows, left=2) + (
        "<p class=soft>Against full precision, on validation clips. Taken is the estimator whose worst-off task moves "
        "least; mean absolute change of a probability; small: KL divergence in nats, accuracy lost in points.</p>"
    )


def sensitivity(found: Mapping[str, Any], task_set: TaskSet) -> list[str]:
    what = {
        "alone": "each quantizer alone in a full-precision model",
        "without": "what INT8 gains when one quantizer is off",
    }
    rows = [
        [
            escape(row["name"]),
            *(_loss(row["losses"][task]) for task in task_set.names),
        ]
        for row in ({"name": "all together", "losses": found["full"]}, *found["quantizers"][:SHOWN_QUANTIZERS])
    ]
    heads = ("Quantizer", *(escape(task.title) for task in task_set.tasks))
    return [
        f"<h2>Which quantizers cost what: {escape(found['dialect'])}</h2>",
        f"<p class=soft>{found['n']} validation clips; {what[found['method']]}. Mean absolute change of a probability; "
        "small: KL divergence in nats, accuracy lost in points.</p>",
        f'<div class=pictures><img alt="sensitivity" src="{data_uri(sensitivity_figure(found, task_set))}"></div>',
        html_table(heads, rows),
        _search(found["search"]) if "search" in found else "",
    ]


def _loss(loss: Mapping[str, float]) -> str:
    return f"{loss['mean_abs']:.5f} <span class=ci>KL {loss['kl']:.1e}, {100 * loss['accuracy']:+.1f}</span>"


def _search(search: Mapping[str, Any]) -> str:
    budget = ", ".join(f"{task} {value:g}" for task, value in search["budget"].items())
    headline = (
        "The budget is met"
        if search["met"]
        else "The budget cannot be met, not even with every layer in floating point"
    )
    kept = ", ".join(search["keep_float"]) or "no layer"
    costs = [
        f"{name}: {some['more_ms']:+.2f} ms a step ({some['ratio']:.2f} times)"
        for name, some in search["cost"].items()
        if isinstance(some, Mapping) and name != "none"
    ]
    lines = [f"Budget ({search['measure']}): {budget}.", f"In floating point: {kept}.", *costs]
    return box("good" if search["met"] else "bad", f"{headline}.", lines)
