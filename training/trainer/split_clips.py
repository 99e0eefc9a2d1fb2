"""The clips of each split that a process of a training needs, decoded or from a cache, with a bar while that takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from training.data.clips import Clip, load_clips, open_clips
from training.data.takes import Lookout
from training.model.uvm3tl import UVM3TL
from workshop.aide_splits import ClipRef

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def clips_by_split(
    refs: dict[str, list[ClipRef]], model: UVM3TL, fabric: Fabric, eyes: Lookout | None, cache: Path | None
) -> dict[str, Sequence[Clip]]:
    """All splits for the first process, the training split for others. Annotations are disturbed for lessons alone."""
    here = refs if fabric.is_global_zero else ("train",)
    looks = {split: eyes if split == "train" else eyes and eyes.undisturbed for split in here}
    return {split: _load(refs[split], model, split, fabric, looks[split], cache) for split in here}


def _load(
    refs: Sequence[ClipRef], model: UVM3TL, split: str, fabric: Fabric, eyes: Lookout | None, cache: Path | None
) -> Sequence[Clip]:
    bar = tqdm(total=len(refs), desc=f"decode {split:5}", unit="clip", disable=None if fabric.is_global_zero else True)
    with bar:

        def counted(clips):  # type: ignore[no-untyped-def]
            for clip in clips:
                bar.update()
                yield clip

        if cache:
            return open_clips(refs, model.config, model.task_set, cache, progress=counted, lookout=eyes)
        return load_clips(refs, model.config, model.task_set, counted, lookout=eyes)
