"""AdaTask: what all tasks share moves by each task's own Adam step, and these are added.

    m_k, v_k: moments of task k's gradient alone      step = rate * sum_k m_k' / (sqrt(v_k') + eps), ' unbiased

With one pair of moments the task with the longest gradients sets everybody's step: v is theirs. Yang, Pan, Wang, Yu,
Shen, Chen, Xiao, Jiang, Guo, "AdaTask: a task-aware adaptive learning rate approach to multi-task learning", AAAI 2023
(arXiv 2211.15055), with Adam. As there, steps are added, so that with K tasks they are up to K times as long. Ours: a
task's gradient is of its weighted loss and of an even share of what belongs to no task (decoupling), weight decay is
AdamW's and counts once, and shared is all that frames go through before DB-SCME. It costs one backward pass a task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from codriver.errors import ConfigError
from training.losses.afd import BY_TASK
from training.model.uvm3tl import UVM3TL
from training.trainer.config import TrainConfig
from training.trainer.learner import ModelWithLoss
from training.trainer.optimizer import SharedMoments

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def make_moments(fabric: Fabric, learner: ModelWithLoss, optimizer: Any, config: TrainConfig) -> SharedMoments:
    """As the config says. optimizer: as fabric wraps it."""
    if config.moments == "shared":
        return SharedMoments(fabric, learner, optimizer, config.clip_gradient)
    if fabric.world_size > 1 or config.precision == "16-mixed" or not isinstance(learner.model, UVM3TL):
        raise ConfigError(
            f"moments is {config.moments!r} with {fabric.world_size} processes, precision {config.precision} and "
            f"{type(learner.model).__name__}: expected one process, 32-true or bf16-mixed, and the model of four "
            "cameras; or take moments 'shared'"
        )
    return TaskMoments(fabric, learner, optimizer, config.clip_gradient)


class TaskMoments(SharedMoments):
    """The optimizer holds the first task's moments and all that is no task's; one more for each further task."""

    def __init__(self, fabric: Fabric, learner: ModelWithLoss, optimizer: Any, clip: float) -> None:
        super().__init__(fabric, learner, optimizer, clip)
        self.tasks: list[int] = learner.loss.chosen
        model = learner.model
        self.shared = [p for part in (model.encoders, model.motions, model.along_times) for p in part.parameters()]
        among = {id(p) for p in self.shared}
        self.own = [p for p in learner.parameters() if id(p) not in among]
        fused = self.raw.defaults["fused"]
        self.further = [torch.optim.AdamW(self.shared, weight_decay=0.0, fused=fused) for _ in self.tasks[1:]]
        self.gradients = self._none()

    def _none(self) -> list[list[Tensor | None]]:
        return [[None for _ in self.shared] for _ in self.tasks]

    def backward(self, total: Tensor, factor: float) -> None:
        parts = self.learner.parts
        assert parts is not None and parts.by_task is not None
        rest = [term for name, term in self.learner.terms.items() if name not in BY_TASK]
        everyones = torch.stack(rest).sum() / len(self.tasks) if rest else 0.0
        self.fabric.backward(total * factor, inputs=[p for p in self.own if p.requires_grad], retain_graph=True)
        moved = [k for k, p in enumerate(self.shared) if p.requires_grad]
        at = [self.shared[k] for k in moved]
        for mine, task in zip(self.gradients, self.tasks, strict=True):
            loss = (parts.by_task[task] + everyones) * factor
            for k, found in zip(
                moved, torch.autograd.grad(loss, at, retain_graph=True, allow_unused=True), strict=True
            ):
                if (
                    found is not None
                ):  # added in the parameter's own order of memory: the fused kernel takes it for that
                    added = mine[k]
                    mine[k] = (torch.zeros_like(self.shared[k]) if added is None else added).add_(found)

    def step(self) -> None:
        seen = [any(some[k] is not None for some in self.gradients) for k in range(len(self.shared))]
        for mine, optimizer in zip(self.gradients, (self.optimizer, *self.further), strict=True):
            for p, found, some in zip(self.shared, mine, seen, strict=True):
                p.grad = torch.zeros_like(p) if some and found is None else found
            for group in optimizer.param_groups:
                group["lr"] = self.raw.param_groups[0]["lr"]
            self._move(optimizer)
        self.gradients = self._none()

    def state_dict(self) -> dict[str, Any]:
        return {"first": super().state_dict(), "further": [some.state_dict() for some in self.further]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state["first"])
        for optimizer, saved in zip(self.further, state["further"], strict=True):
            optimizer.load_state_dict(saved)
