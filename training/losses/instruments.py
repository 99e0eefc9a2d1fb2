"""Whether tasks help or hurt one another, and whether their embeddings say the same: numbers of one batch.

Gradients are of each task's own loss, before its weight. A cosine below 0 between two of them at the encoders is a
conflict: what helps one task there hurts the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from training.losses.decoupling import cosine
from training.losses.summands import centred_cosine

KEY = "instruments"  # in an epoch's record


@dataclass(frozen=True)
class Embeddings:
    """What DB-SCME made of a batch, without gradient. None: it has no such branch."""

    specific: Tensor | None  # (B, tasks, D) F_sp, pooled
    shared: Tensor | None  # (B, D) F_sh, pooled
    summands: Tensor | None = None  # (2, B, tasks, D) FC(F_sp), FC(F_sh)


def task_gradients(places: Mapping[str, nn.Module], losses: Tensor) -> dict[str, Any]:
    """JSON-ready, by place: the norm of each task's gradient over all its parameters, and the cosines between tasks.

    losses: (tasks,) of one forward pass, whose graph is kept. A task without a label has the norm and the cosines 0.
    """
    named = [(name, p) for name, module in places.items() for p in module.parameters() if p.requires_grad]
    rows: dict[str, list[Tensor]] = {name: [] for name in places}
    for loss in losses:
        found = torch.autograd.grad(loss, [p for _, p in named], retain_graph=True, allow_unused=True)
        for name in places:
            mine = zip(named, found, strict=True)
            flat = [(torch.zeros_like(p) if g is None else g).flatten() for (place, p), g in mine if place == name]
            rows[name].append(torch.cat(flat) if flat else loss.new_zeros(1))
    return {name: _norms_and_cosines(torch.stack(some).double()) for name, some in rows.items()}


def _norms_and_cosines(rows: Tensor) -> dict[str, Any]:
    """rows: (tasks, parameters)."""
    norms = rows.norm(dim=1)
    unit = rows / norms.clamp(min=1e-12)[:, None]
    return {"norm": norms.tolist(), "cosine": (unit @ unit.T).tolist()}


def likeness(embeddings: Embeddings) -> dict[str, Any]:
    """JSON-ready mean squared cosines: raw over all pairs; around the batch's means, which constant offsets leave
    alone; and of each task's two summands, around their means. Random directions of D numbers give 1 / D."""
    found: dict[str, Any] = {
        "raw": float(cosine(embeddings.specific, embeddings.shared)),
        "centred": float(cosine(_centred(embeddings.specific), _centred(embeddings.shared))),
    }
    if embeddings.summands is not None:
        summands = embeddings.summands.float()
        found["summands"] = centred_cosine(summands, summands.mean(dim=1)).mean(dim=0).tolist()
    return found


def _centred(embedding: Tensor | None) -> Tensor | None:
    return None if embedding is None else embedding.float() - embedding.float().mean(dim=0, keepdim=True)
