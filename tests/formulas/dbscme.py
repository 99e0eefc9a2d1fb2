"""DB-SCME from its figure (arXiv 2602.01594): arrays in, arrays out, one clip at a time.

weights: name -> array, as the parameters are called in a state dict.  D width · G cells per side · K classes
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Weights = Mapping[str, Floats]
Streams = tuple[Floats, Floats]  # maps (I, D, G, G) of the first streams, vectors (S, D) of all
EPS = 1e-5  # of batch normalisation


@dataclass(frozen=True)
class Choices:
    """What the figure leaves open."""

    heads: int = 1
    scaled: bool = True
    reduce: bool = True
    tied: bool = False
    third_gated: bool = True
    head_relu: bool = True
    order: tuple[str, ...] = ("scene", "driver", "joints")


@dataclass(frozen=True)
class Answer:
    logits: dict[str, Floats]
    specific: Floats | None  # (tasks, D)
    shared: Floats | None  # (D,)


def softmax(scores: Floats) -> Floats:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def sigmoid(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-x)))


def linear(x: Floats, weights: Weights, name: str) -> Floats:
    return np.asarray(x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"])


def convolution(x: Floats, kernel: Floats, bias: Floats) -> Floats:
    """(C, G, G) with zeros around -> (C', G, G). kernel: (C', C, k, k)."""
    reach, cells = kernel.shape[-1] // 2, x.shape[-1]
    padded = np.pad(x, ((0, 0), (reach, reach), (reach, reach)))
    out = np.zeros((len(kernel), cells, cells))
    for row in range(cells):
        for column in range(cells):
            patch = padded[:, row : row + 2 * reach + 1, column : column + 2 * reach + 1]
            out[:, row, column] = (kernel * patch).sum(axis=(1, 2, 3)) + bias
    return out


def spatial(x: Floats, weights: Weights, name: str, choices: Choices) -> Floats:
    """Attention of every cell to every cell: softmax(q k^T / sqrt(d)) v, head by head."""
    tokens = x.reshape(len(x), -1).T  # (cells, D)
    query, key, value = (tokens @ weights[f"{name}.{part}.weight"].T for part in ("query", "key", "value"))
    parts = []
    for q, k, v in zip(*(np.split(some, choices.heads, axis=1) for some in (query, key, value)), strict=True):
        scale = 1 / np.sqrt(q.shape[1]) if choices.scaled else 1.0
        parts.append(softmax(scale * q @ k.T) @ v)
    return np.asarray(np.concatenate(parts, axis=1).T.reshape(x.shape))


def channel(x: Floats, weights: Weights, name: str) -> Floats:
    """A share of 0 to 1 for every channel: sigmoid(softmax(q k^T) v), q, k, v convolutions along pooled channels."""
    pooled = x.mean(axis=(1, 2))
    rows = []
    for part in range(3):
        kernel = weights[f"{name}.query_key_value.weight"][part, 0]
        bias = weights[f"{name}.query_key_value.bias"][part]
        rows.append(np.correlate(np.pad(pooled, len(kernel) // 2), kernel, "valid") + bias)
    query, key, value = rows
    return sigmoid(softmax(np.outer(query, key)) @ value)


def specific_branch(x: Floats, weights: Weights, name: str, choices: Choices) -> Floats:
    """Spatial attention around which the input is added, then every channel times its share."""
    x = x + spatial(x, weights, f"{name}.spatial", choices)
    return np.asarray(x * channel(x, weights, f"{name}.gate")[:, None, None])


def shared_branch(a: Floats, b: Floats, weights: Weights, name: str, choices: Choices) -> Floats:
    """s * a + (1 - s) * b, s from the sum of both: point-wise plus local convolution, spatial with residual, gate."""
    both = a + b
    point = convolution(both, weights[f"{name}.point.weight"], weights[f"{name}.point.bias"])
    mixed = point + convolution(both, weights[f"{name}.local.weight"], weights[f"{name}.local.bias"])
    mixed = mixed + spatial(mixed, weights, f"{name}.spatial", choices)
    share = channel(mixed, weights, f"{name}.gate")[:, None, None]
    return np.asarray(share * a + (1 - share) * b)


def whole_maps(streams: Streams) -> list[Floats]:
    """What each stream tells in every cell: its vector, and its map if it has one. (D, G, G) each."""
    maps, vectors = streams
    cells = np.zeros(maps.shape[2:])
    return [v[:, None, None] + (maps[k] if k < len(maps) else cells) for k, v in enumerate(vectors)]


def all_streams(streams: Streams, weights: Weights, choices: Choices) -> Floats:
    """F_c: the maps side by side; reduced by a 1x1 convolution, normalised, the vectors' own projection added, and
    without what is negative."""
    if not choices.reduce:
        return np.concatenate(whole_maps(streams))
    maps, vectors = streams
    x = np.einsum("oc,cij->oij", weights["reduce.weight"][:, :, 0, 0], np.concatenate(maps))
    mean, variance, gain, shift = (
        weights[f"norm.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
    )
    everywhere = weights["reduce_vectors.weight"] @ vectors.ravel()
    return np.maximum((x - mean) / np.sqrt(variance + EPS) * gain + shift + everywhere[:, None, None], 0)


def dbscme(
    streams: Streams,
    members: Mapping[str, Sequence[int]],
    weights: Weights,
    classes: Sequence[str],
    branches: str,
    choices: Choices,
) -> Answer:
    """e_k = s_k FC(F_sp_k) + (1 - s_k) FC(F_sh), then the head. members: of each group, its
    streams. classes: the tasks' names."""
    groups = {name: sum(whole_maps(streams)[k] for k in some) for name, some in members.items()}
    if branches == "none":
        pooled = all_streams(streams, weights, choices).mean(axis=(1, 2))
        return Answer({task: linear(pooled, weights, f"heads.{task}") for task in classes}, None, pooled)
    shared, specific, logits = None, [], {}
    if branches != "specific":
        first, second, third = (groups[name] for name in choices.order)
        merged = shared_branch(first, second, weights, "shared.0", choices)
        pair = (third, merged) if choices.third_gated else (merged, third)
        again = "shared.0" if choices.tied else "shared.1"
        shared = shared_branch(*pair, weights, again, choices).mean(axis=(1, 2))
    for task in classes:
        parts = []
        if branches != "shared":
            x = all_streams(streams, weights, choices)
            own = specific_branch(x, weights, f"specific.{task}", choices).mean(axis=(1, 2))
            parts.append(linear(own, weights, f"specific_out.{task}"))
            specific.append(own if choices.reduce else parts[0])
        if shared is not None:
            parts.append(linear(shared, weights, f"shared_out.{task}"))
        share = sigmoid(weights[f"mix.{task}"]) if branches == "both" else np.float64(1)
        embedding = share * parts[0] + (1 - share) * parts[-1]
        embedding = np.maximum(embedding, 0) if choices.head_relu else embedding
        logits[task] = linear(embedding, weights, f"heads.{task}")
    return Answer(logits, np.array(specific) if specific else None, shared)
