"""One picture of a whole run: what the cameras saw, what was answered when, and how fast. 1920 x 1350."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codriver.arrays import Image
from codriver.percept import TaskResult, ViewStatus
from codriver.tasks import Task
from codriver.view import draw, text, theme
from codriver.view.cameras import TITLES, draw_camera
from codriver.view.record import THUMB, Record
from codriver.view.theme import Colour, Rect, accent, mix

WIDTH, HEIGHT = 1920, 1350
EDGE = 40
COLUMNS = 6
FILM = Rect(EDGE, 136, COLUMNS * (THUMB[0] + theme.GAP) - theme.GAP, 4 * (THUMB[1] + theme.GAP) - theme.GAP)
SIDE = Rect(FILM.right + 24, FILM.y, WIDTH - EDGE - FILM.right - 24, FILM.height)
TASKS = Rect(EDGE, FILM.bottom + 24, WIDTH - 2 * EDGE, HEIGHT - EDGE - FILM.bottom - 24)
NEVER = ViewStatus(status="never", age_s=None, reason="")


@dataclass(frozen=True, kw_only=True)
class About:
    """What the record itself cannot know."""

    title: str  # the source's name
    truth: Mapping[str, str]  # task -> true label; empty if nobody labelled it
    problems: int = 0  # how much was left out of the source


def draw_sheet(record: Record, about: About) -> Image:
    """(1350, 1920, 3) uint8 BGR, of a run with at least one step; 732 rows without tasks."""
    assert record.last is not None
    image = draw.canvas(WIDTH, HEIGHT)
    _draw_header(image, record, about)
    _draw_film(image, record)
    _draw_side(image, SIDE, record, about)
    columns = TASKS.columns(len(record.tasks), 24) if record.tasks else []
    for index, (task, rect) in enumerate(zip(record.tasks, columns, strict=True)):
        draw.card(image, rect)
        _draw_task(image, rect.inset(20), task, record, about.truth.get(task.name), accent(index))
    return image if record.tasks else image[: SIDE.bottom + EDGE]


def _draw_header(image: Image, record: Record, about: About) -> None:
    assert record.last is not None
    wide = text.put(image, "codriver", (EDGE, 62), 30, theme.TEXT, weight=text.BOLD)
    text.put(image, text.fit(about.title, 30, 900), (EDGE + wide + 18, 62), 30, theme.SOFT)
    rate = f" · {(record.steps - 1) / record.span_s:.0f} Hz" if record.span_s > 0 else ""
    facts = f"{record.last.model} · {record.steps} steps · {record.span_s:.2f} s{rate}"
    text.put(image, facts, (EDGE, 92), 15, theme.FAINT)
    known = [task.name for task in record.tasks if task.name in about.truth]
    if known:
        right = sum(record.last.tasks[name].label == about.truth[name] for name in known)
        score = f"{right} of {len(known)} right"
        text.put(image, score, (WIDTH - EDGE, 62), 30, theme.TEXT, weight=text.BOLD, align="right")
        text.put(image, "last answer against the label", (WIDTH - EDGE, 92), 15, theme.FAINT, align="right")


def _draw_film(image: Image, record: Record) -> None:
    instants = record.instants(COLUMNS)
    for column, instant in enumerate(instants):
        x = FILM.x + column * (THUMB[0] + theme.GAP)
        text.put(image, f"{instant.t - record.times_s[0]:.2f} s", (x, FILM.y - 9), 13, theme.SOFT)
        for row, view in enumerate(record.views):
            tile = Rect(x, FILM.y + row * (THUMB[1] + theme.GAP), *THUMB)
            status = instant.views.get(view, NEVER)
            draw_camera(image, tile, view, instant.thumbs.get(view), status, title=column == 0)


def _draw_side(image: Image, rect: Rect, record: Record, about: About) -> None:
    """Latency above; below it how the run went: states, and which camera was seen how much."""
    latency = rect._replace(height=334)
    health = rect._replace(y=latency.bottom + theme.GAP, height=rect.height - latency.height - theme.GAP)
    draw.card(image, latency)
    _draw_latency(image, latency.inset(20), record)
    draw.card(image, health)
    inner = health.inset(20)
    text.put(image, "State", (inner.x, inner.y + 11), 14, theme.SOFT, weight=text.MEDIUM)
    _draw_states(image, inner, record)
    for number, view in enumerate(record.views):
        y = inner.y + 84 + number * 26
        share = record.seen[view] / record.steps
        text.put(image, TITLES.get(view, view), (inner.x, y), 13, theme.SOFT)
        colour = theme.SOFT if share > 0.99 else theme.WRONG
        draw.bar(image, Rect(inner.x + 70, y - 7, inner.width - 124, 5), share, colour)
        text.put(image, f"{share * 100:.0f} %", (inner.right, y), 13, theme.TEXT, align="right")
    if about.problems:
        said = f"{about.problems} frame{'s' if about.problems > 1 else ''} or parts of the source left out"
        text.put(image, said, (inner.x, inner.bottom), 12, theme.STATE_COLOURS["degraded"])


def _draw_states(image: Image, inner: Rect, record: Record) -> None:
    x, legend = inner.x, inner.right
    for state, colour in theme.STATE_COLOURS.items():
        if record.states[state]:
            wide = round(inner.width * record.states[state] / record.steps)
            image[inner.y + 26 : inner.y + 34, x : min(x + max(wide - 2, 2), inner.right)] = colour
            x += wide
    for state in reversed(theme.STATE_COLOURS):
        if record.states[state]:
            said = f"{state} {record.states[state]}"
            wide = text.put(image, said, (legend, inner.y + 55), 12, theme.STATE_COLOURS[state], align="right")
            legend -= wide + 14


def _draw_latency(image: Image, rect: Rect, record: Record) -> None:
    total = np.array(record.latency_ms.get("total", [0.0]))
    text.put(image, "Latency per step", (rect.x, rect.y + 11), 14, theme.SOFT, weight=text.MEDIUM)
    for share, column in zip((50, 95, 99), rect.columns(3, theme.GAP), strict=True):
        value = f"{np.percentile(total, share):.1f}"
        wide = text.put(image, value, (column.x, rect.y + 50), 26, theme.TEXT, weight=text.BOLD)
        text.put(image, "ms", (column.x + wide + 4, rect.y + 50), 13, theme.FAINT)
        text.put(image, f"p{share}", (column.x, rect.y + 68), 12, theme.FAINT)
    _draw_histogram(image, Rect(rect.x, rect.y + 86, rect.width, 74), total)
    _draw_stages(image, rect, record, float(total.mean()))


def _draw_stages(image: Image, rect: Rect, record: Record, total_ms: float) -> None:
    """Means, because means add up to the mean of the whole and medians do not."""
    means = {stage: float(np.mean(ms)) for stage, ms in record.latency_ms.items() if stage != "total"}
    top = rect.bottom - 18 * len(means)
    text.put(image, f"mean {total_ms:.1f} ms, of which", (rect.x, top), 12, theme.FAINT)
    for number, (stage, mean_ms) in enumerate(means.items(), start=1):
        y = top + 18 * number
        text.put(image, stage, (rect.x, y), 12, theme.SOFT)
        draw.bar(image, Rect(rect.x + 80, y - 6, rect.width - 144, 4), mean_ms / max(total_ms, 1e-9), theme.SOFT)
        text.put(image, f"{mean_ms:.1f} ms", (rect.right, y), 12, theme.SOFT, align="right")


def _draw_histogram(image: Image, rect: Rect, values_ms: NDArray[np.float64]) -> None:
    """How often which latency; the range ends at the 99.5th percentile, lest one outlier flatten it."""
    low, high = float(values_ms.min()), float(np.percentile(values_ms, 99.5))
    low, high = max(0.0, low - 0.1 * (high - low)), high + 1e-3
    counts, _ = np.histogram(np.minimum(values_ms, high), bins=36, range=(low, high))
    for bin_rect, count in zip(rect._replace(height=rect.height - 20).columns(36, 2), counts, strict=True):
        tall = max(round((bin_rect.height - 4) * count / max(counts.max(), 1)), 2)
        if count:
            draw.card(image, bin_rect._replace(y=bin_rect.bottom - tall, height=tall), theme.SOFT, 2)
    image[rect.bottom - 20, rect.x : rect.right] = theme.LINE
    text.put(image, f"{low:.1f} ms", (rect.x, rect.bottom - 4), 11, theme.FAINT)
    text.put(image, f"{high:.1f} ms", (rect.right, rect.bottom - 4), 11, theme.FAINT, align="right")


def _draw_task(image: Image, rect: Rect, task: Task, record: Record, truth: str | None, colour: Colour) -> None:
    """The last answer, whether it is right, and below it every class over time."""
    assert record.last is not None
    now = record.last.tasks[task.name]
    text.put(image, task.title, (rect.x, rect.y + 11), 15, colour, weight=text.MEDIUM)
    label = now.label if now.valid and now.label is not None else "no answer"
    text.put(image, label, (rect.x, rect.y + 50), 30, theme.TEXT if now.valid else theme.FAINT, weight=text.BOLD)
    if now.probability is not None:
        percent = f"{now.probability * 100:.0f} %"
        text.put(image, percent, (rect.right, rect.y + 50), 30, colour, align="right")
    _draw_verdict(image, (rect.x, rect.y + 80), now, truth, rect.width)
    plot = Rect(rect.x, rect.y + 104, rect.width, rect.height - 104 - 22)
    _draw_classes(image, plot, task, record, now, truth, colour)
    axis = Rect(rect.x + 126, rect.bottom, rect.width - 126 - 52, 0)
    text.put(image, "0 s", (axis.x, axis.y), 12, theme.FAINT)
    text.put(image, f"{record.span_s:.1f} s", (axis.right, axis.y), 12, theme.FAINT, align="right")


def _draw_verdict(image: Image, at: tuple[int, int], now: TaskResult, truth: str | None, room_px: int) -> None:
    if truth is None:
        text.put(image, text.fit(now.reason, 14, room_px), at, 14, theme.FAINT)
        return
    right = now.label == truth
    mark, colour = (draw.tick, theme.RIGHT) if right else (draw.cross, theme.WRONG)
    mark(image, (at[0] + 7, at[1] - 5), 7, colour)
    text.put(image, "as labelled" if right else f"labelled {truth}", (at[0] + 24, at[1]), 14, colour)


def _draw_classes(
    image: Image, rect: Rect, task: Task, record: Record, now: TaskResult, truth: str | None, colour: Colour
) -> None:
    """A row per class: its name, its probability over time, its last value. The true one carries a mark."""
    times = np.array(record.times_s) - record.times_s[0]
    shares = times / max(record.span_s, 1e-9)
    values = record.probabilities(task.name)  # (N, K)
    for number, (label, row) in enumerate(zip(task.labels, rect.rows(task.classes, 10), strict=True)):
        wins = now.valid and label == now.label
        middle = row.y + row.height // 2 + 5
        weight, ink = (text.MEDIUM, theme.TEXT) if wins else (text.REGULAR, theme.SOFT)
        text.put(image, text.fit(label, 13, 118, weight), (row.x, middle), 13, ink, weight=weight)
        if label == truth:
            draw.card(image, Rect(row.x - 10, row.y + row.height // 2 - 8, 3, 16), theme.RIGHT, 1)
        box = Rect(row.x + 126, row.y, row.width - 126 - 52, row.height)
        draw.card(image, box, mix(theme.RAISED, theme.CARD, 0.5), 3)
        draw.curve(image, box, shares, values[:, number], colour if wins else theme.SOFT)
        share = now.probabilities.get(label)
        said = "–" if share is None else f"{share * 100:.0f} %"
        text.put(image, said, (row.right, middle), 13, ink, weight=weight, align="right")
