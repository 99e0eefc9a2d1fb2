"""The reference that runtimes are held against: the emitted modules in torch, stepped as a device steps them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from codriver.arrays import Arrays
from codriver.tasks import GROUPS
from quantize.graphs.stepping import stepped
from training.data.clips import Clip
from training.model.uvm3tl import ModelConfig


class TorchGraphs:
    """The modules that are exported, any number of rows at once."""

    def __init__(self, encoder: nn.Module, fuser: nn.Module, tasks: Sequence[str]) -> None:
        self._encoder, self._fuser, self._tasks = encoder.eval(), fuser.eval(), tasks

    @torch.inference_mode()
    def encode(self, frames: Arrays, before: Arrays, motions_before: Arrays) -> tuple[Arrays, Arrays, Arrays]:
        given = [tensor for some in (frames, before, motions_before) for tensor in _tensors(some)]
        outputs = iter([some.numpy() for some in self._encoder(*given)])
        features, motions, slots = ({group: next(outputs) for group in GROUPS} for _ in range(3))
        return features, motions, slots

    @torch.inference_mode()
    def fuse(self, slots: Arrays, mask: NDArray[np.float32]) -> Arrays:
        logits = self._fuser(*_tensors(slots), torch.from_numpy(mask))
        return {task: some.numpy() for task, some in zip(self._tasks, logits, strict=True)}


def _tensors(arrays: Arrays) -> list[torch.Tensor]:
    return [torch.from_numpy(np.ascontiguousarray(some)) for some in arrays.values()]


def stepped_probabilities(
    encoder: nn.Module, fuser: nn.Module, clip: Clip, config: ModelConfig, tasks: Sequence[str]
) -> dict[str, list[float]]:
    """Probabilities after the clip's last slot, encoding one slot after another and remembering what each leaves."""
    found = stepped(TorchGraphs(encoder, fuser, tasks), [clip], config).probabilities
    return {task: [float(p) for p in some[0]] for task, some in found.items()}
