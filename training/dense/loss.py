"""AFD-Loss over tasks of any kind: the same weighting and decoupling as for the four answers. Our instantiation.

    L = sum_k w_k * L_k / c_k + beta * L_dec

L_k is the loss of the task's kind, c_k what the best constant answer costs on the training pictures: 1 means that
nothing was learned. L_dec looks at the pooled F_sp_k and F_sh, never at pixels: tasks share the truth of boundaries.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from codriver.errors import ConfigError
from codriver.tasks import TaskSet
from training.dense.model import KINDS, DenseAnswers
from training.losses.afd import LossConfig, LossParts, WeightedTasks, sum_of_terms
from training.losses.decoupling import TERMS
from training.losses.instruments import Embeddings


class DenseLoss(WeightedTasks):
    """The loss and the state that its weights come from."""

    def __init__(self, task_set: TaskSet, config: LossConfig, constants: Mapping[str, float]) -> None:
        """constants: task -> c_k."""
        super().__init__(config, torch.ones(len(task_set.tasks), dtype=torch.bool))
        if config.decoupling not in TERMS:
            raise ConfigError(f"decoupling {config.decoupling}: a benchmark's model has {', '.join(TERMS)}")
        self.task_set = task_set
        self.register_buffer("constants", torch.tensor([constants[name] for name in task_set.names]))

    def forward(self, answers: DenseAnswers, truth: Mapping[str, Any]) -> LossParts:
        """truth: task -> what its kind's `stacked` made. Computes in float32. In evaluation mode no state changes."""
        with torch.autocast(answers.shared.device.type, enabled=False):
            losses = self.task_losses(answers, truth)
            here = losses.detach() > 0  # 0: nobody in the batch has a truth, as of parts where no people are
            weighted, weights = self.weighting(losses, here, answers.shared.float())
            terms = {"tasks": weighted}
            decoupling = TERMS[self.config.decoupling](answers.specific.float(), answers.shared.float())
            if self.config.decouples:
                terms["decoupling"] = self.config.beta * decoupling
        if self.training:
            self._remember(losses.detach(), here * float(len(answers.shared)))
        embeddings = Embeddings(answers.specific.detach(), answers.shared.detach())
        total = sum_of_terms(terms)
        return LossParts(total, losses.detach(), weights, decoupling.detach(), terms, losses, embeddings)

    def task_losses(self, answers: DenseAnswers, truth: Mapping[str, Any]) -> Tensor:
        """(tasks,) L_k / c_k. Changes no state."""
        losses = [KINDS[t.kind].loss(t, answers.outputs[t.name], truth[t.name]) for t in self.task_set.tasks]
        return torch.stack(losses) / self.constants
