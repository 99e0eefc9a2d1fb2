"""Text: real type with OpenCV 5, its old stroke font with OpenCV 4 (JetPack). Only this file knows both."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from codriver.arrays import Image
from codriver.view.theme import Colour

REGULAR, MEDIUM, BOLD = 400, 500, 650
ASCII = str.maketrans({"·": "-", "–": "-", "—": "-", "×": "x", "…": "..", "’": "'", "\u00a0": " "})


def put(
    image: Image,
    text: str,
    at: tuple[int, int],
    size_px: int,
    colour: Colour,
    *,
    weight: int = REGULAR,
    align: str = "left",
) -> int:
    """Write text with its baseline's start at `at` (or middle or end: align), return its width in pixels."""
    import cv2

    wide = width(text, size_px, weight)
    x, y = at
    x -= {"left": 0, "center": wide // 2, "right": wide}[align]
    face = _face()
    if face is not None:
        cv2.putText(image, text, (x, y), colour, face, size_px, weight)
    else:
        scale, thickness = _stroke(size_px, weight)
        plain, font = text.translate(ASCII), cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(image, plain, (x, y), font, scale, colour, thickness, cv2.LINE_AA)
    return wide


@lru_cache(maxsize=4096)
def width(text: str, size_px: int, weight: int = REGULAR) -> int:
    """Pixels from the start of the first letter to the end of the last."""
    import cv2

    face = _face()
    if face is not None:
        x, _, wide, _ = cv2.getTextSize((0, 0), text, (0, 0), face, size_px, weight)
        return int(x + wide)
    scale, thickness = _stroke(size_px, weight)
    (wide, _), _ = cv2.getTextSize(text.translate(ASCII), cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    return int(wide)


@lru_cache(maxsize=4096)
def fit(text: str, size_px: int, room_px: int, weight: int = REGULAR) -> str:
    """The text, or its beginning and '…' if it is wider than the room."""
    if width(text, size_px, weight) <= room_px:
        return text
    while text and width(text + "…", size_px, weight) > room_px:
        text = text[:-1]
    return text.rstrip() + "…"


def wrap(text: str, size_px: int, room_px: int, lines: int) -> list[str]:
    """Break at spaces into at most `lines` lines; the last one takes the rest, shortened."""
    broken: list[str] = []
    words = text.split()
    while words and len(broken) < lines - 1:
        count = 1
        while count < len(words) and width(" ".join(words[: count + 1]), size_px) <= room_px:
            count += 1
        broken.append(fit(" ".join(words[:count]), size_px, room_px))
        words = words[count:]
    return [*broken, fit(" ".join(words), size_px, room_px)] if words else broken


@lru_cache(maxsize=1)
def _face() -> Any:
    import cv2

    return cv2.FontFace("sans") if hasattr(cv2, "FontFace") else None


def _stroke(size_px: int, weight: int) -> tuple[float, int]:
    """Scale and line width with which the stroke font fills about the room that the real one does."""
    return size_px / 33.0, 2 if weight >= BOLD and size_px >= 18 else 1
