"""The picture of one instant: four cameras, four answers and how they came about. 1280 x 720."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from codriver.arrays import Image
from codriver.percept import Percept, TaskResult, ViewStatus
from codriver.sources.base import FrameSet
from codriver.tasks import AIDE, VIEWS, Task
from codriver.view import draw, text, theme
from codriver.view.cameras import draw_camera, status_text
from codriver.view.dense import draw_results, overlaid
from codriver.view.theme import Colour, Rect, accent, mix

WIDTH, HEIGHT = 1280, 720
HEADER = Rect(theme.MARGIN, 0, WIDTH - 2 * theme.MARGIN, 52)
BIG = Rect(theme.MARGIN, 52, 832, 468)  # 16:9, as AIDE's cameras are
SMALL = Rect(theme.MARGIN, 528, 832, 152)
FOOTER = Rect(theme.MARGIN, 680, 832, 40)
PANEL = Rect(864, 52, 400, 652)
SLOTS = 16  # of the context, for its meter
UNKNOWN = ViewStatus(status="never", age_s=None, reason="not in this bundle")


@dataclass
class LiveView:
    """Renders instants one after the other; remembers each camera's newest frame and the last answers."""

    tasks: Sequence[Task] = AIDE.tasks
    views: Sequence[str] = VIEWS
    history_s: float = 6.0  # that the strips show
    swap_colours: bool = False  # frames are RGB, and drawing is BGR
    mapped: str | None = None  # the view that maps and boxes are of: they are drawn over it, and it is the large one
    _newest: dict[str, Image] = field(default_factory=dict)
    _history: deque[Percept] = field(default_factory=deque)
    _start_s: float = 0.0

    def render(self, at: FrameSet, percept: Percept) -> Image:
        """Return a new (720, 1280, 3) uint8 BGR picture of this instant."""
        for view, frame in at.images.items():
            self._newest[view] = frame[..., ::-1] if self.swap_colours else frame
        self._remember(percept)
        image = draw.canvas(WIDTH, HEIGHT)
        self._draw_header(image, percept)
        self._draw_cameras(image, at, percept)
        _draw_footer(image, percept)
        rects = PANEL.rows(max(len(self.tasks) + bool(percept.dense), 1), theme.GAP)
        if percept.dense:
            draw_results(image, rects[-1], percept.dense)
        for index, (task, rect) in enumerate(zip(self.tasks, rects, strict=False)):
            draw.card(image, rect)
            past = Past(self.history_s, [(p.t, p.tasks[task.name]) for p in self._history])
            _draw_task(image, rect, task, past, accent(index))
        return image

    def _remember(self, percept: Percept) -> None:
        if self._history and percept.t <= self._history[-1].t:
            self._history.clear()  # a new clip: its clock starts again
        if not self._history:
            self._start_s = percept.t
        self._history.append(percept)
        while self._history[0].t < percept.t - self.history_s:
            self._history.popleft()

    def _draw_header(self, image: Image, percept: Percept) -> None:
        wide = text.put(image, "codriver", (HEADER.x, 33), 20, theme.TEXT, weight=text.BOLD)
        text.put(image, text.fit(percept.model, 13, 300), (HEADER.x + wide + 14, 33), 13, theme.FAINT)
        colour = theme.STATE_COLOURS.get(percept.state, theme.SOFT)
        pill = text.width(percept.state, 13, text.MEDIUM) + 13
        colours = mix(colour, theme.BACKGROUND, 0.22), colour
        draw.chip(image, (HEADER.right - pill, 16), percept.state, 13, colours)
        clock = f"step {percept.sequence} · {percept.t - self._start_s:.2f} s"
        text.put(image, clock, (BIG.right, 33), 13, theme.SOFT, align="right")
        room = HEADER.right - pill - 12 - PANEL.x
        text.put(image, text.fit(_why(percept), 12, room), (PANEL.x, 33), 12, theme.SOFT)

    def _draw_cameras(self, image: Image, at: FrameSet, percept: Percept) -> None:
        first, *others = sorted(self.views, key=lambda view: view != self.mapped)
        tiles = {first: BIG, **dict(zip(others, SMALL.columns(max(len(others), 1), theme.GAP), strict=False))}
        for view, rect in tiles.items():
            status = percept.views.get(view, UNKNOWN)
            if status.status != "ok" and view in at.absent:
                status = ViewStatus(status=status.status, age_s=status.age_s, reason=at.absent[view])
            driver = percept.driver if view == "incar" and view in at.frames else None
            frame = self._newest.get(view)
            if frame is not None and view == self.mapped:
                frame = overlaid(frame, percept.dense)
            draw_camera(image, rect, view, frame, status, driver=driver)


@dataclass(frozen=True)
class Past:
    """One task's answers of the last seconds, the newest last."""

    span_s: float
    results: Sequence[tuple[float, TaskResult]]


