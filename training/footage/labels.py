"""Which labels a data set's clips carry: exact class counts, correlated across tasks, no pair impossible."""

from __future__ import annotations

import numpy as np

from codriver.tasks import AIDE
from training.footage.motion import rng_for

# Emotion: AIDE's own shares, counted on its label files. AIDE publishes no counts for the other three tasks;
# their shares are ours: as skewed as emotion's, majority 50-60 %, rarest 6 %.
SHARES: dict[str, tuple[float, ...]] = {
    "driver_emotion": (0.1375, 0.5961, 0.1104, 0.0823, 0.0738),
    "driver_behavior": (0.08, 0.10, 0.13, 0.07, 0.45, 0.11, 0.06),
    "traffic_context": (0.18, 0.26, 0.56),
    "vehicle_behavior": (0.12, 0.17, 0.07, 0.14, 0.50),
}
TESTING = "testing"
SPLITS = {"training": 0.65, "validation": 0.15, TESTING: 0.20}  # AIDE's random split, and its file names

# Log-affinities between classes of different tasks: what makes a pair likelier or rarer than chance.
# Finite on purpose: nothing determines anything.
AFFINITY: dict[tuple[str, str], float] = {
    ("Anxiety", "Traffic Jam"): 0.8,
    ("Anger", "Traffic Jam"): 0.9,
    ("Anger", "Waiting"): 0.4,
    ("Anxiety", "Changing Lane"): 0.4,
    ("Anxiety", "Backward Moving"): 0.4,
    ("Weariness", "Dozing Off"): 1.6,
    ("Happiness", "Dozing Off"): -0.9,
    ("Anger", "Dozing Off"): -0.9,
    ("Happiness", "Talking"): 0.9,
    ("Anger", "Talking"): 0.4,
    ("Anxiety", "Looking Around"): 0.6,
    ("Peace", "Normal Driving"): 0.4,
    ("Looking Around", "Parking"): 0.5,
    ("Looking Around", "Backward Moving"): 0.8,
    ("Looking Around", "Changing Lane"): 0.4,
    ("Making Phone", "Waiting"): 0.5,
    ("Smoking", "Traffic Jam"): 0.4,
    ("Traffic Jam", "Forward Moving"): 0.3,
    ("Waiting", "Parking"): 0.4,
    ("Traffic Jam", "Backward Moving"): -0.6,
    ("Smooth Traffic", "Changing Lane"): 0.4,
}
SWEEPS = 12


def split_sizes(clips: int) -> dict[str, int]:
    """Clips per split; from three clips on, none is empty."""
    validation, testing = (round(clips * SPLITS[name]) for name in ("validation", "testing"))
    if clips >= 3:
        validation, testing = max(validation, 1), max(testing, 1)
    return {"training": clips - validation - testing, "validation": validation, "testing": testing}


def quota(shares: tuple[float, ...], count: int) -> list[int]:
    """Largest-remainder class counts; a class may be missing only when there are fewer clips than classes."""
    exact = np.array(shares) / sum(shares) * count
    counts = np.floor(exact).astype(int)
    for index in np.argsort(counts - exact, kind="stable")[: count - counts.sum()]:
        counts[index] += 1
    while count >= len(shares) and counts.min() == 0:
        counts[counts.argmax()] -= 1
        counts[counts.argmin()] += 1
    return [int(value) for value in counts]


def affinity_tables() -> dict[tuple[int, int], np.ndarray]:
    """(task, task) -> (K, K) log-affinity, both ways round."""
    tables = {}
    for a, first in enumerate(AIDE.tasks):
        for b, second in enumerate(AIDE.tasks):
            pairs = [[AFFINITY.get((x, y), AFFINITY.get((y, x), 0.0)) for y in second.labels] for x in first.labels]
            tables[a, b] = np.array(pairs)
    return tables


def joint_labels(count: int, rng: np.random.Generator, coupling: float = 1.0) -> list[tuple[int, ...]]:
    """`count` label tuples in task order: exact quotas, then swaps accepted by affinity (Metropolis).

    coupling: factor on every affinity; 0 makes tasks independent.
    """
    columns = [rng.permutation(np.repeat(np.arange(t.classes), quota(SHARES[t.name], count))) for t in AIDE.tasks]
    labels = np.stack(columns, axis=1)  # (count, tasks)
    tables = {pair: coupling * table for pair, table in affinity_tables().items()}
    tasks = len(AIDE.tasks)
    for _ in range(SWEEPS * count if count > 1 else 0):
        task = int(rng.integers(tasks))
        i, j = rng.integers(count, size=2)
        a, b = labels[i, task], labels[j, task]
        gain = sum(
            tables[task, k][b, labels[i, k]]
            + tables[task, k][a, labels[j, k]]
            - tables[task, k][a, labels[i, k]]
            - tables[task, k][b, labels[j, k]]
            for k in range(tasks)
            if k != task
        )
        if rng.random() < np.exp(min(gain, 0.0)):
            labels[i, task], labels[j, task] = b, a
    return [tuple(int(value) for value in row) for row in labels]


def plan(clips: int, seed: int, coupling: float = 1.0) -> list[tuple[str, dict[str, str]]]:
    """Clip by clip: its split and its label per task. The order is random, as AIDE's is.

    coupling: of the splits that are learned from; test clips keep 1, so that what was only coupled there costs.
    """
    rng = rng_for(seed, 0)
    rows: list[tuple[str, dict[str, str]]] = []
    for split, size in split_sizes(clips).items():
        for row in joint_labels(size, rng, 1.0 if split == TESTING else coupling):
            names = {task.name: task.labels[k] for task, k in zip(AIDE.tasks, row, strict=True)}
            rows.append((split, names))
    return [rows[i] for i in rng.permutation(len(rows))]


def annotated(rows: list[tuple[str, dict[str, str]]], seed: int, noise: float) -> list[dict[str, str]]:
    """What an annotator wrote of each clip: in `noise` of all cases, task by task, another class, each as likely.

    Test clips are written as they are: a score is then of the answers and not of the annotator.
    """
    rng = rng_for(seed, 0, 1)  # of its own: the clips stay what they are
    written = []
    for split, labels in rows:
        slips = {task.name: (rng.random() < noise, int(rng.integers(1, task.classes))) for task in AIDE.tasks}
        wrong = {
            task.name: task.labels[(task.index(labels[task.name]) + slips[task.name][1]) % task.classes]
            for task in AIDE.tasks
            if split != TESTING and slips[task.name][0]
        }
        written.append(labels | wrong)
    return written
