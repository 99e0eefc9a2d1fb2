"""Terms that keep embeddings apart at their edges: few parts, short embeddings, one number each."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from training.losses.decoupling import cosine, gram  # noqa: E402

pytestmark = pytest.mark.torch


def test_one_task_and_what_is_shared_are_a_pair() -> None:
    specific, shared = torch.tensor([[[3.0, 4.0]]]), torch.tensor([[1.0, 0.0]])
    assert float(cosine(specific, shared)) == pytest.approx(0.6**2)


def test_one_part_alone_is_apart_from_nothing() -> None:
    alone = torch.tensor([[[3.0, 4.0]]])
    assert float(cosine(alone, None)) == float(cosine(None, alone[:, 0])) == float(gram(alone, None)) == 0.0


def test_two_tasks_of_a_single_number_each_cannot_be_apart() -> None:
    assert float(gram(torch.tensor([[[2.0], [-5.0]]]), None)) == pytest.approx(2.0)  # both sides of the diagonal


def test_an_embedding_of_nearly_nothing_is_not_punished_for_its_direction() -> None:
    tiny, whole = torch.tensor([[[1e-9, 0.0], [1.0, 0.0]]]), torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
    assert float(gram(tiny, None)) < 1e-5 < float(gram(whole, None)) == pytest.approx(2.0)
