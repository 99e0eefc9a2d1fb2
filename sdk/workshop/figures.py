"""Pictures of pages: matplotlib, as SVG inside the page. It carries its own letters and prints sharp on any machine.

Colours are Okabe and Ito's, which colour-blind people tell apart; nothing is said by colour alone.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from workshop.resampling import Interval

INK, SOFT, GRID = "#1b2430", "#5b6675", "#e4e8ee"
BLUE, VERMILLION, GREEN, PURPLE, AMBER, SKY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"
COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, AMBER, SKY)


def svg(figure: Figure) -> bytes:
    """Without a date and with the same ids, so that equal figures are equal files."""
    buffer = io.BytesIO()
    fitted = figure.get_layout_engine() is not None  # else its letters may stick out, and it is drawn twice to see
    with matplotlib.rc_context({"svg.hashsalt": "codriver"}):
        figure.savefig(buffer, format="svg", bbox_inches=None if fitted else "tight", metadata={"Date": None})
    return buffer.getvalue()


def data_uri(figure: Figure) -> str:
    """The figure for the page itself: no second file, no network."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg(figure)).decode("ascii")


def blank(width_in: float, height_in: float) -> Figure:
    """An empty figure, 72 px to the inch on a page."""
    return Figure(figsize=(width_in, height_in), layout="constrained")


def dress(axes: Any, *, title: str = "", x: str = "", y: str = "", grid: str = "both") -> None:
    """What all plots look like. x, y: the axes' names with their units. grid: both, x, y or none."""
    axes.set_title(title, fontsize=10, color=INK, loc="left")
    axes.set_xlabel(x, fontsize=8.5, color=SOFT)
    axes.set_ylabel(y, fontsize=8.5, color=SOFT)
    axes.tick_params(labelsize=8, length=2, color=SOFT, labelcolor=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(SOFT)
    axes.set_axisbelow(True)
    if grid != "none":
        axes.grid(axis=grid, color=GRID, linewidth=0.8)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a picture of intervals."""

    name: str
    found: Sequence[tuple[float, Interval] | None]  # by panel: a share and its interval; None: there is none
    colour: str


def interval_figure(titles: Sequence[str], lines: Sequence[Line], reference: int | None, unit: str) -> Figure:
    """A panel for each title; in it each line's share in percent as a dot, its interval as a whisker.

    reference: the line whose shares are drawn as dotted lines to compare with.
    """
    figure = blank(12, 0.9 + 0.3 * len(lines))
    panels = figure.subplots(1, len(titles), sharey=True, squeeze=False)[0]
    for k, (axes, title) in enumerate(zip(panels, titles, strict=True)):
        for place, line in enumerate(lines):
            if (some := line.found[k]) is not None:
                _whisker(axes, some, place, line.colour)
        if reference is not None and (some := lines[reference].found[k]) is not None:
            axes.axvline(100 * some[0], color=SOFT, linewidth=0.9, linestyle=":")
        dress(axes, title=title, x=unit, grid="x")
        if axes.get_xlim()[1] > 100:  # no axis beyond what there is, but room for half a dot
            axes.set_xlim(right=100 + 0.03 * (100 - axes.get_xlim()[0]))
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
    panels[0].set_yticks(range(len(lines)), [short(line.name) for line in lines])
    panels[0].set_ylim(len(lines) - 0.5, -0.5)
    return figure


def _whisker(axes: Any, some: tuple[float, Interval], place: int, colour: str) -> None:
    value, (low, high) = some
    axes.plot([100 * low, 100 * high], [place, place], color=colour, linewidth=2.2, solid_capstyle="round")
    axes.plot([100 * value], [place], "o", color=colour, markersize=6)


def short(name: str, most: int = 40) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def ink_on(colour: str) -> str:
    """What letters on this colour are written in."""
    red, green, blue = to_rgb(colour)
    return INK if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 else "white"
