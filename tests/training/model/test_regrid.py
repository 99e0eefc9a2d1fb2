"""Weights for a map of another grid."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from training.model.regrid import on_grid, regridded
from training.model.uvm3tl import SIZES, UVM3TL


@pytest.mark.parametrize("grid", [2, 3, 5, 8])
def test_a_map_that_is_the_same_everywhere_is_read_as_before(grid: int) -> None:
    weights = torch.randn(6, 3, 7, 7)
    channel = torch.randn(3)
    before = (weights * channel[:, None, None]).sum(dim=(1, 2, 3))
    after = (on_grid(weights, 3, grid) * channel[:, None, None]).sum(dim=(1, 2, 3))
    assert torch.allclose(before, after, atol=1e-4)


def test_a_weight_stays_where_it_was_in_the_picture() -> None:
    corner = torch.zeros(1, 1, 4, 4)
    corner[..., 0, 3] = 1.0
    assert torch.equal(on_grid(corner, 1, 2), torch.tensor([[[[0.0, 1.0], [0.0, 0.0]]]]))


def test_a_linear_layer_over_all_cells_is_resampled_as_its_maps_are() -> None:
    weights = torch.randn(2, 3, 4, 4)
    assert torch.equal(on_grid(weights.flatten(1), 3, 2), on_grid(weights, 3, 2).flatten(1))


def test_every_weight_of_a_size_fits_the_same_size_at_another_side() -> None:
    tiny = SIZES["tiny"]
    larger = UVM3TL(replace(tiny, view_px=64, crop_px=64, grid=8))
    fits = regridded(larger.state_dict(), tiny)
    UVM3TL(tiny).load_state_dict(fits)
    same = [name for name, some in larger.state_dict().items() if torch.equal(fits[name], some)]
    assert "gather.place.weight" not in same and len(same) > 0.8 * len(fits)
