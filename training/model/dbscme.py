"""DB-SCME, the dual-branch spatial-channel multimodal embedding of UV-M3TL.

Topology: the figure of arXiv 2602.01594 (reference/model.md 1.2). What the figure leaves open is a field of
`DBSCMEConfig`, our instantiation each; the defaults are what the released models use.

B batch · D width · G grid cells per side · N = G * G · K classes
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codriver.errors import ConfigError

BRANCHES = ("both", "specific", "shared", "none")
SHARED_GROUPS = ("scene", "driver", "joints")


@dataclass(frozen=True, kw_only=True)
class DBSCMEConfig:
    """What the figure does not say, and which parts are on."""

    branches: str = "both"  # one of BRANCHES, for ablation; "none" is pooled F_c and a head: DB-SCME off
    reduce: bool = True  # F_c = 1x1 convolution of the concatenation: without, queries cost eight times as much
    heads: int = 1  # of spatial attention; one is least work, and a grid of 4 to 7 cells has few relations
    query_reduction: int = 8  # queries and keys have D / this channels, at least 4: narrow ones keep attention cheap
    scaled: bool = True  # spatial scores / sqrt(channels of a query), else softmax saturates (channel scores have 1)
    channel_kernel: int = 3  # of the 1-D convolutions: the figure's 3; odd
    order: tuple[str, ...] = SHARED_GROUPS  # two merge, then the third joins them: MMTL-UniAD, eq. 8-10
    third_gated: bool = True  # the third group is F1_in, which s multiplies, and the merged F2_in: as eq. 10 there
    tied: bool = False  # the two applications of the shared branch ("x2") share their weights; own ones can differ
    head_relu: bool = True  # between the weighted sum and the head: without, FC and head are one linear map
    mix_start: float = 0.0  # w before training; sigmoid(w) is the specific branch's part in the sum, so half

    def __post_init__(self) -> None:
        if self.branches not in BRANCHES:
            raise ConfigError(f"branches: got {self.branches!r}, expected one of {', '.join(BRANCHES)}")
        if sorted(self.order) != sorted(SHARED_GROUPS):
            raise ConfigError(f"order: got {self.order}, expected {', '.join(SHARED_GROUPS)} in any order")
        if self.heads < 1 or self.query_reduction < 1 or self.channel_kernel % 2 != 1:
            raise ConfigError(
                f"heads {self.heads}, query_reduction {self.query_reduction}, channel_kernel {self.channel_kernel}: "
                "expected 1 or more each, and an odd kernel"
            )

    @property
    def has_specific(self) -> bool:
        return self.branches in ("both", "specific")

    @property
    def has_shared(self) -> bool:
        return self.branches in ("both", "shared")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DBSCMEConfig:
        plain: dict[str, Any] = {k: tuple(value) if isinstance(value, list) else value for k, value in values.items()}
        return cls(**plain)


class SpatialAttention(nn.Module):
    """Self-attention over the cells of a map: softmax(q k^T / sqrt(d)) v. (B, D, H, W) -> (B, D, H, W).

    Vaswani et al., "Attention is all you need", NeurIPS 2017, eq. 1; the figure's spatial block. A sample sees itself
    alone: the batch is never a sequence (reference/model.md 4.6, item 7).
    """

    def __init__(self, width: int, config: DBSCMEConfig, pool: int = 1) -> None:
        """pool: keys and values are means over pool x pool cells; on large maps there are too many for all pairs."""
        super().__init__()
        self.pool = pool
        self.heads, inner = config.heads, max(width // config.query_reduction, 4)
        if inner % self.heads or width % self.heads:
            raise ConfigError(
                f"heads: got {self.heads}, expected a divisor of {inner} query and {width} value channels"
            )
        self.scale = (inner // self.heads) ** -0.5 if config.scaled else 1.0
        self.query = nn.Linear(width, inner)
        self.key = nn.Linear(width, inner)
        self.value = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)  # (B, N, D)
        seen = tokens if self.pool == 1 else F.avg_pool2d(x, self.pool).flatten(2).transpose(1, 2)  # (B, M, D)
        query, key, value = (
            self._split(part(some)) for part, some in ((self.query, tokens), (self.key, seen), (self.value, seen))
        )
        scores = query @ key.transpose(-1, -2) * self.scale  # (B, N, M), or (B, heads, N, M)
        return self._join(scores.softmax(dim=-1) @ value).transpose(1, 2).reshape(x.shape)

    def _split(self, tokens: Tensor) -> Tensor:
        """(B, N, C) -> (B, heads, N, C / heads). One head is left as it is: a smaller graph for the device."""
        return tokens if self.heads == 1 else tokens.unflatten(2, (self.heads, -1)).transpose(1, 2)

    def _join(self, tokens: Tensor) -> Tensor:
        return tokens if self.heads == 1 else tokens.transpose(1, 2).flatten(2)


class ChannelGate(nn.Module):
    """sigmoid of self-attention over channels, from three 1-D convolutions. (B, D, G, G) -> (B, D, 1, 1)."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Conv1d(1, 1, kernel, padding=kernel // 2) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.mean(dim=(2, 3))[:, None, :]  # (B, 1, D)
        scores = self.query(pooled).transpose(1, 2) @ self.key(pooled)  # (B, D, D), each sample's own
        attended = scores.softmax(dim=-1) @ self.value(pooled).transpose(1, 2)  # (B, D, 1)
        return torch.sigmoid(attended)[..., None]


