"""The two graphs that a device runs, cut out of the model.

encoder: the newest frame of every stream and each stream's feature one slot earlier (zeros where there is none)
         -> features, to be handed in again 0.2 s later, and slots, to be remembered for the context unless the feature
         one slot earlier was absent.
         Streams that share weights are one batch: `<group>`, `<group>_before` -> `<group>_feature`, `<group>_slot`.
fuser:   the context of every stream, `<stream>_slot`, and its `mask` -> logits, named as the tasks.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from codriver.tasks import GROUPS, JOINTS, STREAMS
from training.model.uvm3tl import UVM3TL, ModelConfig

ENCODER_INPUTS = (*GROUPS, *(f"{group}_before" for group in GROUPS))
ENCODER_OUTPUTS = (*(f"{group}_feature" for group in GROUPS), *(f"{group}_slot" for group in GROUPS))
FUSER_INPUTS = (*(f"{stream}_slot" for stream in STREAMS), "mask")

Pairs = Callable[[dict[str, Tensor]], tuple[dict[str, Tensor], dict[str, Tensor]]]


class EncoderGraph(nn.Module):
    """Frames of all groups, then features one slot earlier, each (N, ...) -> features, then slots, group by group.

    QAT has no features from earlier steps: it gives the frames alone, and `pairs`, which makes of their features those
    of each slot and the ones before. NNCF's quantizers act in this one call only, and tell groups by their order.
    """

    def __init__(self, model: UVM3TL) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor, pairs: Pairs | None = None) -> tuple[Tensor, ...]:
        features = now = self.model.encode(dict(zip(GROUPS, inputs[: len(GROUPS)], strict=True)))
        if pairs is None:
            before = dict(zip(GROUPS, inputs[len(GROUPS) :], strict=True))
        else:
            now, before = pairs(features)
        slots = self.model.motion(now, before)
        return (*features.values(), *slots.values())


class FuserGraph(nn.Module):
    """Slots of all streams, each (B, T, ...), and the mask (B, S, T) -> logits in task order."""

    def __init__(self, model: UVM3TL) -> None:
        super().__init__()
        self.model = model

    def forward(self, *slots_and_mask: Tensor) -> tuple[Tensor, ...]:
        *slots, mask = slots_and_mask
        return tuple(self.model.fuse(dict(zip(STREAMS, slots, strict=True)), mask).logits.values())


def example_step(config: ModelConfig) -> tuple[Tensor, ...]:
    """A black step of the right shape, for tracing alone: never for calibration."""
    shapes = {group: (len(members), members[0]) for group, members in GROUPS.items()}
    frames = [
        torch.zeros((n, *config.input_shape(s)), dtype=torch.float32 if s in JOINTS else torch.uint8)
        for n, s in shapes.values()
    ]
    return (*frames, *(torch.zeros((n, *config.feature_shape(s))) for n, s in shapes.values()))


def example_context(config: ModelConfig) -> tuple[Tensor, ...]:
    slots = [torch.zeros((1, config.slots, *config.slot_shape(s))) for s in STREAMS]
    return (*slots, torch.ones(1, len(STREAMS), config.slots))
