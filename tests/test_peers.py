"""The networks that a step is timed beside cost what the published ones cost."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from tests.peers import CLASSES, TEM3, MMTLUniAD, example  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.mark.parametrize(
    ("peer", "parameters_m", "macs_g"),  # counted on the public code of both, see peers.py
    [(MMTLUniAD, 76.2, 18.85), (TEM3, 5.99, 144.5)],
)
def test_a_peer_has_the_published_parameters_and_products_within_six_percent(
    peer: type[torch.nn.Module], parameters_m: float, macs_g: float
) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"), FlopCounterMode(display=False) as counter:  # counted, not computed
        model = peer().eval()
        answers = model(*(some.to("meta") for some in example(peer)))
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(parameters_m, rel=0.06)
    assert counter.get_total_flops() / 2e9 == pytest.approx(macs_g, rel=0.06)
    assert tuple(answer.shape[1] for answer in answers) == CLASSES
