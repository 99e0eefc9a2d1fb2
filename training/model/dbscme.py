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
from training.model.task_tokens import TaskTokens

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
    tokens: bool = False  # what a query per task reads from the streams is added to e_k: no part of the figure
    mix_start: float = 0.0  # w before training; sigmoid(w) is the specific branch's part in the sum, so half

    def __post_init__(self) -> None:
        if self.branches not in BRANCHES or (self.tokens and self.branches == "none"):
            known = ", ".join(BRANCHES[: 3 if self.tokens else 4])
            raise ConfigError(f"branches: got {self.branches!r}, tokens {self.tokens}; expected one of {known}")
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
    alone: the batch is never a sequence (docs/reference/model.md).
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
        self.scale = (inner // self.heads) ** -0.5 if config.scaled else 1.0  # 1 once quantize.graphs.fold put it in
        # Without a bias: a key's is lost in softmax, and each of the others is one more pass over nothing much.
        self.query, self.key = (nn.Linear(width, inner, bias=False) for _ in range(2))
        self.value = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        cells, seen = self._cells(x)
        value = self._split(self.value(seen))
        return self._join(self._looks(cells, seen) @ value).transpose(1, 2).reshape(x.shape)

    def averaged(self, x: Tensor) -> Tensor:
        """The mean of `forward` over cells, (B, 1, D). Mean and sum change places: cells are averaged by how much all
        others look at them, and one average is projected instead of every cell."""
        cells, seen = self._cells(x)
        looked_at = self._looks(cells, seen).mean(dim=-2, keepdim=True)  # (B, 1, M), or (B, heads, 1, M)
        if self.heads == 1:
            return self.value(looked_at @ seen)
        projected = self.value(looked_at[:, :, 0] @ seen)  # (B, heads, D), of which each head gives its own part
        own = torch.eye(self.heads, device=x.device).repeat_interleave(x.shape[1] // self.heads, dim=1)
        return (projected * own).sum(dim=1, keepdim=True)

    def _cells(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Who looks (B, N, D), and at what (B, M, D)."""
        cells = x.flatten(2).transpose(1, 2)
        return cells, cells if self.pool == 1 else F.avg_pool2d(x, self.pool).flatten(2).transpose(1, 2)

    def _looks(self, cells: Tensor, seen: Tensor) -> Tensor:
        """How much each cell looks at each, (B, N, M), or (B, heads, N, M); rows have the sum 1."""
        query, key = self._split(self.query(cells)), self._split(self.key(seen))
        scores = query @ key.transpose(-1, -2)
        scores = scores if self.scale == 1.0 else scores * self.scale
        return scores.softmax(dim=-1)

    def _split(self, tokens: Tensor) -> Tensor:
        """(B, N, C) -> (B, heads, N, C / heads). One head is left as it is: a smaller graph for the device."""
        return tokens if self.heads == 1 else tokens.unflatten(2, (self.heads, -1)).transpose(1, 2)

    def _join(self, tokens: Tensor) -> Tensor:
        return tokens if self.heads == 1 else tokens.transpose(1, 2).flatten(2)


class ChannelGate(nn.Module):
    """sigmoid of self-attention over channels, from three 1-D convolutions. A map's mean, (B, 1, D) -> (B, 1, D)."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.query_key_value = nn.Conv1d(1, 3, kernel, padding=kernel // 2)

    def forward(self, pooled: Tensor) -> Tensor:
        query, key, value = self.query_key_value(pooled).chunk(3, dim=1)  # (B, 1, D) each
        scores = query.transpose(1, 2) @ key  # (B, D, D), each sample's own
        return torch.sigmoid(value @ scores.softmax(dim=-1).transpose(1, 2))


class SpecificBranch(nn.Module):
    """What one task picks from all streams: spatial attention with residual, then a channel gate. Keeps the shape."""

    def __init__(self, width: int, config: DBSCMEConfig, pool: int = 1) -> None:
        super().__init__()
        self.spatial = SpatialAttention(width, config, pool)
        self.gate = ChannelGate(config.channel_kernel)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.spatial(x)
        return x * as_map(self.gate(mean_of(x)))

    def averaged(self, x: Tensor, mean: Tensor) -> Tensor:
        """The mean of `forward` over cells, (B, D). mean: of x, (B, 1, D), the same for every task."""
        whole = mean + self.spatial.averaged(x)
        return (whole * self.gate(whole))[:, 0]


class SharedBranch(nn.Module):
    """Merges two groups of streams by a learned gate: s * a + (1 - s) * b. All (B, D, H, W)."""

    def __init__(self, width: int, config: DBSCMEConfig, pool: int = 1) -> None:
        super().__init__()
        self.point: nn.Module | None = nn.Conv2d(width, width, 1)  # None: quantize.graphs.fold added it to `local`
        self.local = nn.Conv2d(width, width, 3, padding=1)
        self.spatial = SpatialAttention(width, config, pool)
        self.gate = ChannelGate(config.channel_kernel)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return b + as_map(self.share(a + b)) * (a - b)

    def share(self, together: Tensor) -> Tensor:
        """s, (B, 1, D). together: a + b, (B, D, H, W)."""
        mixed = self.local(together)
        if self.point is not None:
            mixed = mixed + self.point(together)
        return self.gate(mean_of(mixed) + self.spatial.averaged(mixed))


def mean_of(x: Tensor) -> Tensor:
    """Over cells: (B, D, H, W) -> (B, 1, D)."""
    return x.mean(dim=(2, 3))[:, None]


def as_map(vector: Tensor) -> Tensor:
    """(B, 1, D) -> (B, D, 1, 1)"""
    return vector.transpose(1, 2)[..., None]


class DBSCME(nn.Module):
    """Both branches and the heads: e_k = s_k FC(F_sp_k) + (1 - s_k) FC(F_sh), s_k = sigmoid(w_k); then head_k.

    A branch that is off has no parameters, and the other's FC is the whole sum. A stream is a map, a vector, or both:
    the vector is the same in every cell. What is linear takes the two apart, so that no map of a vector is ever made.
    """

    def __init__(
        self,
        *,
        images: int,
        streams: int,
        width: int,
        classes: dict[str, int],
        dropout: float,
        config: DBSCMEConfig,
    ) -> None:
        """images: streams with a map, the first ones. streams: all, each with a vector."""
        super().__init__()
        self.config = config
        wide = width if config.reduce else streams * width  # channels of F_c
        if config.reduce and config.branches != "shared":
            self.reduce = nn.Conv2d(images * width, width, 1, bias=False)
            self.norm = nn.BatchNorm2d(width)
            self.reduce_vectors = nn.Linear(streams * width, width, bias=False)
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
            # None: quantize.graphs.fold multiplied it into specific_out and shared_out.
            self.mix: nn.ParameterDict | None = nn.ParameterDict(
                {task: nn.Parameter(torch.tensor(config.mix_start)) for task in classes}
            )
        inner = max(width // config.query_reduction, 4)
        one_each = {"tasks": len(classes), "streams": streams}
        self.tokens = TaskTokens(**one_each, width=width, inner=inner) if config.tokens else None
        self.dropout = nn.Dropout(dropout)
        entering = wide if config.branches == "none" else width
        self.heads = nn.ModuleDict({task: nn.Linear(entering, count) for task, count in classes.items()})

    def forward(
        self, maps: Tensor, vectors: Tensor, groups: dict[str, tuple[int, ...]]
    ) -> tuple[dict[str, Tensor], Tensor | None, Tensor | None]:
        """Logits by task, and what the loss keeps apart: specific (B, tasks, D) and shared (B, D) embeddings.

        maps: (B, I, D, G, G) of the first I streams. vectors: (B, S, D). groups: of SHARED_GROUPS, its streams.
        A branch that is off gives None: no pair has it. With "none", shared is pooled F_c: one embedding, no pair.
        Specific is F_sp pooled; where F_c is wider than F_sh (`reduce` off), it is FC(F_sp), so that both have D.
        """
        if self.config.branches == "none":
            pooled = self._all(maps, vectors).mean(dim=(2, 3))
            return {task: head(self.dropout(pooled)) for task, head in self.heads.items()}, None, pooled
        all_streams = self._all(maps, vectors) if self.config.has_specific else None
        mean = None if all_streams is None else mean_of(all_streams)
        shared = self._merge(maps, vectors, groups) if self.config.has_shared else None
        read = None if self.tokens is None else self.tokens(maps, vectors)
        specific, logits = [], {}
        for k, (task, head) in enumerate(self.heads.items()):
            own = projected = None
            if all_streams is not None:
                own = self.specific[task].averaged(all_streams, mean)  # (B, D)
                projected = self.specific_out[task](own)
                specific.append(own if self.config.reduce else projected)
            embedding = self._weighted_sum(task, projected, shared)
            embedding = embedding if read is None else embedding + read[:, k]
            logits[task] = head(self.dropout(torch.relu(embedding) if self.config.head_relu else embedding))
        return logits, torch.stack(specific, dim=1) if specific else None, shared

    def _all(self, maps: Tensor, vectors: Tensor) -> Tensor:
        """F_c: (B, D, G, G), or (B, S * D, G, G) without reduction."""
        if self.config.reduce:
            everywhere = self.reduce_vectors(vectors.flatten(1))[..., None, None]  # (B, D, 1, 1)
            return torch.relu(self.norm(self.reduce(maps.flatten(1, 2))) + everywhere)
        whole = vectors[..., None, None].expand(-1, -1, -1, *maps.shape[-2:])
        images = maps.shape[1]
        return torch.cat([maps + whole[:, :images], whole[:, images:]], dim=1).flatten(1, 2)

    def _merge(self, maps: Tensor, vectors: Tensor, groups: dict[str, tuple[int, ...]]) -> Tensor:
        """F_sh, pooled: (B, D)."""
        first, second, third = (
            vectors.new_tensor([float(k in groups[name]) for k in range(vectors.shape[1])])
            for name in self.config.order
        )
        sums = _sums(maps, vectors, torch.stack([first + second, first - second, second, third]))
        together, apart, second, third = sums.unbind(dim=1)
        merged = second + as_map(self.shared[0].share(together)) * apart
        a, b = (third, merged) if self.config.third_gated else (merged, third)
        share = self.shared[-1].share(a + b)
        a, b = mean_of(a), mean_of(b)
        return (b + share * (a - b))[:, 0]

    def _weighted_sum(self, task: str, projected: Tensor | None, shared: Tensor | None) -> Tensor:
        """e_k, (B, D)."""
        if shared is None:
            assert projected is not None
            return projected
        if projected is None:
            return self.shared_out[task](shared)
        if self.mix is None:
            return projected + self.shared_out[task](shared)
        share = torch.sigmoid(self.mix[task])
        return share * projected + (1.0 - share) * self.shared_out[task](shared)


def _sums(maps: Tensor, vectors: Tensor, factors: Tensor) -> Tensor:
    """Streams multiplied by the factors (n, S) and added, in one product: (B, n, D, G, G)."""
    of_maps = (factors[:, : maps.shape[1]] @ maps.flatten(2)).reshape(len(maps), len(factors), *maps.shape[2:])
    return of_maps + (factors @ vectors)[..., None, None]
