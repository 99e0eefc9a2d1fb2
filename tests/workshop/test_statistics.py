"""Intervals and tests against values that are known from elsewhere, or by counting."""

from __future__ import annotations

import math

import numpy as np
import pytest

from workshop.statistics import f1_interval, holm, mcnemar, paired_interval, quantile_interval, wilson


def test_wilsons_interval_is_that_of_the_textbook() -> None:
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe 1998, table I
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=1e-4)


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


def test_too_few_steps_do_not_bound_p99() -> None:
    assert quantile_interval(range(367), 0.99)[1] == math.inf  # 0.99^367 > 0.025
    assert quantile_interval(range(368), 0.99)[1] < math.inf
