"""COCO's average precision on pictures drawn again and again, from what pycocotools said of each picture once.

R draws · n answered boxes of all pictures
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

RECALLS = np.linspace(0, 1, 101)
LEAST = np.spacing(1)  # pycocotools': keeps 0 / 0 away


def ap50_of_draws(judge: Any, pictures: int, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(R, pictures), how often each is drawn -> (R,) ap50_coco. judge: a COCOeval that has judged them all.

    Whether an answer is right does not depend on other pictures: a picture drawn twice has all its answers twice.
    """
    found = [(k, some) for k, some in enumerate(judge.evalImgs[:pictures]) if some]  # of boxes of any area
    real = np.zeros(pictures)
    for k, some in found:
        real[k] = (np.asarray(some["gtIgnore"]) == 0).sum()
    owner = np.concatenate([np.full(len(some["dtScores"]), k) for k, some in found])
    order = np.argsort(-np.concatenate([some["dtScores"] for _, some in found]), kind="mergesort")
    hit = np.concatenate([some["dtMatches"][0] > 0 for _, some in found])[order]
    counts = ~np.concatenate([some["dtIgnore"][0].astype(bool) for _, some in found])[order]
    return np.array([_ap(own[owner[order]] * counts, hit, float(own @ real)) for own in weights])


def _ap(drawn: NDArray[np.float64], hit: NDArray[np.bool_], real: float) -> float:
    """drawn, hit: (n,) by falling score, how often each answer is there, and whether it is right."""
    if not real:
        return 0.0
    right, answered = np.cumsum(drawn * hit), np.cumsum(drawn)
    envelope = np.maximum.accumulate((right / (answered + LEAST))[::-1])[::-1]
    at = np.searchsorted(right / real, RECALLS, side="left")
    return float(np.where(at < len(drawn), envelope[np.minimum(at, len(drawn) - 1)], 0.0).mean()) if len(drawn) else 0.0
