"""Which clips meet in a batch, batches made ahead of the model, and answers for many clips.

Order and variation of an epoch follow from the seed, the epoch and the clip alone: not from the number of processes or
threads, nor from an interruption.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codriver.tasks import STREAMS
from training.data.augment import AugmentConfig, augment
from training.data.clips import Clip
from training.model.uvm3tl import UVM3TL

Batch = tuple[dict[str, Tensor], Tensor, Tensor]  # frames, mask, labels; see collate
Key = TypeVar("Key")
Made = TypeVar("Made")


def collate(clips: Sequence[Clip]) -> Batch:
    """Clips -> frames (stream -> (B, T, ...)), mask (B, S, T), labels (B, tasks)."""
    frames = {s: torch.from_numpy(np.stack([clip.frames[s] for clip in clips])) for s in STREAMS}
    mask = torch.from_numpy(np.stack([clip.mask for clip in clips]))
    labels = torch.from_numpy(np.stack([clip.labels for clip in clips]))
    return frames, mask, labels


def epoch_order(clips: int, seed: int, epoch: int, weights: NDArray[np.float64] | None = None) -> NDArray[np.int64]:
    """(clips,) indices: each clip once, shuffled; with weights (clips,), drawn with replacement in their proportion."""
    rng = np.random.default_rng([seed, epoch])
    if weights is None:
        return rng.permutation(clips)
    return rng.choice(clips, clips, p=weights / weights.sum())


def balance(labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """How much more often to draw each clip: mean over its tasks of 1 / share of its class. labels: (clips, tasks)."""
    weights = np.zeros(labels.shape)
    for k, column in enumerate(labels.T):
        known = column >= 0  # a clip without a label for a task neither gains nor loses by it
        weights[:, k] = 1.0
        weights[known, k] = known.sum() / np.bincount(column[known])[column[known]]
    return np.asarray(weights.mean(axis=1))


def epoch_parts(order: NDArray[np.int64], batch: int, parts: int) -> list[list[NDArray[np.int64]]]:
    """Cut an epoch into batches, and each batch into `parts` runs of rows of equal length, or one row apart.

    A rest that leaves a part with fewer than 2 clips is left out: batch normalisation cannot learn from one.
    """
    batches = [order[start : start + batch] for start in range(0, len(order), batch)]
    return [np.array_split(rows, parts) for rows in batches if len(rows) >= 2 * parts]


def varied_batch(clips: Sequence[Clip], rows: Iterable[int], seed: int, epoch: int, config: AugmentConfig) -> Batch:
    """The clips of these rows as this epoch varies them."""
    # The 1 keeps clip 0 apart from the epoch's order: numpy takes [seed, epoch] and [seed, epoch, 0] for one seed.
    return collate([augment(clips[i], np.random.default_rng([seed, epoch, 1, i]), config) for i in map(int, rows)])


def made_ahead(make: Callable[[Key], Made], keys: Iterable[Key], workers: int) -> Iterator[Made]:
    """make(key) for each key, in order, up to workers + 1 of them ahead of the taker; workers 0 makes none ahead.

    Threads, because NumPy and OpenCV do this work outside the interpreter's lock; nothing is copied or pickled.
    """
    if workers == 0:
        yield from map(make, keys)
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="batches") as pool:
        waiting: deque[Future[Made]] = deque()
        try:
            for key in keys:
                waiting.append(pool.submit(make, key))
                if len(waiting) > workers + 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


@torch.inference_mode()
def predict(
    model: UVM3TL, clips: Sequence[Clip], batch: int = 16, progress: Any = iter
) -> dict[str, NDArray[np.float64]]:
    """Probabilities of every clip: task -> (clips, K). The model is left in evaluation mode."""
    model.eval()
    device = next(model.parameters()).device
    parts: dict[str, list[Tensor]] = {task.name: [] for task in model.task_set.tasks}
    for start in progress(range(0, len(clips), batch)):
        frames, mask, _ = collate([clips[i] for i in range(start, min(start + batch, len(clips)))])
        answers = model({stream: some.to(device) for stream, some in frames.items()}, mask.to(device)).logits
        for task, logits in answers.items():
            parts[task].append(logits.double().softmax(dim=1).cpu())
    return {task: torch.cat(some).numpy() for task, some in parts.items()}
