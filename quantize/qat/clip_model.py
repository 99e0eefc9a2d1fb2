"""A quantized model that answers whole clips, with gradients: what QAT trains and evaluation scores."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from codriver.tasks import GROUPS, TaskSet
from quantize.ptq.quantizers import quantizers
from training.model.uvm3tl import UVM3TL, Fused, ModelConfig


class Tunable(nn.Module):
    """The encoder graph with NNCF's fake quantizers, and the fuser in floating point; called as UVM3TL is.

    Each frame is encoded once, and its feature serves as that of its own slot and as the one before the next, with
    gradients through both. The answers are those of the two graphs stepped slot by slot.
    """

    def __init__(self, encoder: nn.Module) -> None:
        """encoder: what `quantized_encoder` returned; it is trained in place. Dropout is off."""
        super().__init__()
        self.encoder = encoder
        for module in encoder.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0

    @property
    def core(self) -> UVM3TL:
        """The network inside, without the quantizers."""
        core: UVM3TL = self.encoder.model
        return core

    @property
    def encoders(self) -> nn.Module:
        """Single frames to features, group by group, as UVM3TL's."""
        return self.core.encoders

    @property
    def task_set(self) -> TaskSet:
        return self.core.task_set

    @property
    def config(self) -> ModelConfig:
        return self.core.config

    def forward(self, frames: dict[str, Tensor], mask: Tensor) -> Fused:
        """See UVM3TL.forward."""
        return self.core.clip(frames, mask, self._see)

    def _see(self, frames: dict[str, Tensor], rows: dict[str, Tensor]) -> dict[str, Tensor]:
        """See UVM3TL.see. A group that is absent from the whole batch is one black frame, whose slot nobody reads:
        NNCF tells groups by the order of their calls, so none may be left out."""
        device = self.core.dbscme.heads[self.task_set.names[0]].weight.device
        here = [frames[g] if g in frames else self._black(g, device) for g in GROUPS]
        known = {g: rows[g] if g in rows else torch.zeros((2, 1), dtype=torch.int64, device=device) for g in GROUPS}

        def pairs(features: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
            carried = self._carried(features)
            own, before = ({g: some[g][known[g][k]] for g in GROUPS} for k, some in enumerate((features, carried)))
            return own, before

        outputs = self.encoder(*here, pairs=pairs)
        return dict(zip(GROUPS, outputs[len(GROUPS) :], strict=True))

    def _carried(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Features as they leave the graph and come back a slot later: through its outputs' quantizers, if any."""
        from nncf.torch.function_hook.wrapper import get_hook_storage

        hooks = get_hook_storage(self.encoder)
        return {
            g: hooks.execute_pre_function_hooks(f"output_{index}", 0, features[g]) for index, g in enumerate(GROUPS)
        }

    def _black(self, group: str, device: torch.device) -> Tensor:
        shape = self.config.input_shape(GROUPS[group][0])
        return torch.zeros((1, *shape), dtype=torch.uint8 if len(shape) == 3 else torch.float32, device=device)

    def ranges(self) -> list[nn.Parameter]:
        """What the quantizers learn: how far each reaches."""
        found = {id(p): p for q in quantizers(self.encoder).values() for p in q.parameters() if p.is_floating_point()}
        return list(found.values())
