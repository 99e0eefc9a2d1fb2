"""A quantizer that is worse than the others is named first, with the task that it costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("nncf")

import torch

from quantize.dense.graph import DenseGraph, spec_of
from quantize.dense.sensitivity import DenseBench, lines_of, rank
from quantize.graphs.dialects import dialect
from quantize.graphs.fold import folded
from quantize.ptq.convolutions import quantized_convolutions
from quantize.ptq.quantizers import quantizers
from training.dense.model import DenseConfig, DenseUVM3TL
from training.dense.scene import Scene

pytestmark = [pytest.mark.torch, pytest.mark.nncf]
SMALL = DenseConfig(task_set="nyudv2", height=64, width=96, widths=(4, 4, 8, 8, 8), channels=8, pool=4, decoder=4)
COARSE = "heads.normals.out"


@pytest.fixture(scope="module")
def bench() -> DenseBench:
    torch.manual_seed(2)
    rng = np.random.default_rng(2)
    model = folded(DenseUVM3TL(SMALL).eval())
    images = [rng.integers(0, 256, (64, 96, 3), dtype=np.uint8) for _ in range(2)]
    seen = [(torch.from_numpy(image[None]),) for image in images]
    graph = quantized_convolutions(DenseGraph(model).eval(), seen, dialect("tensorrt"))
    (coarse,) = (q for q in quantizers(graph).values() if getattr(q, "weight_name", "") == f"model.{COARSE}.weight")
    coarse.scale.data.mul_(300)  # type: ignore[operator, union-attr]  # every weight becomes code 0
    return DenseBench(graph, [Scene(f"{k}", image, {}) for k, image in enumerate(images)], spec_of(model))


def test_without_any_quantizer_nothing_is_lost_and_afterwards_all_are_on_again(bench: DenseBench) -> None:
    assert set(bench.costs(()).values()) == {0.0}
    assert bench.costs(bench.names) == bench.costs(bench.names) and max(bench.costs(bench.names).values()) > 0


def test_the_coarse_quantizer_comes_first_and_costs_its_own_task_alone(bench: DenseBench) -> None:
    rows = rank(bench)
    assert (rows[0]["name"], rows[0]["costs"]["semantics"]) == (f"{COARSE}, weights", 0.0)
    assert rows[0]["costs"]["normals"] > 10 * rows[1]["costs"]["normals"]


def test_people_see_the_whole_beside_the_costliest(bench: DenseBench) -> None:
    found: dict[str, Any] = {"dialect": "tensorrt", "pictures": ["a"], "all": bench.costs(bench.names)}
    said = lines_of(found | {"quantizers": rank(bench)})
    assert said[2].startswith("all of them") and said[3].startswith(f"{COARSE}, weights")
