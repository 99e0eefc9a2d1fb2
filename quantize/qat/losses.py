"""Quantization-aware training: the quantized model learns on, with AFD-Loss at work and the FP32 model as teacher.

    total = AFD-Loss(quantized model) + teacher * sum_k T^2 KL(FP32_k / T || quantized_k / T) / ln K_k

AFD-Loss goes on where full precision left it: the same weighting with its history, the same decoupling term, now on
features that come out of quantizers. Recipe: reference/int8.md 7. Batch normalisation is folded before quantization,
which is statistics frozen from the start. KL on softened logits: Hinton, Vinyals, Dean, "Distilling the knowledge in a
neural network", 2015.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codriver.errors import ConfigError, SourceError
from quantize.qat.clip_model import Tunable
from quantize.qat.ranges import MovingRanges
from training.losses.afd import AFDLoss
from training.losses.weighting import Equal
from training.model.uvm3tl import UVM3TL, Fused
from training.trainer.config import TrainConfig
from training.trainer.learner import ModelWithLoss
from training.trainer.record import RunRecord
from training.trainer.trainer import Trainer

if TYPE_CHECKING:
    from lightning_fabric import Fabric

LOSSES = ("afd", "frozen", "equal")


@dataclass(frozen=True, kw_only=True)
class QATConfig:
    """All that shapes the fine-tuned weights, besides the run, the dialect and the data."""

    epochs: int = 6
    loss: str = "afd"  # the run's own goes on; frozen: its task weights stay as they are; equal: each task weighs 1
    learning_rate: float = 0.002  # at the start, as a share of the run's; falls to zero along a cosine
    range_rate: float = 0.1  # of the quantizers' ranges, as a share of the weights' learning rate
    hold_ranges: float = 1 / 3  # share of steps, the last, in which ranges stay as they are
    teacher: float = 10.0  # weight of the distance to the FP32 answers; 0 none (DECISIONS.md, "QAT holds on to FP32")
    temperature: float = 2.0  # of that distance: higher looks at all classes, 1 at the likely ones
    ema: float = 0.99  # decay of the average of weights and ranges that is kept; 0 none
    sparse: float = 0.0  # share of epochs, the first, that see a few pairs of slots of each clip
    budget: float = 0.005  # accuracy that a task may lose against FP32 on validation clips before it is flagged
    patience: int = 3  # epochs in a row beyond the budget after which it ends
    clips: int = 0  # train on this many clips, chosen as calibration chooses; 0: all
    seed: int = 0

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise ConfigError(f"--qat-loss is {self.loss!r}, expected one of {', '.join(LOSSES)}")
        if self.epochs < 1 or self.patience < 1 or self.temperature <= 0:
            raise ConfigError(
                f"QAT with {self.epochs} epochs, patience {self.patience}, temperature {self.temperature}: "
                "expected 1 or more epochs and patience, and a temperature above 0"
            )


def loss_of(record: RunRecord, model: UVM3TL, config: QATConfig) -> AFDLoss:
    """The loss as full precision left it. record: of the run."""
    if record.loss_state is None:
        raise SourceError("the run's meta.json lacks the state of its loss; train the model again")
    loss = AFDLoss(model.task_set, record.loss, record.class_counts)
    try:
        loss.load_meta_state(dict(record.loss_state))
    except (KeyError, TypeError, RuntimeError) as error:
        raise SourceError(f"the state of the run's loss does not fit: {error}; train the model again") from error
    if config.loss != "afd":
        still = Equal(loss.weighting.trained)  # its weights are those used last, for ever
        still.history = loss.history
        if config.loss == "frozen":
            still.used.copy_(torch.tensor(loss.weights))
        loss.weighting = still
    return loss


def train_config(record: RunRecord, config: QATConfig) -> TrainConfig:
    """The run's own way of training, with QAT's length and pace."""
    return replace(
        record.train,
        epochs=config.epochs,
        learning_rate=config.learning_rate * record.train.learning_rate,
        sparse=config.sparse,
        ema=config.ema,
        seed=config.seed,
        validate_every=1,
        keep="best",
        precision="32-true",
        moments="shared",  # the model is at rest but for small steps, and a backward pass a task is dear
    )


class Taught(ModelWithLoss):
    """Quantized model, loss, and a teacher that is no part of it: not trained, not saved, not sent to processes."""

    def __init__(self, model: nn.Module, loss: AFDLoss, teacher: UVM3TL, config: QATConfig) -> None:
        super().__init__(model, loss)
        self.config, self._outside = config, (teacher.eval(),)

    def forward(self, frames: dict[str, Tensor], mask: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Batch -> total loss, task losses (tasks,), decoupling term. Leaves `terms` and `parts`."""
        fused = self.model(frames, mask)
        parts = self.loss(fused, labels, mask)
        total, self.terms, self.parts = parts.total, dict(parts.terms), parts
        if self.config.teacher:
            with torch.no_grad():
                wanted = self._outside[0](frames, mask)
            self.terms["teacher"] = self.config.teacher * distance(fused, wanted, self.config.temperature)
            total = total + self.terms["teacher"]
        return total, parts.tasks, parts.decoupling


def distance(fused: Fused, wanted: Fused, temperature: float) -> Tensor:
    """sum_k T^2 KL(wanted_k || fused_k) / ln K_k at temperature T: on the scale of AFD-Loss's task losses."""
    terms = [
        F.kl_div(
            F.log_softmax(logits / temperature, dim=1),
            F.log_softmax(wanted.logits[task] / temperature, dim=1),
            reduction="batchmean",
            log_target=True,
        )
        / math.log(logits.shape[1])
        for task, logits in fused.logits.items()
    ]
    return temperature**2 * torch.stack(terms).sum()


class QATTrainer(MovingRanges, Trainer):
    """Training's trainer on a quantized model: exact resume, lessons, average and loss are the same."""

    def __init__(
        self,
        fabric: Fabric,
        model: Tunable,
        teacher: UVM3TL,
        loss: AFDLoss,
        clips: Any,
        configs: tuple[QATConfig, TrainConfig],
    ) -> None:
        self.qat, self.teacher = configs[0], fabric.to_device(teacher)
        super().__init__(fabric, model, loss, clips, configs[1])

    def make_learner(self) -> ModelWithLoss:
        return Taught(self.model, self.loss, self.teacher, self.qat)
