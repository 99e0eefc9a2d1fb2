"""Saliency: each maxF against a reference written from its definition alone, on random answers; what is unknown."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from codriver.dense_tasks import PASCAL_CONTEXT  # noqa: E402
from codriver.tasks import TaskSet  # noqa: E402
from training.dense.geometry import IGNORE, LabelLetterbox  # noqa: E402
from training.dense.kinds import saliency, segmentation  # noqa: E402
from training.dense.scene import Scene  # noqa: E402
from training.dense.scores import scored  # noqa: E402

pytestmark = pytest.mark.torch
TASK, PARTS = PASCAL_CONTEXT["saliency"], PASCAL_CONTEXT["human_parts"]
Pairs = list[tuple[np.ndarray, np.ndarray]]


def random_pairs(seed: int = 0) -> Pairs:
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(4):
        truth = (rng.random((6, 7)) < 0.4).astype(np.uint8)
        answered = np.clip(0.3 * truth + rng.uniform(0, 0.8, (6, 7)), 0, 1).astype(np.float32)
        truth[rng.random((6, 7)) < 0.2] = IGNORE
        pairs.append((answered, truth))
    return pairs


def scores(pairs: Pairs) -> dict[str, float]:
    metric = saliency.Metric(TASK)
    for answered, truth in pairs:
        metric.add(answered, truth)
    return metric.scores()


def pooled_f(pairs: Pairs, squash: bool) -> float:
    """ATRC's definition, pixel by pixel; squash: InvPT's, which takes probabilities for logits."""
    pixels = [(float(a), int(t)) for x, y in pairs for a, t in zip(x.ravel(), y.ravel(), strict=True) if t != IGNORE]
    best = 0.0
    for threshold in [k / 20 for k in range(1, 20)]:
        marked = [((1 / (1 + np.exp(-a)) if squash else a) >= threshold, t) for a, t in pixels]
        hits = sum(1 for m, t in marked if m and t)
        if hits:
            precision, recall = hits / sum(m for m, _ in marked), hits / sum(t for _, t in marked)
            best = max(best, 1.3 * precision * recall / (0.3 * precision + recall))
    return best


def test_maxf_is_the_best_f_of_nineteen_thresholds_over_all_pixels_together() -> None:
    assert scores(random_pairs())["maxf"] == pytest.approx(pooled_f(random_pairs(), squash=False))


def test_maxf_of_the_tables_that_squash_a_probability_again_is_there_beside_it() -> None:
    pairs = random_pairs(3)
    assert scores(pairs)["maxf_five_thresholds"] == pytest.approx(pooled_f(pairs, squash=True))
    assert scores(pairs)["maxf_five_thresholds"] != pytest.approx(scores(pairs)["maxf"])


def test_astmts_maxf_takes_means_over_pictures_and_no_weight() -> None:
    best = 0.0
    for threshold in np.linspace(0.2, 0.9, 15):
        precisions, recalls = [], []
        for answered, truth in random_pairs():
            known = truth != IGNORE
            marked, real = answered[known] > threshold, truth[known] == 1
            precisions.append((marked & real).sum() / marked.sum() if marked.any() else 0.0)
            recalls.append((marked & real).sum() / real.sum() if real.any() else 0.0)
        p, r = np.mean(precisions), np.mean(recalls)
        best = max(best, 2 * p * r / (p + r))
    assert scores(random_pairs())["maxf_mean_over_pictures"] == pytest.approx(best)


def test_nothing_real_and_nothing_found_agree_and_a_map_that_is_all_found_does_not() -> None:
    empty = np.zeros((4, 4), np.uint8)
    metric = saliency.Metric(TASK)
    metric.add(np.zeros((4, 4), np.float32), empty)
    metric.add(np.ones((4, 4), np.float32), empty)
    assert metric.examples().tolist() == [1.0, 0.0] and metric.scores()["maxf"] == 0.0


def test_the_best_constant_answer_costs_its_entropy() -> None:
    truth = np.tile(np.uint8([0, 0, 0, 1]).repeat(4), (16, 1))
    logit = torch.full((1, 1, 4, 4), float(np.log(1 / 3)))
    constant = saliency.constant_loss(TASK, [truth])
    assert constant == pytest.approx(-(0.25 * np.log(0.25) + 0.75 * np.log(0.75)))
    assert float(saliency.loss(TASK, logit, saliency.stacked([truth]))) == pytest.approx(constant, rel=1e-5)


def test_unknown_pixels_and_bars_cost_nothing() -> None:
    box = LabelLetterbox((8, 16), (16, 16))
    truth = saliency.fitted(TASK, np.ones((8, 16), np.uint8), box)
    assert (truth[:4] == IGNORE).all() and (truth[4:12] == 1).all()
    logits = torch.zeros(1, 1, 4, 4)
    changed = logits.clone()
    changed[0, 0, [0, 3]] = 9.0
    before, after = (saliency.loss(TASK, some, saliency.stacked([truth])) for some in (logits, changed))
    assert float(before) == float(after) == pytest.approx(np.log(2))
    assert float(saliency.loss(TASK, logits, torch.full((1, 16, 16), IGNORE))) == 0.0


def test_an_answer_is_the_probability_of_each_camera_pixels_cell() -> None:
    logits = np.array([[[0.0, 40.0], [-40.0, np.log(3)]]], np.float32)
    found = saliency.answer(logits, LabelLetterbox((16, 16), (8, 8)))
    assert found[::8, ::8].tolist() == pytest.approx(np.array([[0.5, 1.0], [0.0, 0.75]]))
    assert (found[:8, :8] == 0.5).all()


def test_a_batch_without_people_costs_nothing_and_breaks_nothing() -> None:
    logits = torch.zeros(1, 7, 4, 4, requires_grad=True)
    found = segmentation.loss(PARTS, logits, torch.full((1, 16, 16), IGNORE))
    found.backward()
    assert float(found.detach()) == 0.0 and not logits.grad.any()
    assert segmentation.constant_loss(PARTS, [np.full((16, 16), IGNORE, np.uint8)]) > 0


def test_a_picture_without_people_counts_for_nothing_in_the_scores_of_human_parts() -> None:
    here, nobody = np.zeros((4, 4), np.uint8), np.full((4, 4), IGNORE, np.uint8)
    here[0] = 1
    scenes = [
        Scene(str(k), np.zeros((4, 4, 3), np.uint8), {"human_parts": some}) for k, some in enumerate((here, nobody))
    ]
    found = scored(TaskSet("x", (PARTS,)), scenes, lambda scene: {"human_parts": here})["human_parts"]
    assert found.scores["miou"] == 1.0 and found.scores["miou_mean_over_pictures"] == pytest.approx(2 / 7)
    assert np.isnan(found.pictures).tolist() == [False, True]
    assert found.interval == pytest.approx((1.0, 1.0))  # draws of nobody alone do not count
