"""Shapes that the pictures are made of. All of them draw into the image they are given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from codriver.arrays import Image
from codriver.view import text
from codriver.view.theme import BACKGROUND, CARD, FAINT, RADIUS, RAISED, SOFT, Colour, Rect, mix

SUBPIXEL = 4  # OpenCV's fixed-point shift: sixteenths of a pixel


def canvas(width: int, height: int) -> Image:
    """(height, width, 3) uint8 in the theme's background."""
    return np.full((height, width, 3), BACKGROUND, dtype=np.uint8)


def card(image: Image, rect: Rect, colour: Colour = CARD, radius: int = RADIUS) -> None:
    """A filled rectangle with round corners, exact to the pixel at any size."""
    if rect.width < 1 or rect.height < 1:
        return
    radius = min(radius, rect.width // 2, rect.height // 2)
    image[rect.y + radius : rect.bottom - radius, rect.x : rect.right] = colour
    image[rect.y : rect.bottom, rect.x + radius : rect.right - radius] = colour
    if radius > 0:
        for part, inside in _corners(image, rect, radius):
            part[:] = (np.array(colour) * inside + part * (1 - inside) + 0.5).astype(np.uint8)


def bar(image: Image, rect: Rect, share: float, colour: Colour) -> None:
    """A track, filled from the left by `share` of its width."""
    card(image, rect, RAISED, rect.height // 2)
    filled = round(rect.width * min(max(share, 0.0), 1.0))
    if filled >= 2:
        card(image, rect._replace(width=max(filled, rect.height)), colour, rect.height // 2)


def line(image: Image, points: NDArray[np.float64], colour: Colour, thickness: int = 1) -> None:
    """A smooth line through points (N, 2), placed to a sixteenth of a pixel."""
    import cv2

    fixed = np.round(points * (1 << SUBPIXEL)).astype(np.int32)
    cv2.polylines(image, [fixed], False, colour, thickness, cv2.LINE_AA, SUBPIXEL)


def area(image: Image, points: NDArray[np.float64], bottom: float, colour: Colour, opacity: float) -> None:
    """Fill between a line (N, 2) and `bottom`, letting the ground shine through."""
    import cv2

    ring = np.vstack([points, [[points[-1, 0], bottom], [points[0, 0], bottom]]])
    x, y = np.floor(ring.min(axis=0)).astype(int)
    right, low = np.ceil(ring.max(axis=0)).astype(int) + 1
    part = image[y:low, x:right]
    if part.size == 0:
        return
    over = part.copy()
    fixed = np.round((ring - (x, y)) * (1 << SUBPIXEL)).astype(np.int32)
    cv2.fillPoly(over, [fixed], colour, cv2.LINE_AA, SUBPIXEL)
    cv2.addWeighted(over, opacity, part, 1.0 - opacity, 0.0, dst=part)


def curve(
    image: Image,
    box: Rect,
    shares: NDArray[np.float64],
    values: NDArray[np.float64],
    colour: Colour,
    *,
    thickness: int = 2,
    opacity: float = 0.25,
) -> None:
    """Values 0..1, (N,), at shares of the box's width, with gaps where they are NaN. opacity: of the area below."""
    points = np.stack([box.x + shares * (box.width - 1), box.bottom - 1 - values * (box.height - 3)], axis=1)
    edges = np.flatnonzero(np.diff(np.isnan(values)))
    for run in np.split(points, edges + 1):
        if len(run) > 1 and not np.isnan(run[0, 1]):
            if opacity > 0:
                area(image, run, box.bottom - 1.0, colour, opacity)
            line(image, run, colour, thickness)


def tick(image: Image, centre: tuple[int, int], size: int, colour: Colour) -> None:
    x, y = centre
    corners = [[x - size, y], [x - size * 0.25, y + size * 0.7], [x + size, y - size * 0.8]]
    line(image, np.array(corners), colour, 2)


def cross(image: Image, centre: tuple[int, int], size: int, colour: Colour) -> None:
    x, y, s = *centre, size * 0.75
    line(image, np.array([[x - s, y - s], [x + s, y + s]]), colour, 2)
    line(image, np.array([[x - s, y + s], [x + s, y - s]]), colour, 2)


def place(image: Image, rect: Rect, picture: Image, dim: float = 1.0) -> tuple[float, int, int]:
    """Fit a picture of any shape into the rectangle, keeping its aspect; return its scale and offset."""
    import cv2

    height, width = picture.shape[:2]
    scale = min(rect.width / width, rect.height / height)
    if max(rect.width / width, rect.height / height) < scale * 1.02:
        scale = max(rect.width / width, rect.height / height)  # no hairlines for half a pixel
    size = (min(max(1, round(width * scale)), rect.width), min(max(1, round(height * scale)), rect.height))
    x, y = rect.x + (rect.width - size[0]) // 2, rect.y + (rect.height - size[1]) // 2
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    if dim < 1.0:
        small = cv2.addWeighted(small, dim, np.full_like(small, CARD), 1.0 - dim, 0.0)
    if size != (rect.width, rect.height):
        image[rect.y : rect.bottom, rect.x : rect.right] = CARD
    image[y : y + size[1], x : x + size[0]] = small
    return scale, x, y


def no_signal(image: Image, rect: Rect, why: str) -> None:
    """A calm tile in place of a picture that is not there: hatched, and saying so."""
    image[rect.y : rect.bottom, rect.x : rect.right] = _hatch(rect.width, rect.height)
    middle = rect.x + rect.width // 2, rect.y + rect.height // 2
    size = 22 if rect.height > 300 else 15
    label = "no signal"
    wide = text.width(label, size, text.MEDIUM)
    card(image, Rect(middle[0] - wide // 2 - 14, middle[1] - size, wide + 28, size * 2), CARD, size)
    text.put(image, label, (middle[0], middle[1] + size // 3), size, SOFT, weight=text.MEDIUM, align="center")
    small = 11 if size == 15 else 14
    for number, part in enumerate(text.wrap(why, small, rect.width - 40, 2)):
        at = (middle[0], middle[1] + size + 18 + number * (small + 5))
        text.put(image, part, at, small, FAINT, align="center")


@lru_cache(maxsize=16)
def _hatch(width: int, height: int) -> Image:
    """(height, width, 3) uint8: slanted stripes, barely apart in tone."""
    import cv2

    tile = np.full((height, width, 3), CARD, dtype=np.uint8)
    stripe = mix(RAISED, CARD, 0.6)
    for x in range(-height, width, 18):
        cv2.line(tile, (x, height), (x + height, 0), stripe, 6, cv2.LINE_AA)
    return tile


def round_corners(image: Image, rect: Rect, radius: int = RADIUS, ground: Colour = BACKGROUND) -> None:
    """Cut a picture's corners back to the ground."""
    for part, inside in _corners(image, rect, radius):
        part[:] = (part * inside + np.array(ground) * (1 - inside) + 0.5).astype(np.uint8)


def _corners(image: Image, rect: Rect, radius: int) -> Iterator[tuple[Image, NDArray[np.float32]]]:
    """Each corner's pixels, to be written to, and the share of each of them that lies inside the arc."""
    inside = _corner(radius)[:, :, None]
    for down in (False, True):
        for along in (False, True):
            y = rect.bottom - radius if down else rect.y
            x = rect.right - radius if along else rect.x
            yield image[y : y + radius, x : x + radius], inside[:: -1 if down else 1, :: -1 if along else 1]


@lru_cache(maxsize=32)
def _corner(radius: int) -> NDArray[np.float32]:
    """(radius, radius) share of each pixel of the top left corner that lies inside the arc."""
    fine = (np.arange(radius * 8) + 0.5) / 8
    inside = np.hypot(fine[:, None] - radius, fine[None, :] - radius) <= radius
    share: NDArray[np.float32] = inside.reshape(radius, 8, radius, 8).mean(axis=(1, 3), dtype=np.float32)
    return share


def chip(image: Image, at: tuple[int, int], label: str, size_px: int, colours: Sequence[Colour]) -> int:
    """A small label on its own ground, top left corner at `at`; colours: ground, text. Returns its width."""
    wide = text.width(label, size_px, text.MEDIUM) + size_px
    high = round(size_px * 1.7)
    card(image, Rect(at[0], at[1], wide, high), colours[0], high // 2)
    baseline = at[1] + (high + round(size_px * 0.72)) // 2
    text.put(image, label, (at[0] + size_px // 2, baseline), size_px, colours[1], weight=text.MEDIUM)
    return wide
