"""Batches, one training step, and answers for many clips."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codriver.tasks import STREAMS
from training.augment import AugmentConfig, augment
from training.data import Clip
from training.model import UVM3TL


def collate(clips: Sequence[Clip]) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Clips -> frames (stream -> (B, T, ...)), mask (B, S, T), labels (B, tasks)."""
    frames = {s: torch.from_numpy(np.stack([clip.frames[s] for clip in clips])) for s in STREAMS}
    mask = torch.from_numpy(np.stack([clip.mask for clip in clips]))
    labels = torch.from_numpy(np.stack([clip.labels for clip in clips]))
    return frames, mask, labels


def training_batches(
    clips: Sequence[Clip], batch: int, seed: int, epoch: int, config: AugmentConfig
) -> Iterator[tuple[dict[str, Tensor], Tensor, Tensor]]:
    """Shuffled, varied batches of one epoch; the same seed and epoch give the same ones.

    A rest of one clip is left out: batch normalisation cannot learn from it."""
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(clips))
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        if len(chosen) > 1:
            yield collate([augment(clips[i], rng, config) for i in chosen])


@torch.inference_mode()
def predict(
    model: UVM3TL, clips: Sequence[Clip], batch: int = 16, progress: Any = iter
) -> dict[str, NDArray[np.float64]]:
    """Probabilities of every clip: task -> (clips, K)."""
    model.eval()
    parts: dict[str, list[Tensor]] = {task.name: [] for task in model.task_set.tasks}
    for start in progress(range(0, len(clips), batch)):
        frames, mask, _ = collate(clips[start : start + batch])
        for task, logits in model(frames, mask).logits.items():
            parts[task].append(logits.double().softmax(dim=1))
    return {task: torch.cat(some).numpy() for task, some in parts.items()}
