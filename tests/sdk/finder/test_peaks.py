"""Where a point is, by its logits, and how sure that is."""

from __future__ import annotations

import numpy as np
import pytest

from codriver.finder.peaks import peaks, read_sight
from codriver.finder_graph import BINS_X, BINS_Y, HIGH, LOW, POINTS


def bump(share: float, bins: int, height: float = 1.0, sigma: float = 1.5) -> np.ndarray:
    """(bins,) logits of a Gaussian around a share of the frame."""
    centres = LOW + (np.arange(bins) + 0.5) * (HIGH - LOW) / bins
    return np.log(height) - 0.5 * ((centres - share) / (sigma * (HIGH - LOW) / bins)) ** 2


@pytest.mark.parametrize("share", [0.1, 0.5, 0.503, 0.9137, -0.2, 1.2])
def test_a_peak_is_read_finer_than_a_bin(share: float) -> None:
    place, certainty = peaks(bump(share, BINS_X)[None].astype(np.float32))
    assert place[0] == pytest.approx(share, abs=0.05 / BINS_X) and certainty[0] > 0.98


def test_a_second_peak_takes_certainty_and_does_not_pull() -> None:
    both = np.logaddexp(bump(0.3, BINS_X, 0.7), bump(0.8, BINS_X, 0.3))
    place, certainty = peaks(both[None].astype(np.float32))
    assert place[0] == pytest.approx(0.3, abs=1e-3) and certainty[0] == pytest.approx(0.7, abs=0.02)


def test_logits_that_say_nothing_are_hardly_certain() -> None:
    _, certainty = peaks(np.zeros((1, BINS_Y), np.float32))
    assert certainty[0] < 0.1


def test_a_peak_at_the_edge_stays_inside() -> None:
    logits = np.zeros((2, BINS_Y), np.float32)
    logits[0, 0] = logits[1, -1] = 30.0
    place, certainty = peaks(logits)
    assert LOW < place[0] < LOW + 0.02 and HIGH - 0.02 < place[1] < HIGH and certainty.min() > 0.99


def test_a_sight_holds_boxes_of_two_corners_and_a_box_is_as_sure_as_its_worse_corner() -> None:
    x = np.tile(bump(0.5, BINS_X), (POINTS, 1))
    y = np.tile(bump(0.5, BINS_Y), (POINTS, 1))
    x[-4], x[-3] = bump(0.4, BINS_X), 0.0  # the face: its upper left corner, and a lower right that nobody knows
    sight = read_sight({"x": x[None], "y": y[None], "presence": np.array([[0.0, 100.0, -100.0]])})
    assert sight.boxes[0, 0] == pytest.approx(0.4, abs=1e-3) and sight.boxes[1] == pytest.approx([0.5] * 4, abs=1e-3)
    assert sight.box_certainty[0] < 0.1 < 0.9 < sight.box_certainty[1]
    assert sight.presence == pytest.approx([0.5, 1.0, 0.0])
