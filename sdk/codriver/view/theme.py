"""Colours and distances. One dark theme, because footage reads best on it; one accent per task."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

Colour = tuple[int, int, int]  # B, G, R, as OpenCV takes them


def bgr(text: str) -> Colour:
    """'#RRGGBB' -> (B, G, R)."""
    red, green, blue = (int(text[at : at + 2], 16) for at in (1, 3, 5))
    return blue, green, red


def mix(colour: Colour, other: Colour, share: float) -> Colour:
    """`share` of the first colour, the rest of the other."""
    blue, green, red = (round(a * share + b * (1 - share)) for a, b in zip(colour, other, strict=True))
    return blue, green, red


BACKGROUND = bgr("#0D1014")
CARD = bgr("#161B22")
RAISED = bgr("#212833")  # tracks of bars, empty slots
LINE = bgr("#2B3440")
TEXT = bgr("#EDF1F6")
SOFT = bgr("#A3AEBC")  # second things
FAINT = bgr("#6B7685")  # third things

ACCENTS = tuple(bgr(text) for text in ("#F2B45C", "#F07F92", "#53C8B2", "#74A9FF", "#B79CF0", "#9CCB6B"))
STATE_COLOURS = {"init": bgr("#8A96A5"), "ok": bgr("#5CC98B"), "degraded": bgr("#F2B45C"), "invalid": bgr("#EF6B6B")}
RIGHT = STATE_COLOURS["ok"]
WRONG = STATE_COLOURS["invalid"]

GAP = 8  # between things that belong together
MARGIN = 16  # between things that do not
RADIUS = 8


def accent(index: int) -> Colour:
    return ACCENTS[index % len(ACCENTS)]


class Rect(NamedTuple):
    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        return self.x + self.width

    @property
    def bottom(self) -> int:
        return self.y + self.height

    def inset(self, by: int) -> Rect:
        return Rect(self.x + by, self.y + by, self.width - 2 * by, self.height - 2 * by)

    def columns(self, count: int, gap: int) -> list[Rect]:
        """Equal columns whose edges fall on whole pixels and together fill the rectangle."""
        edges = [self.x + round(i * (self.width + gap) / count) for i in range(count + 1)]
        return [Rect(a, self.y, b - a - gap, self.height) for a, b in pairwise(edges)]

    def rows(self, count: int, gap: int) -> list[Rect]:
        edges = [self.y + round(i * (self.height + gap) / count) for i in range(count + 1)]
        return [Rect(self.x, a, self.width, b - a - gap) for a, b in pairwise(edges)]
