"""Pictures of evidence, as SVG written by hand: intervals of accuracy, histograms of latency, stages of a step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from workshop.statistics import Interval

WIDTH, LABELS, ROW = 940, 300, 20  # pixels: of a picture, of the names at its left, of a line in it
HEIGHT, BINS = 96, 60  # of one histogram
COLOURS = ("#2463b8", "#1b7f4d", "#c2571a", "#7b4ea3", "#8a6d00", "#3b8ea5")
PLOT = WIDTH - LABELS - 40


def accuracy_svg(titles: Sequence[str], rows: Sequence[tuple[str, Sequence[tuple[float, Interval] | None]]]) -> str:
    """A block for each task, a line for each subject: accuracy as a dot, its interval as a whisker.

    titles: of the tasks. rows: subject's name, and by task accuracy and interval as shares; None: not answered.
    """
    ends = [end for _, row in rows for found in row if found for end in found[1]]
    low, high = math.floor(10 * min(ends)) / 10, math.ceil(10 * max(ends)) / 10
    parts, y = [], 8
    for k, title in enumerate(titles):
        parts.append(f'<text x="0" y="{y + 14}" font-weight="600">{escape(title)}</text>')
        for at, (name, found) in enumerate(rows):
            y += ROW
            if found[k] is not None:
                parts.append(_whisker(name, found[k], y, (low, high), COLOURS[at % len(COLOURS)]))
        y += ROW + 8
    step = next(step for step in (0.02, 0.05, 0.1, 0.2) if high - low <= 6.5 * step)
    marks = np.arange(round(low / step), round(high / step) + 1) * step
    grid = [
        _rule(_at(mark, low, high), y, f"{100 * mark:.0f} %") for mark in marks if low - 1e-9 <= mark <= high + 1e-9
    ]
    return _svg("accuracy with 95 % intervals", y + 20, [*grid, *parts])


def _whisker(name: str, found: tuple[float, Interval], y: float, ends: Interval, colour: str) -> str:
    value, (low, high) = found
    middle, left, right = (_at(share, *ends) for share in (value, low, high))
    tip = f"{name}: {100 * value:.1f} %, {100 * low:.1f} to {100 * high:.1f}"
    return (
        f'<g><title>{escape(tip)}</title><text x="14" y="{y + 14}">{escape(_short(name))}</text>'
        f'<line x1="{left:.1f}" x2="{right:.1f}" y1="{y + 10}" y2="{y + 10}" stroke="{colour}" stroke-width="3" '
        f'stroke-opacity="0.5"/><circle cx="{middle:.1f}" cy="{y + 10}" r="4.5" fill="{colour}"/></g>'
    )


def histograms_svg(rows: Sequence[tuple[str, Sequence[float], float]]) -> str:
    """One histogram of a step's latency below the other, on one logarithmic axis; the budget is a red line.

    rows: subject's name, its times in ms, its budget in ms. Heights are each histogram's own; one step is visible.
    """
    everything = [value for _, times, budget in rows for value in (*times, budget)]
    low, high = math.log10(min(everything)) - 0.02, math.log10(max(everything)) + 0.05
    parts = []
    for at, (name, times, budget) in enumerate(rows):
        top, floor = at * HEIGHT + 8, (at + 1) * HEIGHT - 6
        parts += [f'<text x="0" y="{top + 14}">{escape(_short(name))}</text>']
        parts += [f'<text x="0" y="{top + 32}">{len(times)} steps, worst {max(times):.1f} ms</text>']
        parts += [*_bars(times, (low, high), (top + 18, floor), COLOURS[at % len(COLOURS)])]
        x = _at(math.log10(budget), low, high)
        parts += [f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{floor}" stroke="#b00020" stroke-width="1.5"/>']
        parts += [f'<text x="{x - 4:.1f}" y="{top + 12}" text-anchor="end">budget {budget:g} ms</text>']
    bottom = len(rows) * HEIGHT
    grid = [_rule(_at(math.log10(mark), low, high), bottom, f"{mark:g}") for mark in _marks(10**low, 10**high)]
    return _svg("latency of a step, ms", bottom + 20, [*grid, *parts])


def _bars(times: Sequence[float], ends: Interval, between: tuple[float, float], colour: str) -> list[str]:
    """Heights are square roots of counts, so that the rare slow step is not hidden."""
    counts, edges = np.histogram(np.log10(times), bins=BINS, range=ends)
    (top, floor), most = between, math.sqrt(counts.max())
    parts = []
    for count, left, right in zip(counts, edges[:-1], edges[1:], strict=True):
        if count:
            x, height = _at(left, *ends), max(2.0, (floor - top) * math.sqrt(count) / most)
            tip = f"{10**left:.2f} to {10**right:.2f} ms: {count}"
            parts.append(
                f'<rect x="{x:.1f}" y="{floor - height:.1f}" width="{PLOT / BINS - 1:.1f}" height="{height:.1f}" '
                f'fill="{colour}" fill-opacity="0.7"><title>{tip}</title></rect>'
            )
    return parts


def stages_svg(rows: Sequence[tuple[str, Mapping[str, float]]]) -> str:
    """What a median step spends its time on. rows: subject's name, and ms by stage, without the total."""
    longest = max(sum(stages.values()) for _, stages in rows)
    names = list(dict.fromkeys(stage for _, stages in rows for stage in stages))
    parts = []
    for at, name in enumerate(names):
        x, colour = LABELS + 110 * at, COLOURS[at % len(COLOURS)]
        parts.append(f'<rect x="{x}" y="4" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{x + 15}" y="14">{escape(name)}</text>')
    for at, (name, stages) in enumerate(rows):
        x, y = float(LABELS), 26 + (ROW + 4) * at
        parts.append(f'<text x="0" y="{y + 14}">{escape(_short(name))}</text>')
        for stage, value in stages.items():
            width, colour = PLOT * value / longest, COLOURS[names.index(stage) % len(COLOURS)]
            parts.append(
                f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW - 2}" '
                f'fill="{colour}"><title>{escape(stage)} {value:.2f} ms</title></rect>'
            )
            x += width
        parts.append(f'<text x="{x + 5:.1f}" y="{y + 14}">{sum(stages.values()):.1f}</text>')
    return _svg("median of each stage, ms", 30 + (ROW + 4) * len(rows), parts)


def _marks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten, between the ends."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [lead * 10.0**decade for decade in decades for lead in (1, 2, 5) if low <= lead * 10.0**decade <= high]


def _rule(x: float, bottom: float, label: str) -> str:
    line = f'<line x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{bottom}" stroke="#e6e6e6"/>'
    return f'{line}<text x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">{label}</text>'


def _at(value: float, low: float, high: float) -> float:
    return LABELS + PLOT * (value - low) / (high - low)


def _short(name: str) -> str:
    return name if len(name) <= 40 else f"{name[:39]}…"


def _svg(what: str, height: float, parts: Sequence[str]) -> str:
    head = f'<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img" aria-label="{what}">'
    return head + "".join(parts) + "</svg>"
