"""Intervals and tests against values that are known from elsewhere, or by counting."""

from __future__ import annotations

import math

import numpy as np
import pytest

from workshop.statistics import (
    f1_difference,
    f1_interval,
    holm,
    mcnemar,
    paired_interval,
    paired_tests,
    quantile_interval,
    student_half,
    wilson,
)


def test_wilsons_interval_is_that_of_the_textbook() -> None:
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe 1998, table I
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=1e-4)


@pytest.mark.parametrize(("hits", "n"), [(0, 7), (3, 7), (140, 140), (512, 600)])
def test_wilsons_ends_are_where_the_share_is_as_far_off_as_chance_allows(hits: int, n: int) -> None:
    """They solve |hits/n - p| = 1.96 sqrt(p (1 - p) / n), which is how Wilson defined them."""
    for end in wilson(hits, n):
        apart = abs(hits / n - end)
        assert apart == pytest.approx(1.959964 * math.sqrt(max(0.0, end * (1 - end)) / n), abs=1e-6)


def test_an_interval_of_no_clips_is_all_there_is() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("gained", "lost", "p"),
    [(0, 0, 1.0), (0, 5, 2 / 32), (1, 9, 22 / 1024), (3, 3, 1.0), (0, 10, 2 / 1024), (2, 8, 112 / 1024)],
)
def test_mcnemars_p_is_the_exact_binomial_one(gained: int, lost: int, p: float) -> None:
    assert mcnemar(gained, lost) == pytest.approx(p)
    assert mcnemar(lost, gained) == pytest.approx(p)


def test_mcnemar_holds_for_thousands_of_clips() -> None:
    assert mcnemar(1000, 1200) == pytest.approx(2.2e-5, rel=0.1)


def test_a_pair_is_tested_on_the_clips_that_differ_and_corrected_for_how_many_are_asked() -> None:
    before = np.array([True] * 20 + [True] * 1 + [False] * 7)
    after = np.array([True] * 20 + [False] * 1 + [True] * 7)
    first, same = paired_tests([(before, after), (before, before)])
    assert (first.gained, first.lost) == (7, 1) and (same.gained, same.lost) == (0, 0)
    assert first.p == pytest.approx(2 * (1 + 8) / 2**8) and first.p_holm == pytest.approx(2 * first.p)
    assert (same.p, same.p_holm) == (1.0, 1.0)


def test_the_paired_interval_is_bonett_and_prices() -> None:
    low, high = paired_interval(gained=12, lost=5, n=100)
    up, down = 13 / 102, 6 / 102
    half = 1.96 * math.sqrt((up + down - (up - down) ** 2) / 102)
    assert (low, high) == pytest.approx((up - down - half, up - down + half), abs=1e-4)


def test_equal_answers_on_a_few_clips_do_not_prove_that_all_are_equal() -> None:
    low, high = paired_interval(0, 0, 50)
    assert low < -0.04 and high > 0.04
    assert paired_interval(0, 0, 5000)[1] < 0.001


def test_the_paired_interval_covers_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    drawn = random.multinomial(200, [0.05, 0.08, 0.87], 2000)
    found = [paired_interval(gained, lost, 200) for gained, lost, _ in drawn]
    assert 0.935 < np.mean([low <= 0.05 - 0.08 <= high for low, high in found]) < 0.98


def test_holm_corrects_in_steps_and_keeps_the_order() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([0.03, 0.02]) == pytest.approx([0.04, 0.04])  # a larger p is never corrected below a smaller one


def test_the_interval_of_a_mean_is_students() -> None:
    assert student_half([1.0, 2.0, 3.0, 4.0]) == pytest.approx(
        3.1824 * math.sqrt(5 / 3) / 2, rel=1e-4
    )  # t(3), a table's


def test_the_interval_of_macro_f1_holds_its_value_and_shrinks_with_clips() -> None:
    random = np.random.default_rng(1)
    widths = []
    for n in (60, 6000):
        labels = random.integers(0, 3, n)
        answers = np.where(random.random(n) < 0.8, labels, random.integers(-1, 3, n))
        low, high = f1_interval(labels, answers, 3)
        hits = [
            2 * ((labels == k) & (answers == k)).sum() / ((labels == k).sum() + (answers == k).sum()) for k in range(3)
        ]
        assert low < np.mean(hits) < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 5


def test_perfect_answers_have_an_f1_without_doubt() -> None:
    labels = np.arange(30) % 3
    assert f1_interval(labels, labels, 5) == (1.0, 1.0)


def test_a_quantile_is_bounded_by_the_ranks_that_the_binomial_gives() -> None:
    assert quantile_interval(range(1, 11), 0.5) == (2, 9)  # a table's: n = 10, the median lies in x2..x9 with 97.9 %
    low, high = quantile_interval(range(1, 1001), 0.99)
    assert low < 990 < high <= 1000


@pytest.mark.parametrize(("n", "share"), [(20, 0.5), (57, 0.9), (600, 0.99)])
def test_a_quantiles_ranks_leave_at_most_a_fortieth_on_either_side(n: int, share: float) -> None:
    """Of n values, so many lie below the quantile as a coin of that share says; counted here one by one."""

    def at_most(k: int) -> float:
        return sum(math.comb(n, i) * share**i * (1 - share) ** (n - i) for i in range(k + 1))

    low, high = (int(end) for end in quantile_interval(range(1, n + 1), share))
    assert at_most(low - 1) <= 0.025 < at_most(low)
    assert at_most(high - 1) >= 0.975 > at_most(high - 2)


def test_too_few_steps_do_not_bound_p99() -> None:
    assert quantile_interval(range(367), 0.99)[1] == math.inf  # 0.99^367 > 0.025
    assert quantile_interval(range(368), 0.99)[1] < math.inf


def test_the_difference_of_two_macro_f1s_is_drawn_with_both_answers_of_each_clip() -> None:
    """Against drawing the clips one resample after the other, with scikit-learn's F1."""
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, 80)
    first = np.where(rng.random(80) < 0.8, labels, rng.integers(0, 3, 80))
    second = np.where(rng.random(80) < 0.7, labels, -1)

    def apart(rows: np.ndarray) -> float:
        scores = [f1_score(labels[rows], some[rows], labels=[0, 1, 2], average="macro") for some in (first, second)]
        return float(scores[1] - scores[0])

    value, (low, high) = f1_difference(labels, first, second, 3)
    drawn = [apart(rng.integers(0, 80, 80)) for _ in range(200)]
    assert value == pytest.approx(apart(np.arange(80)))
    assert (low, high) == pytest.approx(np.quantile(drawn, (0.025, 0.975)), abs=0.03)


def test_equal_answers_have_no_difference_of_macro_f1() -> None:
    labels = np.arange(30) % 3
    assert f1_difference(labels, labels, labels, 3) == (0.0, (0.0, 0.0))
