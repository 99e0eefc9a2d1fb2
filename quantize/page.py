"""The quantization report as one page, for someone who decides about a release: pictures inside, nothing fetched.

It is made of what lies in the folder: report.json, and, as far as they are there, proof.json and sensitivity-*.json.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from codriver.tasks import TASK_SETS, TaskSet
from quantize.pictures import accuracy_figure, sensitivity_figure
from quantize.ways import FP32
from training.page import STYLE, html_table, percent
from training.pictures import data_uri

PAGE = "report.html"
MORE_STYLE = """
.verdict { padding: 12px 16px; border-left: 6px solid; background: #f6f8fa; margin: 16px 0; }
.good { border-color: #2f855a; } .bad { border-color: #c53030; } .open { border-color: #d9822b; }
.verdict b { font-size: 17px; } .verdict ul { margin: 6px 0 0; padding-left: 20px; }
td.wrong, .wrong { color: #c53030; font-weight: 600; }
"""
SHOWN_QUANTIZERS = 12


def write_page(folder: Path) -> None:
    """Make report.html anew from the JSON files beside it."""
    report, proof = (_read(folder / name) for name in ("report.json", "proof.json"))
    found = [_read(path) for path in sorted(folder.glob("sensitivity-*.json"))]
    (folder / PAGE).write_text(page(report, proof or None, found), encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def page(report: Mapping[str, Any], proof: Mapping[str, Any] | None, sensitivities: Sequence[Mapping[str, Any]]) -> str:
    task_set = TASK_SETS[report["task_set"]]
    title = f"INT8 of run {report['run']['weights_sha256'][:12]}, size {report['run']['size']}"
    parts = [f"<h1>{escape(title)}</h1>", _about(report, proof), _verdict(report, proof)]
    if proof:
        parts += ["<h2>What INT8 costs</h2>", _accuracy(proof, task_set)]
        parts += ["<h2>Whether runtimes give what the model gives</h2>", _parity(proof, task_set)]
    parts += ["<h2>Files, and what runs in INT8</h2>", _files(report)]
    parts += [part for found in sensitivities for part in _sensitivity(found, task_set)]
    parts += ["<h2>Calibration</h2>", _calibration(report), "<h2>Where this comes from</h2>", _origin(report, proof)]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}{MORE_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n' + "\n".join(parts) + "\n</body></html>\n"


def _about(report: Mapping[str, Any], proof: Mapping[str, Any] | None) -> str:
    tried = (
        f"{proof['n']} clips of split {proof['split']} ({proof['data']}), {proof['machine']['cpu']}" if proof else ""
    )
    return f"<p class=soft>Made {escape(report['created'])}. {escape(tried)}</p>"


def _verdict(report: Mapping[str, Any], proof: Mapping[str, Any] | None) -> str:
    if proof is None:
        return _box(
            "open", "Not proven yet.", ["python -m quantize.prove compares every runtime and measures accuracy."]
        )
    lost = _significant_losses(proof)
    unproven = [f"{d} in {r}: {why}" for d, some in proof["not_proven"].items() for r, why in some.items()]
    lint = [
        f"{name}: {some['lint']['findings']} lint findings"
        for name, some in report["dialects"].items()
        if _findings(some)
    ]
    notes = [f"Not proven on this machine: {text}." for text in unproven]
    if proof["faults"] or lint:
        return _box("bad", "Do not release: a check fails.", [*proof["faults"], *lint, *lost, *notes])
    if lost:
        return _box("bad", "Runtimes agree with the model, but INT8 loses accuracy beyond chance.", [*lost, *notes])
    good = "Every runtime that ran gives what the model gives, and no loss of accuracy beyond chance was found."
    return _box("open" if notes else "good", good, [*_largest_change(proof), *notes])


def _findings(entry: Mapping[str, Any]) -> bool:
    return bool(entry.get("lint", {}).get("findings"))


def _box(kind: str, headline: str, lines: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<div class="verdict {kind}"><b>{escape(headline)}</b>' + (f"<ul>{items}</ul>" if items else "") + "</div>"


def _significant_losses(proof: Mapping[str, Any]) -> list[str]:
    level = 1 - proof["bootstrap"]["confidence"]
    return [
        f"{name}: {task} loses {-100 * change['difference']:.1f} points against full precision (Holm p = {change['p_holm']:.2g})."
        for name, row in proof["accuracy"].items()
        for task, change in row["against"].get(FP32, {}).items()
        if change["difference"] < 0 and change["p_holm"] < level
    ]


def _largest_change(proof: Mapping[str, Any]) -> list[str]:
    changes = [
        (change["difference"], name, task)
        for name, row in proof["accuracy"].items()
        for task, change in row["against"].get(FP32, {}).items()
    ]
    if not changes:
        return []
    points, name, task = min(changes)
    return [
        f"Largest loss of accuracy: {-100 * points:.1f} points ({name}, {task}); one clip is {100 / proof['n']:.2f}."
    ]


def _accuracy(proof: Mapping[str, Any], task_set: TaskSet) -> str:
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
        + f"<p class=soft>Accuracy with its {100 * boot['confidence']:.0f} % interval (bootstrap over clips, {boot['resamples']} "
        "resamples), macro-F1, and the change against full precision on the same clips in points; p: McNemar's exact test, "
        "Holm-corrected over tasks.</p>" + _qat(proof, task_set)
    )


def _cell(row: Mapping[str, Any], change: Mapping[str, Any] | None) -> str:
    low, high = row["intervals"]["accuracy"]
    text = f"{percent(row['accuracy'])} <span class=ci>[{percent(low)}, {percent(high)}] F1 {percent(row['macro_f1'])}</span>"
    return text + (_change(change) if change else "")


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


def _parity(proof: Mapping[str, Any], task_set: TaskSet) -> str:
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
        "<p class=soft>Per task: clips with the same class; small: mean and largest difference of a probability. Features are "
        "handed from step to step, slots are remembered for three seconds: relative error of the worst group of streams. "
        "fake-quant: the quantized model in torch; integer: ONNX Runtime without optimisation, node by node.</p>"
    )


def _files(report: Mapping[str, Any]) -> str:
    full = report["dialects"].get(FP32, {}).get("encoder", {}).get("bytes")
    rows = []
    for name, entry in report["dialects"].items():
        size = entry["encoder"]["bytes"] + entry["encoder"].get("weights_bytes", 0)
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


def _sensitivity(found: Mapping[str, Any], task_set: TaskSet) -> list[str]:
    what = {
        "alone": "each quantizer alone in a full-precision model",
        "without": "what INT8 gains when one quantizer is off",
    }
    rows = [
        [
            escape(row["name"]),
            *(
                f"{row['losses'][t]['mean_abs']:.5f} <span class=ci>KL {row['losses'][t]['kl']:.1e}, {100 * row['losses'][t]['accuracy']:+.1f}</span>"
                for t in task_set.names
            ),
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
    return _box("good" if search["met"] else "bad", f"{headline}.", lines)


def _calibration(report: Mapping[str, Any]) -> str:
    found = report["calibration"]
    rows = [
        [escape(task), escape(", ".join(f"{label} {count}" for label, count in counts.items()))]
        for task, counts in found["class_counts"].items()
    ]
    return (
        f"<p>{found['clips']} clips of split {escape(found['split'])}, seed {found['seed']}, {found['used']} used; ids "
        f"<code>sha256 {found['ids_sha256']}</code></p>" + html_table(("Task", "Clips of each class"), rows, left=2)
    )


def _origin(report: Mapping[str, Any], proof: Mapping[str, Any] | None) -> str:
    made = [("Quantized", report), *([("Proven", proof)] if proof else [])]
    rows = [["Weights", f"<code>sha256 {report['run']['weights_sha256']}</code>"]]
    for what, some in made:
        tools = ", ".join(f"{name} {version}" for name, version in some["tools"].items())
        rows.append(
            [what, f"{escape(some['created'])}, commit <code>{escape(some['git_commit'])}</code>, {escape(tools)}"]
        )
    if proof:
        machine = proof["machine"]
        rows.append(
            [
                "Machine",
                escape(f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}"),
            ]
        )
        rows.append(["Clips", f"<code>sha256 {proof['clips_sha256']}</code>"])
    return html_table(("", ""), rows, left=2)
