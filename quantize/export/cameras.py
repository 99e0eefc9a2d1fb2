"""What each set of cameras tells of a task: accuracy in full precision on validation clips, in every quantization."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codriver.tasks import STREAMS, VIEW_OF
from training.data.batches import collate
from training.data.clips import Clip, labels_of
from training.model.uvm3tl import UVM3TL, Fused
from workshop.quantized_report import SubsetAccuracy

BATCH = 16
Answers = dict[str, NDArray[np.float64]]  # task -> (clips, K)
Way = TypeVar("Way", bound=Hashable)


@torch.inference_mode()
def answers_without(model: UVM3TL, clips: Sequence[Clip], ways: Mapping[Way, Collection[str]]) -> dict[Way, Answers]:
    """Probabilities of every clip, each way without these streams.

    What one stream shows does not depend on the others: every frame is encoded once, and only fused for each way.
    """
    parts: dict[Way, list[dict[str, Tensor]]] = {way: [] for way in ways}
    for start in range(0, len(clips), BATCH):
        frames, mask, _ = collate(clips[start : start + BATCH])
        seen: list[tuple[dict[str, Tensor], Tensor]] = []

        def kept(slots: dict[str, Tensor], where: Tensor, seen: Any = seen) -> Fused:
            seen.append((slots, where))
            return model.fuse(slots, where)

        model.clip(frames, mask, model.see, kept)
        slots, where = seen[0]
        for way, lost in ways.items():
            there = {s: float(s not in lost) for s in STREAMS}
            given = where * where.new_tensor(list(there.values()))[:, None]  # (B, S, T)
            logits = model.fuse({s: slots[s] * there[s] for s in STREAMS}, given).logits
            parts[way].append({task: found.double().softmax(dim=1) for task, found in logits.items()})
    return {way: {t: torch.cat([part[t] for part in some]).numpy() for t in some[0]} for way, some in parts.items()}


def sets_of_cameras() -> dict[tuple[str, ...], set[str]]:
    """Each set of cameras, all four first -> the streams that are absent then."""
    from training.evaluate import SUBSETS  # scikit-learn takes a second, which a --help should not

    return {views: {s for s in STREAMS if VIEW_OF[s] not in views} for views in SUBSETS}


def by_cameras(
    model: UVM3TL,
    clips: Sequence[Clip],
    answers: Mapping[tuple[str, ...], Answers],
    class_counts: Mapping[str, Sequence[int]],
) -> tuple[SubsetAccuracy, ...]:
    """One row for each set of cameras, all four first. class_counts: of the training split, for the majority.

    A task is in a row if a camera of the set may tell of it; clips without a label for it do not count.
    """
    labels, rows = labels_of(clips), []
    for views, found in answers.items():
        accuracy, majority = {}, {}
        for k, task in enumerate(model.task_set.tasks):
            known = labels[:, k] >= 0
            if set(task.needs_any) & set(views) and known.any():
                truth = labels[known, k]
                most = int(np.argmax(class_counts[task.name])) if class_counts.get(task.name) else -1
                accuracy[task.name] = round(float((found[task.name][known].argmax(axis=1) == truth).mean()), 4)
                majority[task.name] = round(float((truth == most).mean()), 4)
        rows.append(
            SubsetAccuracy(
                views=tuple(views), answered=tuple(accuracy), accuracy=accuracy, majority=majority, clips=len(clips)
            )
        )
    return tuple(rows)
