"""A quantized model that answers whole clips, with gradients: what QAT trains and evaluation scores."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from codriver.tasks import GROUPS, STREAMS, TaskSet
from quantize.graphs.graphs import ModulePair
from quantize.ptq.quantizers import learnt_ranges
from training.model.clip_rows import earlier
from training.model.uvm3tl import UVM3TL, Fused, ModelConfig


class Tunable(nn.Module):
    """Encoder and fuser graph with NNCF's fake quantizers; called as UVM3TL is.

    Each frame is encoded once, and its feature serves as that of its own slot and as the one before the next, with
    gradients through both; so does each motion. The answers are those of the two graphs stepped slot by slot.
    """

    def __init__(self, pair: ModulePair) -> None:
        """pair: trained in place. Dropout is off."""
        super().__init__()
        self.pair = pair
        for module in pair.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0

    @property
    def core(self) -> UVM3TL:
        """The network inside, without the quantizers."""
        return self.pair.model

    @property
    def encoders(self) -> nn.Module:
        """Single frames to features, group by group, as UVM3TL's."""
        return self.core.encoders

    @property
    def dbscme(self) -> nn.Module:
        """Both branches and the heads, as UVM3TL's."""
        return self.core.dbscme

    @property
    def task_set(self) -> TaskSet:
        return self.core.task_set

    @property
    def config(self) -> ModelConfig:
        return self.core.config

    def forward(self, frames: dict[str, Tensor], mask: Tensor) -> Fused:
        """See UVM3TL.forward."""
        return self.core.clip(frames, mask, self._see, self._fuse)

    def _see(self, frames: dict[str, Tensor], rows: dict[str, Tensor]) -> dict[str, Tensor]:
        """See UVM3TL.see. A group that is absent from the whole batch is one black frame, whose slot nobody reads:
        NNCF tells groups by the order of their calls, so none may be left out."""
        device = self.core.dbscme.heads[self.task_set.names[0]].weight.device
        here = [frames[g] if g in frames else self._black(g, device) for g in GROUPS]
        known = {g: rows[g] if g in rows else torch.zeros((3, 1), dtype=torch.int64, device=device) for g in GROUPS}

        outputs = self.pair.encoder(*here, pairing=_Rows(self.pair.encoder, known))
        return dict(zip(GROUPS, outputs[2 * len(GROUPS) :], strict=True))

    def _fuse(self, slots: dict[str, Tensor], mask: Tensor) -> Fused:
        fused: Fused = self.pair.fuser(*(slots[stream] for stream in STREAMS), mask, whole=True)
        return fused

    def _black(self, group: str, device: torch.device) -> Tensor:
        shape = self.config.input_shape(GROUPS[group][0])
        return torch.zeros((1, *shape), dtype=torch.uint8 if len(shape) == 3 else torch.float32, device=device)

    def ranges(self) -> list[nn.Parameter]:
        """What the quantizers learn: how far each reaches."""
        return learnt_ranges(self.pair.encoder, self.pair.fuser)


class _Rows:
    """A `Pairing` by rows, group -> (3, M) as in training.model.uvm3tl.rows_of. What meets a later slot has left the
    graph and come back: through its outputs' quantizers, if any."""

    def __init__(self, encoder: nn.Module, rows: dict[str, Tensor]) -> None:
        self._encoder, self._rows = encoder, rows

    def features(self, features: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        carried = self._carried(features, 0)
        now, before = ({g: some[g][self._rows[g][k]] for g in GROUPS} for k, some in enumerate((features, carried)))
        return now, before

    def motions(self, motions: dict[str, Tensor]) -> dict[str, Tensor]:
        return {g: earlier(some, self._rows[g][2]) for g, some in self._carried(motions, len(GROUPS)).items()}

    def _carried(self, values: dict[str, Tensor], first: int) -> dict[str, Tensor]:
        """first: the number of the graph's output that the first group's is."""
        from nncf.torch.function_hook.wrapper import get_hook_storage, is_wrapped

        if not is_wrapped(self._encoder):
            return values
        hooks = get_hook_storage(self._encoder)
        return {
            g: hooks.execute_pre_function_hooks(f"output_{index}", 0, values[g])
            for index, g in enumerate(GROUPS, start=first)
        }
