"""Calibration data: real training clips, stratified by every task's labels. Without data there is no INT8."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codriver.errors import ConfigError
from codriver.sources.aide import read_annotation
from codriver.tasks import GROUPS, JOINTS, STREAMS, TaskSet
from training.data.batches import collate
from training.data.clips import Clip, load_clips, read_labels, with_take
from training.data.takes import FOUND, Lookout
from training.model.uvm3tl import UVM3TL, Fused
from workshop.aide_splits import ClipRef

CALIBRATION_SLOTS = (3, 7, 11, 15)  # of each clip: spread over its time
CONTEXT_CLIPS = 16  # for the fuser, which sees all slots of each: as much work as the encoder's steps of 64 clips


@dataclass(frozen=True)
class Calibration:
    """Clips to calibrate on, and which these are."""

    clips: list[Clip]
    ids: tuple[str, ...]
    class_counts: dict[str, dict[str, int]]  # task -> label


def choose(labels: NDArray[np.int64], count: int, seed: int) -> list[int]:
    """Indices of `count` clips in which the classes of every task are as even as the data allows.

    labels: (clips, tasks). Each pick takes, at random, a clip of the class that has been picked least so far.
    """
    if count > len(labels):
        raise ConfigError(f"calibration asks for {count} clips, the training split holds {len(labels)}; ask for fewer")
    rng = np.random.default_rng(seed)
    left = list(rng.permutation(len(labels)))
    cells = [(task, value) for task in range(labels.shape[1]) for value in np.unique(labels[:, task])]
    picked: list[int] = []
    while len(picked) < count:
        seen = {cell: sum(labels[i, cell[0]] == cell[1] for i in picked) for cell in cells}
        for task, value in sorted(cells, key=lambda cell: seen[cell]):
            match = next((i for i in left if labels[i, task] == value), None)
            if match is not None:
                break
        assert match is not None, "every clip that is left is of some class"
        picked.append(int(match))
        left.remove(match)
    return picked


def calibration_clips(
    refs: Sequence[ClipRef], model: UVM3TL, count: int, seed: int, lookout: Lookout | None = None
) -> Calibration:
    """Choose and decode. `refs` are the training split's. Every second clip is as the lookout sees it.

    A stream that the lookout never looks for stays masked there, but keeps the annotation's numbers: a caller may give
    them, so the encoder's ranges must know them.
    """
    labels = np.stack([read_labels(ref, read_annotation(ref.annotation), model.task_set) for ref in refs])
    chosen = [refs[index] for index in choose(labels, count, seed)]
    picked = labels[[refs.index(ref) for ref in chosen]]
    ids = tuple(ref.id for ref in chosen)
    clips = load_clips(chosen, model.config, model.task_set, lookout=lookout)
    clips[::2] = [_as_found(clip, lookout.parts) for clip in clips[::2]] if lookout else clips[::2]
    return Calibration(clips, ids, class_table(picked, model.task_set))


def _as_found(clip: Clip, parts: Sequence[str]) -> Clip:
    seen, never = with_take(clip, FOUND), [stream for stream in JOINTS if stream not in parts]
    return replace(seen, frames=seen.frames | {stream: clip.frames[stream] for stream in never})


def class_table(labels: NDArray[np.int64], task_set: TaskSet) -> dict[str, dict[str, int]]:
    return {
        task.name: {label: int((labels[:, k] == index).sum()) for index, label in enumerate(task.labels)}
        for k, task in enumerate(task_set.tasks)
    }


@torch.inference_mode()
def encoder_steps(model: UVM3TL, clips: Sequence[Clip], slots: Sequence[int]) -> Iterator[tuple[Tensor, ...]]:
    """What the encoder graph takes, one item a clip: frames at `slots` (from 2 on), and full-precision features and
    motions one slot earlier.

    A clip in which a stream lacks one of the slots is passed over: zeros would teach the ranges something false.
    """
    for clip in clips:
        wanted = sorted({slot - back for slot in slots for back in range(3)})
        if not all(clip.mask[row, wanted].all() or _known(clip, stream, wanted) for row, stream in enumerate(STREAMS)):
            continue
        now, earlier, earliest = (
            {
                g: torch.cat([torch.from_numpy(clip.frames[s][[slot - back for slot in slots]]) for s in members])
                for g, members in GROUPS.items()
            }
            for back in range(3)
        )
        before = model.encode(earlier)
        yield (*now.values(), *before.values(), *model.motion(before, model.encode(earliest)).values())


def _known(clip: Clip, stream: str, slots: Sequence[int]) -> bool:
    """Whether joints lie in each of the slots although the whole stream is masked: see calibration_clips."""
    masked = not clip.mask[STREAMS.index(stream)].any()
    return masked and stream in JOINTS and bool(clip.frames[stream][list(slots)].any(axis=(1, 2)).all())


@torch.inference_mode()
def fuser_contexts(model: UVM3TL, clips: Sequence[Clip]) -> Iterator[tuple[Tensor, ...]]:
    """What the fuser graph takes, from full-precision slots: two items a clip, as it is and with every second stream
    absent, so that the ranges know the tokens of absent streams too."""
    for number, clip in enumerate(clips):
        frames, mask, _ = collate([clip])
        for absent in ((), range(number % 2, len(STREAMS), 2)):
            there = mask.clone()
            there[:, list(absent)] = 0.0
            found: list[tuple[dict[str, Tensor], Tensor]] = []

            def kept(slots: dict[str, Tensor], where: Tensor, found: Any = found) -> Fused:
                found.append((slots, where))
                return model.fuse(slots, where)

            model.clip(frames, there, model.see, kept)
            slots, where = found[0]
            yield (*(slots[stream] for stream in STREAMS), where)
