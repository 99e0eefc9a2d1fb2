"""Edges: thinning, suppression, pairing and scores, each against a reference from its definition alone."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from codriver.tasks import Task  # noqa: E402
from training.dense.geometry import IGNORE, LabelLetterbox  # noqa: E402
from training.dense.kinds import edges  # noqa: E402
from training.dense.kinds.contours import Pairing, suppressed, thinned  # noqa: E402

pytestmark = pytest.mark.torch
TASK = Task(name="edges", labels=(), title="Edges", needs_any=("front",), kind="edges", thin=True, reach=0.05)


def largest_pairing(truth: np.ndarray, answered: np.ndarray, reach: float) -> int:
    """By trying one augmenting path after another (Kuhn's algorithm)."""
    left, right = np.argwhere(truth), np.argwhere(answered)
    near = [[j for j, q in enumerate(right) if ((p - q) ** 2).sum() <= reach**2] for p in left]
    partner: dict[int, int] = {}

    def found(i: int, tried: set[int]) -> bool:
        for j in near[i]:
            if j not in tried:
                tried.add(j)
                if j not in partner or found(partner[j], tried):
                    partner[j] = i
                    return True
        return False

    return sum(found(i, set()) for i in range(len(left)))


@pytest.mark.parametrize("seed", range(5))
def test_the_pairing_is_the_largest_there_is_while_answers_come_and_go(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.random((12, 15)) < 0.25
    likely = rng.random((12, 15)) * (rng.random((12, 15)) < 0.5)
    pairing = Pairing(truth, likely > 0, 1.5 + seed / 2)
    for level in (0.9, 0.6, 0.3, 0.7, 0.0):
        answered = (likely > level) & (rng.random((12, 15)) < 0.9)
        assert pairing.count(answered) == largest_pairing(truth, answered, 1.5 + seed / 2)


def test_a_pair_may_lie_at_the_reach_and_not_beyond() -> None:
    truth, answered = np.zeros((9, 9), bool), np.zeros((9, 9), bool)
    truth[0, 0], answered[3, 4] = True, True
    assert Pairing(truth, answered, 5.0).count(answered) == 1
    assert Pairing(truth, answered, 4.99).count(answered) == 0


def guo_hall(mask: np.ndarray) -> np.ndarray:
    """Pixel by pixel from the paper's conditions; neighbours p2 (north) to p9 (north-west) go round clockwise."""
    pixels = np.pad(mask.astype(int), 1)
    while True:
        before = pixels.copy()
        for half in (0, 1):
            gone = []
            for y, x in product(range(1, pixels.shape[0] - 1), range(1, pixels.shape[1] - 1)):
                if not pixels[y, x]:
                    continue
                around = [(-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)]
                p2, p3, p4, p5, p6, p7, p8, p9 = (bool(pixels[y + a, x + b]) for a, b in around)
                c = (
                    (not p2 and (p3 or p4))
                    + (not p4 and (p5 or p6))
                    + (not p6 and (p7 or p8))
                    + (not p8 and (p9 or p2))
                )
                n1 = (p9 or p2) + (p3 or p4) + (p5 or p6) + (p7 or p8)
                n2 = (p2 or p3) + (p4 or p5) + (p6 or p7) + (p8 or p9)
                m = ((p6 or p7 or not p9) and p8) if half else ((p2 or p3 or not p5) and p4)
                if c == 1 and 2 <= min(n1, n2) <= 3 and not m:
                    gone.append((y, x))
            for y, x in gone:
                pixels[y, x] = 0
        if (before == pixels).all():
            return pixels[1:-1, 1:-1].astype(bool)


@pytest.mark.parametrize("seed", range(3))
def test_thinning_takes_what_guo_and_hall_take(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((20, 24)) < (0.4, 0.6, 0.85)[seed]
    assert np.array_equal(thinned(mask), guo_hall(mask))


def test_a_thick_line_becomes_one_pixel_wide_and_a_thin_one_stays() -> None:
    line = np.zeros((11, 30), bool)
    line[4:7] = True
    assert (thinned(line)[:, 5:25].sum(axis=0) == 1).all()
    line[4] = line[6] = False
    assert np.array_equal(thinned(line), line)


@pytest.mark.parametrize("slope", [0.1, 1.0, -1.0, 3.0])
def test_suppression_leaves_the_ridge_of_an_edge_in_any_direction(slope: float) -> None:
    y, x = np.mgrid[:60, :80].astype(np.float32)
    distance = (y - 30 - slope * (x - 40)) / math.hypot(1, slope)
    kept = suppressed(np.exp(-((distance / 3) ** 2)).astype(np.float32))
    away, left = np.abs(distance[10:-10, 10:-10]), kept[10:-10, 10:-10] > 0
    assert left[away <= 0.3].all() and not left[(away > 1) & (away < 2.5)].any()


def test_answers_fade_away_over_five_pixels_at_the_border() -> None:
    flat = suppressed(np.ones((20, 30), np.float32))
    assert flat[10, :7].tolist() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1, 1])
    assert flat[-2, -3] == pytest.approx(0.2 * 0.4)


def test_scores_come_from_counts_of_all_pictures_at_101_levels() -> None:
    rng = np.random.default_rng(4)
    metric, counts = edges.Metric(TASK), []
    for _ in range(2):
        truth = np.zeros((16, 20), np.uint8)
        truth[int(rng.integers(6, 10))] = 1
        truth[:, int(rng.integers(6, 14))] = 1
        answered = np.clip(0.6 * np.roll(truth, 1, axis=0) + 0.3 * rng.random((16, 20)), 0, 1).astype(np.float32)
        own = metric.add(answered, truth)
        likely, lines = suppressed(answered), guo_hall(truth == 1)
        masks = [likely > k / 100 for k in range(101)]
        seen = {m.tobytes(): guo_hall(m) for m in masks}
        levels = [seen[m.tobytes()] for m in masks]
        paired = [largest_pairing(lines, m, 0.05 * math.hypot(16, 20)) for m in levels]
        rows = [(p, int(m.sum()), int(lines.sum())) for p, m in zip(paired, levels, strict=True)]
        counts.append(rows)
        assert own == pytest.approx(max(f_of(*row) for row in rows))
    pooled = [tuple(sum(rows[k][i] for rows in counts) for i in range(3)) for k in range(101)]
    best = [max(rows, key=lambda row: f_of(*row)) for rows in counts]
    scores = metric.scores()
    assert scores["ods_f"] == pytest.approx(max(f_of(*row) for row in pooled))
    assert scores["ois_f"] == pytest.approx(f_of(*(sum(row[i] for row in best) for i in range(3))))
    at = {p / r: p / max(a, 1) for p, a, r in reversed(pooled)}  # of one recall the lowest level stays
    x, y = np.array(sorted(at.items())).T
    inside = [np.interp(k / 100, x, y) if x[0] <= k / 100 <= x[-1] else 0.0 for k in range(101)]
    assert scores["ap"] == pytest.approx(sum(inside) / 101)


def f_of(paired: int, answered: int, real: int) -> float:
    if not paired:
        return 0.0
    precision, recall = paired / answered, paired / real
    return 2 * precision * recall / (precision + recall)


def test_a_picture_without_edges_is_right_if_none_are_answered() -> None:
    metric = edges.Metric(TASK)
    assert metric.add(np.zeros((20, 20), np.float32), np.zeros((20, 20), np.uint8)) == 1.0
    assert metric.scores() == {"ods_f": 0.0, "ois_f": 0.0, "ap": 0.0}


def test_what_is_answered_where_the_truth_is_unknown_counts_for_nothing() -> None:
    truth, answered = np.zeros((30, 30), np.uint8), np.zeros((30, 30), np.float32)
    truth[:, 10], answered[:, 10] = 1, 0.9
    alone, both = edges.Metric(TASK), edges.Metric(TASK)
    alone.add(answered, truth)
    answered[:, 20], truth[:, 16:25] = 0.9, IGNORE
    both.add(answered, truth)
    assert both.scores() == alone.scores() and alone.scores()["ods_f"] > 0.8


def test_edges_and_all_else_weigh_the_same_however_few_edges_are() -> None:
    truth = torch.zeros(1, 16, 16, dtype=torch.long)
    truth[0, 0, 0] = 1
    logits = torch.zeros(1, 1, 4, 4)
    assert float(edges.loss(TASK, logits, truth)) == pytest.approx(edges.constant_loss(TASK, []))
    logits[0, 0, 0, 0] = 20.0
    assert float(edges.loss(TASK, logits, truth)) == pytest.approx(math.log(2) / 2)


def test_an_edge_of_one_pixel_is_still_there_at_the_networks_size_and_comes_back_where_it_was() -> None:
    box = LabelLetterbox((128, 160), (64, 80))
    truth = np.zeros((128, 160), np.uint8)
    truth[:, 61] = 1
    cells = edges.at_cells(TASK, edges.stacked([edges.fitted(TASK, truth, box)]))[0].numpy()
    logits = np.where(cells == 1, 6.0, -6.0).astype(np.float32)[None]
    back = edges.answer(logits, box)
    assert back.shape == (128, 160) and abs(int(back[64].argmax()) - 61) <= 4
