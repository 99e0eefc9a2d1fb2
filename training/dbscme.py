"""DB-SCME, the dual-branch spatial-channel multimodal embedding of UV-M3TL.

Topology: the figure of arXiv 2602.01594 (reference: model.md 1.2). Widths, one attention head, its 1/sqrt(d) scale and
the 1x1 reduction of the concatenation before attention are our instantiation: the figure leaves them open.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SpatialAttention(nn.Module):
    """Self-attention over the cells of a map: softmax(q k^T / sqrt(d)) v. (B, D, G, G) -> (B, D, G, G)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = max(width // 8, 4)  # narrow queries keep the attention cheap (model.md 8)
        self.query = nn.Linear(width, self.inner)
        self.key = nn.Linear(width, self.inner)
        self.value = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)  # (B, N, D)
        scores = self.query(tokens) @ self.key(tokens).transpose(1, 2) * self.inner**-0.5  # (B, N, N)
        attended = scores.softmax(dim=-1) @ self.value(tokens)
        return attended.transpose(1, 2).reshape(x.shape)


class ChannelGate(nn.Module):
    """sigmoid of self-attention over channels, from three 1-D convolutions. (B, D, G, G) -> (B, D, 1, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Conv1d(1, 1, 3, padding=1) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.mean(dim=(2, 3))[:, None, :]  # (B, 1, D)
        scores = self.query(pooled).transpose(1, 2) @ self.key(pooled)  # (B, D, D), each sample's own
        attended = scores.softmax(dim=-1) @ self.value(pooled).transpose(1, 2)  # (B, D, 1)
        return torch.sigmoid(attended)[..., None]


class SpecificBranch(nn.Module):
    """What one task picks from all streams: spatial attention with residual, then a channel gate."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.spatial = SpatialAttention(width)
        self.gate = ChannelGate()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.spatial(x)
        return x * self.gate(x)


class SharedBranch(nn.Module):
    """Merges two groups of streams by a learned gate: s * a + (1 - s) * b."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.point = nn.Conv2d(width, width, 1)
        self.local = nn.Conv2d(width, width, 3, padding=1)
        self.spatial = SpatialAttention(width)
        self.gate = ChannelGate()

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        together = a + b
        mixed = self.point(together) + self.local(together)
        mixed = mixed + self.spatial(mixed)
        share = self.gate(mixed)
        return share * a + (1.0 - share) * b


class DBSCME(nn.Module):
    """Both branches and the heads. Returns logits by task, (B, tasks, D) specific and (B, D) shared embeddings."""

    def __init__(self, *, streams: int, width: int, classes: dict[str, int], dropout: float) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(streams * width, width, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.specific = nn.ModuleDict({task: SpecificBranch(width) for task in classes})
        self.shared = nn.ModuleList([SharedBranch(width), SharedBranch(width)])
        self.specific_out = nn.ModuleDict({task: nn.Linear(width, width) for task in classes})
        self.shared_out = nn.ModuleDict({task: nn.Linear(width, width) for task in classes})
        self.mix = nn.ParameterDict({task: nn.Parameter(torch.zeros(())) for task in classes})
        self.dropout = nn.Dropout(dropout)
        self.heads = nn.ModuleDict({task: nn.Linear(width, count) for task, count in classes.items()})

    def forward(
        self, maps: list[Tensor], scene: Tensor, driver: Tensor, joints: Tensor
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """maps: one (B, D, G, G) per stream, in order. scene, driver, joints: their groups' sums, the same shape."""
        all_streams = torch.relu(self.norm(self.reduce(torch.cat(maps, dim=1))))
        merged = self.shared[0](scene, driver)
        shared = self.shared[1](joints, merged).mean(dim=(2, 3))  # (B, D)
        specific, logits = [], {}
        for task, branch in self.specific.items():
            own = branch(all_streams).mean(dim=(2, 3))  # (B, D)
            share = torch.sigmoid(self.mix[task])
            embedding = share * self.specific_out[task](own) + (1.0 - share) * self.shared_out[task](shared)
            logits[task] = self.heads[task](self.dropout(torch.relu(embedding)))
            specific.append(own)
        return logits, torch.stack(specific, dim=1), shared
