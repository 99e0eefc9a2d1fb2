"""The reference that runtimes are held against: the emitted modules in torch, stepped as a device steps them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from codriver.tasks import GROUP_OF, GROUPS, STREAMS
from training.data import Clip
from training.model import ModelConfig, remembered


@torch.inference_mode()
def stepped_probabilities(
    encoder: nn.Module, fuser: nn.Module, clip: Clip, config: ModelConfig, tasks: Sequence[str]
) -> dict[str, list[float]]:
    """Probabilities after the clip's last slot, encoding one slot after another and remembering what each leaves."""
    before = {g: torch.zeros((len(members), *config.feature_shape(members[0]))) for g, members in GROUPS.items()}
    context = {s: torch.zeros((1, config.slots, *config.slot_shape(s))) for s in STREAMS}
    mask = torch.from_numpy(clip.mask)[None]  # (1, S, T)
    kept = remembered(mask)
    for slot in range(config.slots):
        frames = [torch.stack([torch.from_numpy(clip.frames[s][slot]) for s in members]) for members in GROUPS.values()]
        outputs = encoder(*frames, *before.values())
        features, slots = (
            dict(zip(GROUPS, part, strict=True)) for part in (outputs[: len(GROUPS)], outputs[len(GROUPS) :])
        )
        for index, stream in enumerate(STREAMS):
            group = GROUP_OF[stream]
            row = GROUPS[group].index(stream)
            before[group][row] = features[group][row] * mask[0, index, slot]
            context[stream][0, slot] = slots[group][row] * kept[0, index, slot]
    logits = fuser(*context.values(), kept)
    return {task: softmax(values) for task, values in zip(tasks, logits, strict=True)}


def softmax(logits: Tensor) -> list[float]:
    return [float(p) for p in logits[0].double().softmax(dim=0)]
