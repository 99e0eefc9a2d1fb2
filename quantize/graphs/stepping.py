"""Clips through an encoder and a fuser, whoever runs them: slot after slot as a device does, or whole clips at once.

B clips · n streams of a group · T slots. Rows of a group lie clip by clip, each clip's streams in the group's order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from codriver.arrays import Arrays
from codriver.tasks import GROUP_OF, GROUPS, STREAMS
from training.data.clips import Clip
from training.model.uvm3tl import ModelConfig


class Graphs(Protocol):
    """One way to run the two graphs: torch modules, an engine, a reference."""

    def encode(self, frames: Arrays, before: Arrays) -> tuple[Arrays, Arrays]:
        """Frames and features one slot earlier, group -> (B n, ...) -> features and slots, group -> (B n, ...)."""
        ...

    def fuse(self, slots: Arrays, mask: NDArray[np.float32]) -> Arrays:
        """Contexts, stream -> (B, T, ...), and mask (B, S, T) -> logits, task -> (B, K)."""
        ...


@dataclass(frozen=True)
class Trace:
    """What B clips left behind. Zeros where a stream was absent: it is handed on as zeros."""

    features: Arrays  # group -> (T, B, n, *feature): handed to the next step
    slots: Arrays  # group -> (T, B, n, *slot): remembered for the context
    probabilities: dict[str, NDArray[np.float64]]  # task -> (B, K), after the last slot


def stepped(graphs: Graphs, clips: Sequence[Clip], config: ModelConfig) -> Trace:
    """One slot after another; each step is handed what the one before left."""
    mask = masks_of(clips)
    before = _no_features(config, len(clips))
    left = []
    for slot in range(config.slots):
        features, slots = graphs.encode(_flat(_frames(clips, slot)), _flat(before))
        before, kept = (_shaped(some, len(clips)) for some in (features, slots))
        for group in GROUPS:
            before[group] = before[group] * _of_group(mask, group, slot, before[group].ndim)
            kept[group] = kept[group] * _of_group(remembered(mask), group, slot, kept[group].ndim)
        left.append((before, kept))
    features, slots = ({g: np.stack([some[part][g] for some in left]) for g in GROUPS} for part in (0, 1))
    return _answered(graphs, features, slots, mask)


def whole(graphs: Graphs, clips: Sequence[Clip], config: ModelConfig) -> Trace:
    """All slots of all clips as one batch: first every feature, then every slot from two features."""
    mask, count = masks_of(clips), len(clips)
    each = [_frames(clips, slot) for slot in range(config.slots)]
    frames = _flat({g: np.concatenate([some[g] for some in each]) for g in GROUPS})  # (T B n, ...), slot by slot
    nothing = {g: np.repeat(some, config.slots, axis=0) for g, some in _no_features(config, count).items()}
    features = _by_slot(graphs.encode(frames, _flat(nothing))[0], mask, mask)
    before = {g: np.concatenate([np.zeros_like(some[:1]), some[:-1]]) for g, some in features.items()}
    before = {g: some.reshape(-1, *some.shape[3:]) for g, some in before.items()}
    slots = _by_slot(graphs.encode(frames, before)[1], mask, remembered(mask))
    return _answered(graphs, features, slots, mask)


def masks_of(clips: Sequence[Clip]) -> NDArray[np.float32]:
    """(B, S, T), 1 where a frame is."""
    return np.stack([clip.mask for clip in clips])


def remembered(mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """(B, S, T) where frames are -> where slots are: see training.model.remembered."""
    return np.concatenate([np.zeros_like(mask[..., :1]), mask[..., 1:] * mask[..., :-1]], axis=-1)


def _answered(graphs: Graphs, features: Arrays, slots: Arrays, mask: NDArray[np.float32]) -> Trace:
    context = {s: np.moveaxis(slots[GROUP_OF[s]][:, :, GROUPS[GROUP_OF[s]].index(s)], 0, 1) for s in STREAMS}
    logits = graphs.fuse(context, remembered(mask))
    return Trace(features, slots, {task: softmax(some.astype(np.float64), axis=1) for task, some in logits.items()})


def _frames(clips: Sequence[Clip], slot: int) -> Arrays:
    """group -> (B, n, ...)"""
    return {g: np.stack([[clip.frames[s][slot] for s in members] for clip in clips]) for g, members in GROUPS.items()}


def _no_features(config: ModelConfig, count: int) -> Arrays:
    """What is handed to a first step: group -> (B, n, *feature) of zeros."""
    shapes = {g: (count, len(members), *config.feature_shape(members[0])) for g, members in GROUPS.items()}
    return {g: np.zeros(shape, np.float32) for g, shape in shapes.items()}


def _flat(arrays: Arrays) -> Arrays:
    """(B, n, ...) -> (B n, ...)"""
    return {g: some.reshape(-1, *some.shape[2:]) for g, some in arrays.items()}


def _shaped(rows: Arrays, count: int) -> Arrays:
    """(B n, ...) -> (B, n, ...)"""
    return {g: some.reshape(count, -1, *some.shape[1:]) for g, some in rows.items()}


def _by_slot(rows: Arrays, mask: NDArray[np.float32], present: NDArray[np.float32]) -> Arrays:
    """(T B n, ...) -> (T, B, n, ...), zeros where `present` (B, S, T) says that nothing is."""
    clips, _, slots = mask.shape
    shaped = {g: some.reshape(slots, clips, -1, *some.shape[1:]) for g, some in rows.items()}
    there = {g: np.stack([_of_group(present, g, t, some.ndim - 1) for t in range(slots)]) for g, some in shaped.items()}
    return {g: some * there[g] for g, some in shaped.items()}


def _of_group(mask: NDArray[np.float32], group: str, slot: int, ndim: int) -> NDArray[Any]:
    """(B, S, T) -> (B, n, 1, ...) of `ndim` dimensions: which of the group's streams the slot holds."""
    found = mask[:, [STREAMS.index(s) for s in GROUPS[group]], slot]
    return found.reshape(*found.shape, *[1] * (ndim - 2))
