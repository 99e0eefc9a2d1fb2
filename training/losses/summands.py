"""Decoupling where redundancy is: between the two summands of one task's embedding, FC(F_sp_k) and FC(F_sh).

What both say of a clip is said twice, and the sum carries less. Tasks against one another are left alone: their labels
do go together. Our instantiation:

    L_dec = mean over clips and tasks of cos(a - mean a, b - mean b)^2      means: running, over about 20 steps

Centred, so that an offset which every clip shares neither satisfies nor offends it. Its strength is no number of its
own but its share of the gradient at F_sp and F_sh, beside that of cross-entropy.

B batch · K task · D width of an embedding
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codriver.errors import ConfigError
from training.losses.decoupling import TINY

MEANS_OVER, STRENGTH_OVER = 20, 50  # steps
STRONGEST = 1000.0  # where its gradient is next to nothing, no factor may blow it up


class SummandDecoupling(nn.Module):
    """The term, its running means and its strength; all of it is saved with the loss."""

    means: Tensor | None

    def __init__(self, share: float) -> None:
        """share: of the gradient's length that is the term's, 0 to below 1; cross-entropy has the rest."""
        super().__init__()
        if not 0.0 <= share < 1.0:
            raise ConfigError(f"share: got {share}, expected 0 to below 1, for example 0.1")
        self.odds = share / (1.0 - share)
        self.register_buffer("means", None)  # (2, K, D) once a batch has said how wide
        self.register_buffer("strength", torch.zeros(()))
        self.register_buffer("seen", torch.zeros(()))  # steps

    def forward(self, summands: Tensor, at: list[Tensor], entropy: Tensor) -> tuple[Tensor, Tensor]:
        """summands: (2, B, K, D). at: where gradients are weighed. entropy: scalar, weighted cross-entropy.

        Returns the term, and the same times its strength: both scalars with gradient. State moves in training only.
        """
        summands = summands.float()
        if self.training:
            self._move_means(summands.detach().mean(dim=1))
        term = centred_cosine(summands, self.means if self.means is not None else summands.mean(dim=1)).mean()
        if self.training and self.odds and term.requires_grad:
            wanted = self.odds * _length(entropy, at) / _length(term, at).clamp(min=TINY)
            if torch.isfinite(wanted):
                self.strength += (wanted.clamp(max=STRONGEST) - self.strength) / self.seen.clamp(1, STRENGTH_OVER)
        return term, self.strength.clone() * term

    def _move_means(self, fresh: Tensor) -> None:
        """fresh: (2, K, D) of this batch."""
        if self.means is None:
            self.means = torch.zeros_like(fresh)
        self.seen += 1
        self.means += (torch.nan_to_num(fresh) - self.means) / self.seen.clamp(1, MEANS_OVER)

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        saved = state.get(f"{prefix}means")
        if saved is not None and self.means is None:
            self.means = torch.zeros(saved.shape, device=self.strength.device)
        super()._load_from_state_dict(state, prefix, *rest)


def centred_cosine(summands: Tensor, means: Tensor) -> Tensor:
    """(2, B, K, D) and (2, K, D) -> (B, K) squared cosines; of random directions 1 / D."""
    first, second = F.normalize(summands - means[:, None], dim=-1, eps=TINY)
    return (first * second).sum(dim=-1).square()


def _length(scalar: Tensor, at: list[Tensor]) -> Tensor:
    found = torch.autograd.grad(scalar, at, retain_graph=True, allow_unused=True)
    squares = [some.float().square().sum() for some in found if some is not None]
    return torch.stack(squares).sum().sqrt() if squares else scalar.new_zeros(())
