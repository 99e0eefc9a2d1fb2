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


class GraphRunner(Protocol):
    """One way to run the two graphs: torch modules, an engine, a reference."""

    def encode(self, frames: Arrays, before: Arrays, motions_before: Arrays) -> tuple[Arrays, Arrays, Arrays]:
        """Frames, and features and motions one slot earlier -> features, motions, slots; all group -> (B n, ...)."""
        ...

    def fuse(self, slots: Arrays, mask: NDArray[np.float32]) -> Arrays:
        """Contexts, stream -> (B, T, ...), and mask (B, S, T) -> logits, task -> (B, K)."""
        ...


@dataclass(frozen=True)
class Trace:
    """What B clips left behind. Zeros where a stream was absent: it is handed on as zeros."""

    features: Arrays  # group -> (T, B, n, *feature): handed to the next step
    motions: Arrays  # group -> (T, B, n, *slot): handed to the next step
    slots: Arrays  # group -> (T, B, n, *slot): remembered for the context
    probabilities: dict[str, NDArray[np.float64]]  # task -> (B, K), after the last slot


def stepped(graphs: GraphRunner, clips: Sequence[Clip], config: ModelConfig) -> Trace:
    """One slot after another; each step is handed what the one before left."""
    mask = masks_of(clips)
    there = (mask, remembered(mask), remembered(mask))
    before, motions_before = _nothing(config, len(clips))
    left = []
    for slot in range(config.slots):
        given = (_flat(some) for some in (_frames(clips, slot), before, motions_before))
        outputs = [_shaped(some, len(clips)) for some in graphs.encode(*given)]
        for some, present in zip(outputs, there, strict=True):
            for group in GROUPS:
                some[group] = some[group] * _of_group(present, group, slot, some[group].ndim)
        before, motions_before, _ = outputs
        left.append(outputs)
    features, motions, slots = ({g: np.stack([some[part][g] for some in left]) for g in GROUPS} for part in range(3))
    return _answered(graphs, (features, motions, slots), mask)


def whole(graphs: GraphRunner, clips: Sequence[Clip], config: ModelConfig) -> Trace:
    """All slots of all clips as one batch: first every feature, then every motion, then every slot."""
    mask, count = masks_of(clips), len(clips)
    each = [_frames(clips, slot) for slot in range(config.slots)]
    frames = _flat({g: np.concatenate([some[g] for some in each]) for g in GROUPS})  # (T B n, ...), slot by slot
    nothing = [
        {g: np.repeat(some, config.slots, axis=0) for g, some in kind.items()} for kind in _nothing(config, count)
    ]
    before, motions_before = (_flat(some) for some in nothing)
    features = _by_slot(graphs.encode(frames, before, motions_before)[0], mask, mask)
    before = _one_later(features)
    motions = _by_slot(graphs.encode(frames, before, motions_before)[1], mask, remembered(mask))
    slots = _by_slot(graphs.encode(frames, before, _one_later(motions))[2], mask, remembered(mask))
    return _answered(graphs, (features, motions, slots), mask)


def _one_later(arrays: Arrays) -> Arrays:
    """(T, B, n, ...) -> (T B n, ...), at each slot what was found at the one before, zeros at the first."""
    later = {g: np.concatenate([np.zeros_like(some[:1]), some[:-1]]) for g, some in arrays.items()}
    return {g: some.reshape(-1, *some.shape[3:]) for g, some in later.items()}


def masks_of(clips: Sequence[Clip]) -> NDArray[np.float32]:
    """(B, S, T), 1 where a frame is."""
    return np.stack([clip.mask for clip in clips])


def remembered(mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """(B, S, T) where frames are -> where slots are: see training.model.remembered."""
    return np.concatenate([np.zeros_like(mask[..., :1]), mask[..., 1:] * mask[..., :-1]], axis=-1)


def _answered(graphs: GraphRunner, left: tuple[Arrays, Arrays, Arrays], mask: NDArray[np.float32]) -> Trace:
    """left: features, motions, slots."""
    slots = left[2]
    context = {s: np.moveaxis(slots[GROUP_OF[s]][:, :, GROUPS[GROUP_OF[s]].index(s)], 0, 1) for s in STREAMS}
    logits = graphs.fuse(context, remembered(mask))
    return Trace(*left, {task: softmax(some.astype(np.float64), axis=1) for task, some in logits.items()})


def _frames(clips: Sequence[Clip], slot: int) -> Arrays:
    """group -> (B, n, ...)"""
    return {g: np.stack([[clip.frames[s][slot] for s in members] for clip in clips]) for g, members in GROUPS.items()}


def _nothing(config: ModelConfig, count: int) -> tuple[Arrays, Arrays]:
    """What is handed to a first step: features and motions, group -> (B, n, ...) of zeros."""
    features, motions = (
        {g: np.zeros((count, len(members), *shape(members[0])), np.float32) for g, members in GROUPS.items()}
        for shape in (config.feature_shape, config.slot_shape)
    )
    return features, motions


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
