"""The two graphs that a device runs, cut out of the model.

encoder: the newest frame of every stream, and what was found of each stream one slot earlier (zeros where there is
         none): its feature and its motion
         -> features and motions, to be handed in again 0.2 s later, and slots, to be remembered for the context. What
         the feature one slot earlier was absent for is no motion and no slot.
         Streams that share weights are one batch: `<group>`, `<group>_before`, `<group>_motion_before`
         -> `<group>_feature`, `<group>_motion`, `<group>_slot`.
fuser:   the context of every stream, `<stream>_slot`, and its `mask` -> logits, named as the tasks.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from codriver.tasks import GROUPS, JOINTS, STREAMS
from training.model.uvm3tl import UVM3TL, Fused, ModelConfig

ENCODER_INPUTS = (*GROUPS, *(f"{group}_before" for group in GROUPS), *(f"{group}_motion_before" for group in GROUPS))
ENCODER_OUTPUTS = tuple(f"{group}_{what}" for what in ("feature", "motion", "slot") for group in GROUPS)
FUSER_INPUTS = (*(f"{stream}_slot" for stream in STREAMS), "mask")

Groups = dict[str, Tensor]


class EncoderGraph(nn.Module):
    """Frames of all groups, then features and motions one slot earlier, each (N, ...) -> features, motions, slots.

    QAT has nothing from earlier steps: it gives the frames alone, and a `Pairing`, which makes of their features and
    motions those of each slot and the ones before. NNCF's quantizers act in this one call only, and tell groups by
    their order.
    """

    def __init__(self, model: UVM3TL) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor, pairing: ModulePairing | None = None) -> tuple[Tensor, ...]:
        frames, before, motions_before = (
            dict(zip(GROUPS, inputs[start : start + len(GROUPS)], strict=False)) for start in _STARTS
        )
        features = now = self.model.encode(frames)
        if pairing is not None:
            now, before = pairing.features(features)
        motions = self.model.motion(now, before)
        if pairing is not None:
            motions_before = pairing.motions(motions)
        slots = self.model.along_time(motions, motions_before)
        return (*features.values(), *motions.values(), *slots.values())


_STARTS = range(0, 3 * len(GROUPS), len(GROUPS))


class ModulePairing(Protocol):
    """Who meets whom, where all slots of a batch of clips are computed in one call."""

    def features(self, features: Groups) -> tuple[Groups, Groups]:
        """Of every frame -> of every slot, and of the one before each."""
        ...

    def motions(self, motions: Groups) -> Groups:
        """Of every slot -> of the one before each, zeros where there is none."""
        ...


class FuserGraph(nn.Module):
    """Slots of all streams, each (B, T, ...), and the mask (B, S, T) -> logits in task order.

    `whole` gives a `Fused` instead: QAT learns from what the loss keeps apart, too.
    """

    def __init__(self, model: UVM3TL) -> None:
        super().__init__()
        self.model = model

    def forward(self, *slots_and_mask: Tensor, whole: bool = False) -> tuple[Tensor, ...] | Fused:
        *slots, mask = slots_and_mask
        fused = self.model.fuse(dict(zip(STREAMS, slots, strict=True)), mask)
        return fused if whole else tuple(fused.logits.values())


class ModulePair(nn.Module):
    """Encoder and fuser graph, with NNCF's quantizers or without, around one network: what learns is in both."""

    def __init__(self, encoder: nn.Module, fuser: nn.Module) -> None:
        """fuser: from now on on the encoder's network."""
        super().__init__()
        self.encoder, self.fuser = encoder, fuser
        self.fuser.model = encoder.model
        self.register_state_dict_post_hook(_without_the_second)
        self.register_load_state_dict_pre_hook(_with_the_second)

    @property
    def model(self) -> UVM3TL:
        model: UVM3TL = self.encoder.model
        return model


def _without_the_second(_: nn.Module, state: dict[str, Tensor], prefix: str, __: object) -> None:
    """What both graphs hold is in a state once, as the encoder's."""
    for name in [name for name in state if name.startswith(f"{prefix}fuser.model.")]:
        del state[name]


def _with_the_second(_: nn.Module, state: dict[str, Tensor], prefix: str, *__: object) -> None:
    first = f"{prefix}encoder.model."
    shared = {name: value for name, value in state.items() if name.startswith(first)}
    state |= {f"{prefix}fuser.model.{name.removeprefix(first)}": value for name, value in shared.items()}


def pair_of(model: UVM3TL) -> ModulePair:
    """In full precision."""
    pair = ModulePair(EncoderGraph(model), FuserGraph(model))
    pair.eval()
    return pair


def example_step(config: ModelConfig) -> tuple[Tensor, ...]:
    """A black step of the right shape, for tracing alone: never for calibration."""
    members = {group: (len(streams), streams[0]) for group, streams in GROUPS.items()}
    frames = [
        torch.zeros((n, *config.input_shape(s)), dtype=torch.float32 if s in JOINTS else torch.uint8)
        for n, s in members.values()
    ]
    features = [torch.zeros((n, *config.feature_shape(s))) for n, s in members.values()]
    return (*frames, *features, *(torch.zeros((n, *config.slot_shape(s))) for n, s in members.values()))


def example_context(config: ModelConfig) -> tuple[Tensor, ...]:
    slots = [torch.zeros((1, config.slots, *config.slot_shape(s))) for s in STREAMS]
    return (*slots, torch.ones(1, len(STREAMS), config.slots))
