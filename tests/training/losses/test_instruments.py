"""Gradients of tasks where they meet, and likeness of embeddings: by hand, and in what a training writes and draws."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from training.losses.instruments import KEY, Embeddings, likeness, task_gradients  # noqa: E402
from training.report.curves import draw_curves  # noqa: E402
from training.train import main as train  # noqa: E402

pytestmark = pytest.mark.torch


def test_norms_and_cosines_are_those_of_the_gradients_at_each_place() -> None:
    here, there = torch.nn.Linear(2, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
    a, b = here.weight[0]
    c = there.weight[0, 0]
    losses = torch.stack([3 * a + 4 * b + 2 * c, -6 * a - 8 * b, 5 * a, 0 * a])
    found = task_gradients({"here": here, "there": there}, losses)
    assert found["here"]["norm"] == pytest.approx([5.0, 10.0, 5.0, 0.0])
    assert found["there"]["norm"] == pytest.approx([2.0, 0.0, 0.0, 0.0])
    cosines = found["here"]["cosine"]
    assert cosines[0] == pytest.approx([1.0, -1.0, 0.6, 0.0]) and cosines[2][1] == pytest.approx(-0.6)
    assert here.weight.grad is None
    losses.sum().backward()  # the graph is still there


def test_an_offset_of_all_clips_makes_embeddings_alike_until_it_is_taken_off() -> None:
    generator = torch.Generator().manual_seed(0)
    specific, shared = torch.randn(500, 4, 16, generator=generator), torch.randn(500, 16, generator=generator)
    summands = torch.stack([specific, specific])
    found = likeness(Embeddings(specific + 9.0, shared + 9.0, summands + 9.0))
    assert found["raw"] > 0.9 and found["centred"] == pytest.approx(1 / 16, rel=0.1)
    assert found["summands"] == pytest.approx([1.0] * 4, rel=1e-3)
    assert "summands" not in likeness(Embeddings(specific, None))


def test_a_run_writes_them_every_so_many_epochs_and_its_curves_show_them(dataset: Path, tmp_path: Path) -> None:
    arguments = [
        "--data",
        str(dataset),
        "--size",
        "tiny",
        "--epochs",
        "2",
        "--batch",
        "2",
        "--out",
        str(tmp_path / "run"),
    ]
    assert train(arguments) == 0
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    for record in records:
        assert len(record[KEY]["encoders"]["norm"]) == len(record[KEY]["dbscme"]["cosine"]) == 4
        assert 0 <= record[KEY]["likeness"]["centred"] <= 1 and len(record[KEY]["likeness"]["summands"]) == 4
    sizes = []
    for name, some in (("with", records), ("without", [{k: v for k, v in r.items() if k != KEY} for r in records])):
        draw_curves(some, tmp_path / f"{name}.png")
        sizes.append(int.from_bytes((tmp_path / f"{name}.png").read_bytes()[20:24], "big"))  # a PNG's height
    assert sizes[0] > 1.5 * sizes[1]