class SpecificBranch(nn.Module):
    """What one task picks from all streams: spatial attention with residual, then a channel gate. Keeps the shape."""

    def __init__(self, width: int, config: DBSCMEConfig, pool: int = 1) -> None:
        super().__init__()
        self.spatial = SpatialAttention(width, config, pool)
        self.gate = ChannelGate(config.channel_kernel)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.spatial(x)
        return x * self.gate(x)


class SharedBranch(nn.Module):
    """Merges two groups of streams by a learned gate: s * a + (1 - s) * b. All (B, D, G, G)."""

    def __init__(self, width: int, config: DBSCMEConfig, pool: int = 1) -> None:
        super().__init__()
        self.point = nn.Conv2d(width, width, 1)
        self.local = nn.Conv2d(width, width, 3, padding=1)
        self.spatial = SpatialAttention(width, config, pool)
        self.gate = ChannelGate(config.channel_kernel)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        together = a + b
        mixed = self.point(together) + self.local(together)
        mixed = mixed + self.spatial(mixed)
        share = self.gate(mixed)
        return share * a + (1.0 - share) * b


class DBSCME(nn.Module):
    """Both branches and the heads: e_k = s_k FC(F_sp_k) + (1 - s_k) FC(F_sh), s_k = sigmoid(w_k); then head_k.

    A branch that is off has no parameters, and the other's FC is the whole sum.
    """

    def __init__(
        self, *, streams: int, width: int, classes: dict[str, int], dropout: float, config: DBSCMEConfig
    ) -> None:
        super().__init__()
        self.config = config
        wide = width if config.reduce else streams * width  # channels of F_c
        if config.reduce and config.branches != "shared":
            self.reduce = nn.Conv2d(streams * width, width, 1, bias=False)
            self.norm = nn.BatchNorm2d(width)
        if config.has_specific:
            self.specific = nn.ModuleDict({task: SpecificBranch(wide, config) for task in classes})
        if config.has_shared:
            branches = [SharedBranch(width, config) for _ in range(1 if config.tied else 2)]
            self.shared = nn.ModuleList(branches)
        if config.has_specific:
            self.specific_out = nn.ModuleDict({task: nn.Linear(wide, width) for task in classes})
        if config.has_shared:
            self.shared_out = nn.ModuleDict({task: nn.Linear(width, width) for task in classes})
        if config.branches == "both":
            self.mix = nn.ParameterDict({task: nn.Parameter(torch.tensor(config.mix_start)) for task in classes})
        self.dropout = nn.Dropout(dropout)
        entering = wide if config.branches == "none" else width
        self.heads = nn.ModuleDict({task: nn.Linear(entering, count) for task, count in classes.items()})

    def forward(
        self, maps: list[Tensor], scene: Tensor, driver: Tensor, joints: Tensor
    ) -> tuple[dict[str, Tensor], Tensor | None, Tensor | None]:
        """Logits by task, and what the loss keeps apart: specific (B, tasks, D) and shared (B, D) embeddings.

        maps: one (B, D, G, G) per stream, in order. scene, driver, joints: their groups' sums, the same shape.
        A branch that is off gives None: no pair has it. With "none", shared is pooled F_c: one embedding, no pair.
        Specific is F_sp pooled; where F_c is wider than F_sh (`reduce` off), it is FC(F_sp), so that both have D.
        """
        if self.config.branches == "none":
            pooled = self._all(maps).mean(dim=(2, 3))
            return {task: head(self.dropout(pooled)) for task, head in self.heads.items()}, None, pooled
        all_streams = self._all(maps) if self.config.has_specific else None
        shared = self._merge({"scene": scene, "driver": driver, "joints": joints}) if self.config.has_shared else None
        specific, logits = [], {}
        for task, head in self.heads.items():
            own = projected = None
            if all_streams is not None:
                own = self.specific[task](all_streams).mean(dim=(2, 3))  # (B, D)
                projected = self.specific_out[task](own)
                specific.append(own if self.config.reduce else projected)
            embedding = self._weighted_sum(task, projected, shared)
            logits[task] = head(self.dropout(torch.relu(embedding) if self.config.head_relu else embedding))
        return logits, torch.stack(specific, dim=1) if specific else None, shared

    def _all(self, maps: list[Tensor]) -> Tensor:
        """F_c: (B, D, G, G), or (B, streams * D, G, G) without reduction."""
        together = torch.cat(maps, dim=1)
        return torch.relu(self.norm(self.reduce(together))) if self.config.reduce else together

    def _merge(self, groups: dict[str, Tensor]) -> Tensor:
        """F_sh, pooled: (B, D)."""
        first, second, third = (groups[name] for name in self.config.order)
        merged = self.shared[0](first, second)
        pair = (third, merged) if self.config.third_gated else (merged, third)
        return self.shared[-1](*pair).mean(dim=(2, 3))

    def _weighted_sum(self, task: str, projected: Tensor | None, shared: Tensor | None) -> Tensor:
        """e_k, (B, D)."""
        if shared is None:
            assert projected is not None
            return projected
        if projected is None:
            return self.shared_out[task](shared)
        share = torch.sigmoid(self.mix[task])
        return share * projected + (1.0 - share) * self.shared_out[task](shared)
