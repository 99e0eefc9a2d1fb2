"""What encoders saw of each clip, kept on disk, for epochs in which they rest.

A whole lesson of size edge is 29.5 GMAC, of which what reads the slots is 0.1. Once the encoders have learnt, each clip
is varied and seen once more, as a lesson of its own; then as many epochs as wanted read its motions, with other gaps
and lost streams each time, at a hundredth of the cost. Motions do not depend on which other slots are there; what is
mixed along time does, and goes on learning.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from codriver.tasks import STREAMS
from training.data import cache
from training.data.augment import AugmentConfig, augment, drop
from training.data.batches import Batch
from training.data.clips import Clip, labels_of
from training.model.uvm3tl import UVM3TL

MOTIONS = "motions-*"  # folders, one for each state of the encoders
NO_CAST: AbstractContextManager[Any] = nullcontext()
LOSSES = ("drop_view", "drop_driver", "drop_part", "drop_crops", "drop_joints", "drop_slot", "short_context")


class KeptMotions:
    """Of each clip the motions in its slots. One folder for one state of the encoders."""

    def __init__(self, model: UVM3TL, clips: Sequence[Clip], folder: Path, seed: int) -> None:
        self._model, self._clips, self._seed = model, clips, seed
        self._folder = folder / MOTIONS.replace("*", _state_digest(model))

    def make(self, config: AugmentConfig, precision: AbstractContextManager[Any] = NO_CAST) -> None:
        """See each clip that was not seen yet, and write it down. The model must be at rest. precision: of lessons."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with precision:
            for index in tqdm(range(len(self._clips)), desc="see", unit="clip", leave=False, disable=None):
                if cache.read(self._file(index)) is None:
                    cache.write(self._file(index), self._seen(index, config))

    @torch.no_grad()
    def _seen(self, index: int, config: AugmentConfig) -> dict[str, NDArray[Any]]:
        rng = np.random.default_rng([self._seed, 2, index])
        nothing_lost: dict[str, Any] = dict.fromkeys(LOSSES, 0.0)
        clip = augment(self._clips[index], rng, replace(config, runs=0, half=False, **nothing_lost))
        frames = {stream: torch.tensor(clip.frames[stream])[None] for stream in STREAMS}
        mask = torch.from_numpy(clip.mask)[None]
        motions, _ = self._model.slots_of(frames, mask, self._model.moved)
        return {stream: some[0].half().numpy() for stream, some in motions.items()} | {"mask": clip.mask}

    def batch(self, rows: Sequence[int], epoch: int, config: AugmentConfig) -> Batch:
        """Motions (stream -> (B, T, *slot_shape)), mask (B, S, T) and labels (B, tasks), as this epoch loses some."""
        motions: dict[str, list[Tensor]] = {stream: [] for stream in STREAMS}
        masks = []
        for row in map(int, rows):
            kept = cache.read(self._file(row))
            if kept is None:
                raise FileNotFoundError(f"{self._file(row)} is gone; start again with --resume, and it is made anew")
            mask = kept.pop("mask").copy()
            drop(mask, np.random.default_rng([self._seed, epoch, 3, row]), config)
            masks.append(torch.from_numpy(mask))
            for stream, values in kept.items():
                motions[stream].append(torch.from_numpy(values.astype(np.float32)))
        labels = torch.from_numpy(labels_of(self._clips)[[int(row) for row in rows]])
        return {stream: torch.stack(some) for stream, some in motions.items()}, torch.stack(masks), labels

    def _file(self, index: int) -> Path:
        return self._folder / f"{index}.safetensors"


def _state_digest(model: UVM3TL) -> str:
    digest = hashlib.sha256()
    for part in (model.encoders, model.motions):
        for name, tensor in sorted(part.state_dict().items()):
            digest.update(name.encode() + tensor.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
