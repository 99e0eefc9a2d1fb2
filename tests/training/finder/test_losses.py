"""The finder's losses against formulas written apart from them."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from scipy.stats import entropy  # noqa: E402

from codriver.finder_graph import BINS_X, BINS_Y, HIGH, LOW, POINTS  # noqa: E402
from training.finder.losses import box_loss, finder_loss, giou, kl_along, presence_loss, soft_points  # noqa: E402

pytestmark = pytest.mark.torch


def gaussians(shares: np.ndarray, bins: int) -> np.ndarray:
    """Shares of the frame -> (..., bins) distributions around them, one and a half bins wide."""
    wide = (HIGH - LOW) / bins
    centres = LOW + (np.arange(bins) + 0.5) * wide
    powers = np.exp(-0.5 * ((centres - shares[..., None]) / (1.5 * wide)) ** 2) + 1e-12
    return (powers / powers.sum(axis=-1, keepdims=True)).astype(np.float32)


def boxes_on_a_grid(a: np.ndarray, b: np.ndarray) -> float:
    """GIoU by counting cells."""
    cells = np.zeros((2, 100, 100), bool)
    for grid, (x0, y0, x1, y1) in zip(cells, (a, b), strict=True):
        grid[y0:y1, x0:x1] = True
    both, either = (cells[0] & cells[1]).sum(), (cells[0] | cells[1]).sum()
    low, high = np.minimum(a[:2], b[:2]), np.maximum(a[2:], b[2:])
    hull = np.prod(high - low)
    return both / either - (hull - either) / hull


@pytest.mark.parametrize("seed", range(8))
def test_giou_is_what_counting_cells_gives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corners = [np.sort(rng.choice(100, (2, 2), replace=False), axis=0).reshape(4) for _ in range(2)]
    a, b = (c if c[1] < c[3] else c[[0, 3, 2, 1]] for c in corners)
    found = giou(*(torch.tensor(box, dtype=torch.float32) for box in (a, b)))
    assert found.item() == pytest.approx(boxes_on_a_grid(a, b), abs=1e-5)


def test_kl_is_scipys() -> None:
    torch.manual_seed(0)
    logits, shares = torch.randn(2, 3, BINS_X), torch.rand(2, 3)
    wanted = entropy(gaussians(shares.numpy(), BINS_X), logits.softmax(dim=-1).numpy(), axis=-1)
    assert kl_along(logits, shares).numpy() == pytest.approx(wanted, rel=1e-3)


def logits_at(points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(
        torch.from_numpy(np.log(gaussians(points[..., k].numpy(), bins))) for k, bins in ((0, BINS_X), (1, BINS_Y))
    )


def test_the_right_answer_costs_nothing_and_points_come_back() -> None:
    points = torch.rand(2, POINTS, 2) * 0.4
    points[:, -3], points[:, -1] = points[:, -4] + 0.4, points[:, -2] + 0.4
    x, y = logits_at(points)
    assert soft_points(x, y).numpy() == pytest.approx(points.numpy(), abs=1e-3)
    outputs = (x, y, torch.full((2, 3), 40.0))
    assert finder_loss(outputs, points, torch.ones(2, POINTS), torch.ones(2, 3)).item() == pytest.approx(0, abs=0.01)


def test_what_is_not_known_is_not_punished() -> None:
    points, weights = torch.rand(1, POINTS, 2), torch.zeros(1, POINTS)
    x, y = torch.randn(1, POINTS, BINS_X), torch.randn(1, POINTS, BINS_Y)
    unknown = torch.full((1, 3), float("nan"))
    assert finder_loss((x, y, torch.randn(1, 3)), points, weights, unknown).item() == 0
    assert box_loss(x, y, points, weights).item() == 0
    assert presence_loss(torch.tensor([[0.0, 5.0, 5.0]]), torch.tensor([[1.0, float("nan"), float("nan")]])).item() == (
        pytest.approx(np.log(2))
    )
