"""A readout beside DB-SCME: a learned query per task looks at one token per stream. Our instantiation, for ablation.

    token_s = mean over cells of the stream's map, plus its vector
    added to e_k = sum_s softmax_s(q_k . (W_k token_s + p_s) / sqrt(d)) W_v token_s

Newer models on AIDE credit their gains to fusion by task tokens over tokens of the modalities (docs/aide.md); their
equations are not known to us. Attention: Vaswani et al., "Attention is all you need", NeurIPS 2017, eq. 1, with p_s, by
which a query knows which stream a token is of.

B batch · I streams with a map, the first ones · S stream · D width · d width of a query · G grid cells per side
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TaskTokens(nn.Module):
    """Maps (B, I, D, G, G) and vectors (B, S, D) to what is added to each task's embedding, (B, tasks, D)."""

    def __init__(self, *, tasks: int, streams: int, width: int, inner: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(tasks, inner))
        self.place = nn.Parameter(torch.zeros(streams, inner))
        self.key, self.value = nn.Linear(width, inner, bias=False), nn.Linear(width, width, bias=False)
        self.scale = inner**-0.5

    def forward(self, maps: Tensor, vectors: Tensor) -> Tensor:
        images = maps.shape[1]
        tokens = torch.cat([vectors[:, :images] + maps.mean(dim=(3, 4)), vectors[:, images:]], dim=1)  # (B, S, D)
        keys = self.key(tokens) + self.place
        looks = (self.query @ keys.transpose(1, 2) * self.scale).softmax(dim=2)  # (B, tasks, S)
        read: Tensor = looks @ self.value(tokens)
        return read
