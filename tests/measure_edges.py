"""What judging the edges of one picture costs: processor time of `edges.Metric.add` at NYUD-v2's size, by likelihoods
that are smooth and off by two pixels, as a network's are.

python -m tests.measure_edges
"""

from __future__ import annotations

import sys
import time

import cv2
import numpy as np

from codriver.dense_tasks import NYUDV2
from training.dense.kinds import edges

SIZE = (425, 560)
PICTURES = 3


def picture(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Likelihoods and truth: outlines of 60 rectangles and circles."""
    numbers = np.zeros(SIZE, np.int32)
    for number in range(1, 61):
        x, y, w, h = (int(v) for v in (rng.integers(SIZE[1]), rng.integers(SIZE[0]), *rng.integers(20, 150, 2)))
        if number % 3:
            cv2.rectangle(numbers, (x, y), (x + w, y + h), number, -1)
        else:
            cv2.circle(numbers, (x, y), w // 2, number, -1)
    truth = np.zeros(SIZE, np.uint8)
    truth[:, :-1] |= numbers[:, 1:] != numbers[:, :-1]
    truth[:-1] |= numbers[1:] != numbers[:-1]
    near = cv2.GaussianBlur(np.roll(truth, 2, axis=1).astype(np.float32), (0, 0), 3) * 2.2
    noise = cv2.GaussianBlur(rng.normal(size=SIZE).astype(np.float32), (0, 0), 3) * 1.5
    return 1 / (1 + np.exp(3 - 6 * near - noise)), truth


def main() -> None:
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    metric = edges.Metric(NYUDV2["edges"])
    for _ in range(PICTURES):
        answered, truth = picture(rng)
        start = time.process_time()
        own = metric.add(answered, truth)
        sys.stdout.write(f"{time.process_time() - start:.2f} s, F {own:.3f}, {truth.sum()} pixels of edges\n")


if __name__ == "__main__":
    main()