def _why(percept: Percept) -> str:
    """What is the matter, in one line; nothing while all is well."""
    if percept.state == "ok":
        return ""
    troubled = [status_text(view, status) for view, status in percept.views.items() if status.status != "ok"]
    if percept.state == "init" and not troubled:
        return "filling its context"
    reasons = [result.reason for result in (*percept.tasks.values(), *percept.dense.values()) if result.reason]
    return (troubled or reasons or [""])[0]


def _draw_footer(image: Image, percept: Percept) -> None:
    """How long the step took, stage by stage, and how much of the context is filled."""
    baseline = FOOTER.y + 26
    x = FOOTER.x
    total = f"{percept.latency_ms.get('total', 0.0):.1f} ms"
    x += text.put(image, total, (x, baseline), 15, theme.TEXT, weight=text.MEDIUM)
    for stage, value_ms in percept.latency_ms.items():
        if stage != "total":
            x += 16
            x += text.put(image, stage, (x, baseline), 12, theme.FAINT) + 6
            x += text.put(image, f"{value_ms:.1f}", (x, baseline), 12, theme.SOFT)
    filled = round(percept.context * SLOTS)
    left = FOOTER.right - SLOTS * 9 + 3
    text.put(image, "context", (left - 10, baseline), 12, theme.FAINT, align="right")
    for slot in range(SLOTS):
        colour = theme.SOFT if slot >= SLOTS - filled else theme.RAISED
        draw.card(image, Rect(left + slot * 9, baseline - 11, 6, 13), colour, 2)


def _draw_task(image: Image, rect: Rect, task: Task, past: Past, colour: Colour) -> None:
    """One card: on the left the answer and its recent past, on the right every class."""
    now = past.results[-1][1]
    inner = rect.inset(14)
    left = inner._replace(width=184)
    text.put(image, task.title, (left.x, left.y + 9), 12, colour, weight=text.MEDIUM)
    if now.valid and now.label is not None and now.probability is not None:
        _draw_answer(image, left, now.label, now.probability, colour)
    else:
        text.put(image, "no answer", (left.x, left.y + 39), 22, theme.FAINT, weight=text.MEDIUM)
        for number, part in enumerate(text.wrap(now.reason, 11, left.width, 2)):
            text.put(image, part, (left.x, left.y + 57 + 14 * number), 11, theme.FAINT)
    _draw_strip(image, Rect(left.x, left.y + 74, left.width, left.bottom - left.y - 85), task, past, colour)
    right = Rect(left.right + 22, inner.y, inner.right - left.right - 22, inner.height)
    _draw_classes(image, right, task, now, colour)


def _draw_answer(image: Image, left: Rect, label: str, probability: float, colour: Colour) -> None:
    size = 22
    while text.width(label, size, text.BOLD) > left.width and size > 14:
        size -= 1
    label = text.fit(label, size, left.width, text.BOLD)
    text.put(image, label, (left.x, left.y + 39), size, theme.TEXT, weight=text.BOLD)
    draw.bar(image, Rect(left.x, left.y + 54, left.width - 48, 6), probability, colour)
    percent = f"{probability * 100:.0f} %"
    text.put(image, percent, (left.right, left.y + 62), 14, theme.TEXT, weight=text.MEDIUM, align="right")


def _draw_classes(image: Image, rect: Rect, task: Task, now: TaskResult, colour: Colour) -> None:
    high = min(18.5, rect.height / task.classes)
    for number, label in enumerate(task.labels):
        middle = round(rect.y + 4 + number * high)
        wins = now.valid and label == now.label
        weight = text.MEDIUM if wins else text.REGULAR
        ink = theme.TEXT if wins else theme.SOFT
        text.put(image, text.fit(label, 11, 98, weight), (rect.x, middle + 4), 11, ink, weight=weight)
        share = now.probabilities.get(label, 0.0)
        draw.bar(image, Rect(rect.x + 102, middle - 2, rect.width - 102, 4), share, colour if wins else theme.FAINT)


def _draw_strip(image: Image, rect: Rect, task: Task, past: Past, colour: Colour) -> None:
    """Probabilities of the last seconds: the class that leads now in colour, the others grey, or gaps."""
    image[rect.bottom - 1, rect.x : rect.right] = theme.LINE
    image[rect.y, rect.x : rect.right] = mix(theme.LINE, theme.CARD, 0.5)
    text.put(image, f"-{past.span_s:.0f} s", (rect.x, rect.bottom + 11), 10, theme.FAINT)
    text.put(image, "now", (rect.right, rect.bottom + 11), 10, theme.FAINT, align="right")
    now_s, now = past.results[-1]
    shares = np.array([1.0 - (now_s - t) / past.span_s for t, _ in past.results])
    for label in sorted(task.labels, key=lambda name: name == now.label):
        values = np.array([r.probabilities.get(label, 0.0) if r.valid else np.nan for _, r in past.results])
        if now.valid and label == now.label:
            draw.curve(image, rect, shares, values, colour, opacity=0.18)
        else:
            draw.curve(image, rect, shares, values, mix(theme.FAINT, theme.CARD, 0.5), thickness=1, opacity=0.0)
