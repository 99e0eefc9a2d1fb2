"""What a step calls: the network with its loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.losses.afd import AFDLoss, LossParts
from training.model.uvm3tl import UVM3TL


class ModelWithLoss(nn.Module):
    """Model and loss as one module, so that a loss with parameters of its own learns them on all processes alike."""

    def __init__(self, model: UVM3TL, loss: AFDLoss) -> None:
        super().__init__()
        self.model, self.loss = model, loss
        self.recalls = False  # frames are motions that were kept: an epoch at rest
        self.terms: dict[str, Tensor] = {}  # of the newest batch, with gradient; in sum the total
        self.parts: LossParts | None = None  # of the newest batch, with gradient

    def forward(self, frames: dict[str, Tensor], mask: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Batch -> total loss, losses (tasks,), decoupling term. Leaves `terms` and `parts`."""
        mask = mask.float()  # mixed precision halves all that comes in
        fused = self.model.clip(frames, mask, self.model.recall) if self.recalls else self.model(frames, mask)
        parts = self.loss(fused, labels, mask)
        self.terms, self.parts = parts.terms, parts
        return parts.total, parts.tasks, parts.decoupling


def laid_out(model: UVM3TL, precision: str) -> UVM3TL:
    """The model with its weights as this precision reads them fastest: a CPU's bf16 wants channels last (DECISIONS)."""
    return model.to(memory_format=torch.channels_last) if precision == "bf16-mixed" else model
