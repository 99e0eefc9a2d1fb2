"""Edges judged as contours: thinned, and paired one to one with the truth's within a distance.

What an official tool does (BSDS, Dollar's edges toolbox, SEISM), written from its definition; theirs is GPL or MATLAB.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]  # (h, w)
Ints = NDArray[np.int64]

ACROSS_PX, FACTOR = (
    1,
    1.01,
)  # an edge is kept unless 1.01 times it is weaker than its neighbour across, at this distance
SMOOTH_PX = 4  # radius of the triangle by which an edge's direction is told
FADE_PX = 5  # at the picture's border answers fade away
TINY = 1e-5


def suppressed(edges: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w) likelihoods of an edge -> the same, 0 where a neighbour across the edge is likelier."""
    height, width = edges.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle = direction(edges)
    kept = edges.copy()
    for step in (-ACROSS_PX, ACROSS_PX):
        at_x, at_y = x + step * np.cos(angle), y + step * np.sin(angle)
        beside = cv2.remap(edges, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        kept[edges * np.float32(FACTOR) < beside] = 0
    fades = [np.minimum(np.minimum(np.arange(n), np.arange(n)[::-1]) / FADE_PX, 1) for n in (height, width)]
    return np.asarray(kept * np.outer(*fades), dtype=np.float32)


def direction(edges: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w) angle across the edge in radians, 0 to pi, x to the right and y down.

    As the edges toolbox has it, with its quirk: of an exactly level edge the mixed derivative has no sign, so it is
    taken for upright, and thinning alone narrows it.
    """
    rise = np.arange(1, SMOOTH_PX + 2, dtype=np.float32)
    triangle = np.concatenate([rise, rise[-2::-1]]) / (SMOOTH_PX + 1) ** 2
    smooth = cv2.sepFilter2D(edges, cv2.CV_32F, triangle, triangle, borderType=cv2.BORDER_REFLECT)
    down, right = np.gradient(smooth)
    right_down, right_right = np.gradient(right)
    down_down = np.gradient(down, axis=0)
    return np.asarray(np.mod(np.arctan(down_down * np.sign(-right_down) / (right_right + TINY)), np.pi), np.float32)


RING = np.array([[1, 2, 4], [128, 0, 8], [64, 32, 16]], dtype=np.float32)  # a bit for each neighbour, clockwise


def _removable(odd: bool) -> NDArray[np.uint8]:
    """(256,) by the neighbours' bits: 0 for a pixel that half a pass of Guo and Hall's thinning takes away, else 1."""
    nw, n, ne, e, se, s, sw, w = (np.arange(256) >> bit & 1 for bit in range(8))
    runs = (1 - n) * (ne | e) + (1 - e) * (se | s) + (1 - s) * (sw | w) + (1 - w) * (nw | n)
    thick = np.minimum((nw | n) + (ne | e) + (se | s) + (sw | w), (n | ne) + (e | se) + (s | sw) + (w | nw))
    spared = (s | sw | (1 - nw)) & w if odd else (n | ne | (1 - se)) & e
    return np.where((runs == 1) & (thick >= 2) & (thick <= 3) & (spared == 0), 0, 1).astype(np.uint8)


HALVES = (_removable(False), _removable(True))


def thinned(mask: Mask) -> Mask:
    """Lines one pixel wide: Guo and Hall's two-step thinning (Communications of the ACM 32(3), 1989), to the end."""
    pixels = mask.astype(np.uint8)
    left, before = cv2.countNonZero(pixels), -1
    while left != before:
        for kept in HALVES:
            ring = cv2.filter2D(pixels, cv2.CV_8U, RING, borderType=cv2.BORDER_CONSTANT)
            pixels &= cv2.LUT(ring, kept)
        left, before = cv2.countNonZero(pixels), left
    return pixels.astype(bool)


@dataclass
class Pairing:
    """The largest one-to-one pairing of the truth's pixels with answered ones within a distance.

    Found by shortest alternating paths, from all unpaired pixels of the truth at once; the paths of one round share no
    pixel. A pairing is kept from one answer to the next, as most of it stays.
    """

    truth: Mask
    candidates: Mask  # every pixel that any of the answers may hold
    reach_px: float
    starts: Ints = field(init=False)  # (n + 1,) of each of the truth's n pixels in `near`
    near: Ints = field(init=False)  # (pairs,) candidates within reach, numbered as in `places`
    places: Ints = field(init=False)  # (m,) of the candidates within reach of anything, flat
    of_truth: Ints = field(init=False)  # (n,) candidate that a pixel is paired with, -1 none
    of_candidate: Ints = field(init=False)  # (m,) the other way round

    def __post_init__(self) -> None:
        whole = int(self.reach_px)
        dy, dx = np.mgrid[-whole : whole + 1, -whole : whole + 1]
        inside = dx**2 + dy**2 <= self.reach_px**2
        numbers = np.where(self.candidates, np.arange(self.truth.size).reshape(self.truth.shape), -1)
        numbers = np.pad(numbers, whole, constant_values=-1)
        rows, columns = np.nonzero(self.truth)
        found = numbers[rows[:, None] + whole + dy[inside], columns[:, None] + whole + dx[inside]]
        self.starts = np.concatenate([[0], np.cumsum((found >= 0).sum(axis=1))])
        self.places, self.near = np.unique(found[found >= 0], return_inverse=True)
        self.of_truth, self.of_candidate = np.full(len(rows), -1), np.full(len(self.places), -1)

    def count(self, answered: Mask) -> int:
        """Pairs of the largest pairing with this answer, whose pixels are all candidates."""
        here = answered.ravel()[self.places]
        gone = self.of_candidate[~here & (self.of_candidate >= 0)]
        self.of_truth[gone] = -1
        self.of_candidate[~here] = -1
        kept = here[self.near]
        starts = np.concatenate([[0], np.cumsum(kept)])[self.starts]
        near = self.near[kept]
        while self._lengthened(starts, near):
            pass
        return int((self.of_truth >= 0).sum())

    def _lengthened(self, starts: Ints, near: Ints) -> bool:
        """One round; False if there was no path left, which proves that the pairing is the largest."""
        n = len(self.of_truth)
        front = np.flatnonzero((self.of_truth < 0) & (starts[1:] > starts[:-1]))
        tree = np.full(n, -1)  # the unpaired pixel that a path began at
        tree[front] = front
        came_from = np.full(len(self.places), -1)  # pixel of the truth
        ends = np.full(n, -1)  # by the path's first pixel: the unpaired candidate at its end
        while len(front):
            origin, there = _edges(starts, near, front)
            new = came_from[there] < 0
            origin, there = origin[new], there[new]
            came_from[there] = origin  # where several reach one candidate, the last of them has it
            there = there[came_from[there] == origin]
            origin = came_from[there]
            partner = self.of_candidate[there]
            open_end = partner < 0
            ends[tree[origin[open_end]]] = there[open_end]
            going_on = ~open_end & (ends[tree[origin]] < 0)
            front = partner[going_on]
            tree[front] = tree[origin[going_on]]
        at = ends[ends >= 0]
        found = len(at) > 0
        while len(at):  # back along all paths, step by step, exchanging paired and unpaired
            origin = came_from[at]
            before = self.of_truth[origin]
            self.of_truth[origin], self.of_candidate[at] = at, origin
            at = before[before >= 0]
        return found


def _edges(starts: Ints, near: Ints, rows: Ints) -> tuple[Ints, Ints]:
    """All pairs of these pixels of the truth: (pixel, candidate), each (k,)."""
    counts = starts[rows + 1] - starts[rows]
    shift = starts[rows] - np.cumsum(counts) + counts
    return np.repeat(rows, counts), near[np.arange(counts.sum()) + np.repeat(shift, counts)]
