"""What each set of cameras tells of a task: accuracy in full precision on validation clips, in every quantization."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from training.data.batches import predict
from training.data.clips import Clip, labels_of
from training.model.uvm3tl import UVM3TL
from workshop.quantized_report import SubsetAccuracy


def by_cameras(
    model: UVM3TL, clips: Sequence[Clip], class_counts: Mapping[str, Sequence[int]]
) -> tuple[SubsetAccuracy, ...]:
    """One row for each set of cameras, all four first. class_counts: of the training split, for the majority.

    A task is in a row if a camera of the set may tell of it; clips without a label for it do not count.
    """
    from training.evaluate import SUBSETS, with_views  # scikit-learn takes a second, which a --help should not

    labels, rows = labels_of(clips), []
    for views in SUBSETS if clips else ():
        found = predict(model, [with_views(clip, views) for clip in clips])
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
