"""Which term moves the encoders: norms of gradients by hand, and what a training says of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from training.losses.shares import KEY, gradients_at, of_records, said  # noqa: E402
from training.train import main as train  # noqa: E402

pytestmark = pytest.mark.torch


def test_a_terms_share_is_its_gradients_length_among_those_of_all_terms() -> None:
    a, b = torch.nn.Parameter(torch.tensor([1.0, 2.0])), torch.nn.Parameter(torch.tensor(3.0))
    still = torch.nn.Parameter(torch.ones(2), requires_grad=False)
    terms = {"one": 3 * a[0] + 4 * b, "other": 5 * a[1], "none": torch.tensor(7.0)}
    found = gradients_at([a, b, still], terms)
    assert found["norm"] == pytest.approx({"one": 5.0, "other": 5.0, "none": 0.0})
    assert found["share"] == pytest.approx({"one": 0.5, "other": 0.5, "none": 0.0})
    assert a.grad is None and b.grad is None
    sum(terms.values()).backward()  # the graph is still there
    assert a.grad is not None and a.grad.tolist() == [3.0, 5.0]
    assert gradients_at([a], {"nothing": torch.tensor(1.0)})["share"] == {"nothing": 0.0}


def test_people_read_the_largest_first() -> None:
    assert said({"share": {"a": 0.0003, "b": 0.7, "c": 0.2997}}) == "b 70 %, c 30 %, a 0.03 %"


def test_a_run_says_how_much_each_term_moves_its_encoders(dataset: Path, tmp_path: Path) -> None:
    """In its first and its last epoch; the numbers do not change what is learned."""
    arguments = ["--data", str(dataset), "--size", "tiny", "--epochs", "3", "--batch", "2", "--seed", "4"]
    assert train([*arguments, "--decoupling", "cosine", "--out", str(tmp_path / "run")]) == 0
    meta = json.loads((tmp_path / "run" / "meta.json").read_text())
    assert [row["epoch"] for row in meta[KEY]] == [1, 3] == [row["epoch"] for row in of_records(lines(tmp_path))]
    for row in meta[KEY]:
        assert set(row["share"]) == {"cross_entropy", "decoupling", "auxiliary"}
        assert sum(row["share"].values()) == pytest.approx(1.0) and min(row["share"].values()) > 1e-5


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
