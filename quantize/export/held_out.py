"""What validation clips say of a model before it is quantized: temperatures, and what each set of cameras tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from codriver.console import say
from quantize.export.cameras import by_cameras
from quantize.export.temperature import confidence
from training.data.batches import predict
from training.data.clips import found, labels_of, load_clips
from training.data.takes import Lookout
from training.model.uvm3tl import UVM3TL
from workshop.aide_splits import ClipRef
from workshop.quantized_report import FittedTemperature, SubsetAccuracy


def held_out_facts(
    model: UVM3TL, refs: Sequence[ClipRef], class_counts: Mapping[str, Sequence[int]], lookout: Lookout | None
) -> tuple[dict[str, FittedTemperature], tuple[SubsetAccuracy, ...]]:
    """With a lookout, of clips as a device gets them: with frames alone."""
    say(f"fitting temperatures on {len(refs)} validation clips")
    clips = found(load_clips(refs, model.config, model.task_set, lookout=lookout))
    fitted = confidence(labels_of(clips), predict(model, clips))
    say("measuring what each set of cameras tells of a task, on the same clips")
    return fitted, by_cameras(model, clips, class_counts)
