"""Quantization-aware training of maps and boxes: the quantized graph learns on, with AFD-Loss at work.

    total = AFD-Loss(quantized model) + teacher * mean over maps of |FP32 - quantized|^2 / variance of FP32's

AFD-Loss goes on where full precision left it; its decoupling looks at features that come out of quantizers. Epoch 0 is
calibration: where learning on makes the worst task no better on validation pictures, calibration's weights are kept.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from codriver.errors import SourceError
from codriver.files.decode import Fault, decode
from codriver.tasks import TaskSet
from quantize.ptq.convolutions import hold_seven_bits
from quantize.ptq.quantizers import learnt_ranges
from quantize.qat.ranges import MovingRanges
from training.dense.lessons import VaryConfig, constants
from training.dense.loss import DenseLoss
from training.dense.model import DenseAnswers, DenseConfig, DenseUVM3TL
from training.dense.scene import SceneRef
from training.dense.scores import answers_of, scored
from training.dense.train import JUDGED, KNOWN, LOADERS, DenseLearner, DenseTrainer, lessons
from training.losses.afd import LossConfig
from training.losses.shares import KEY, of_records, said
from training.trainer.checkpoint import MARKER
from training.trainer.config import TrainConfig
from training.trainer.processes import make_fabric
from workshop.dense_report import DenseTuning

LEAST_VARIANCE = 1e-6  # of a map that is the same everywhere


@dataclass(frozen=True, kw_only=True)
class DenseQATConfig:
    epochs: int = 2
    learning_rate: float = 0.02  # at the start, as a share of the run's; falls to zero along a cosine
    range_rate: float = 0.1  # of the quantizers' ranges, as a share of the weights' learning rate
    hold_ranges: float = 1 / 3  # share of steps, the last, in which ranges stay as they are
    teacher: float = 1.0  # weight of the distance to the FP32 maps; 0 none
    ema: float = 0.99  # decay of the average of weights and ranges that is judged and kept; 0 none
    seed: int = 0


class DenseTunable(nn.Module):
    """NNCF's wrap of a DenseGraph, called as DenseUVM3TL is, with gradients."""

    def __init__(self, graph: nn.Module) -> None:
        super().__init__()
        self.graph = graph
        self._answers: DenseAnswers | None = None
        self._handle = self.core.register_forward_hook(self._keep)

    def _keep(self, core: nn.Module, given: Any, answers: DenseAnswers) -> None:
        self._answers = answers

    @property
    def core(self) -> DenseUVM3TL:
        found: DenseUVM3TL = self.graph.model
        return found

    @property
    def config(self) -> DenseConfig:
        return self.core.config

    @property
    def task_set(self) -> TaskSet:
        return self.core.task_set

    @property
    def pyramid(self) -> nn.Module:
        return self.core.pyramid

    @property
    def shared(self) -> nn.Module:
        return self.core.shared

    def ranges(self) -> list[nn.Parameter]:
        """What the quantizers learn: how far each reaches."""
        return learnt_ranges(self.graph)

    def forward(self, pixels: Tensor) -> DenseAnswers:
        """(B, H, W, 3) uint8: what the model inside gave, all of it through the quantizers."""
        self.graph(pixels)
        answers, self._answers = self._answers, None
        assert answers is not None
        return answers

    def freed(self) -> nn.Module:
        """The graph as it was, to export."""
        self._handle.remove()
        return self.graph.eval()


class DenseTaught(DenseLearner):
    """Quantized model, loss, and a teacher that is no part of it."""

    def __init__(self, model: Any, loss: DenseLoss, teacher: nn.Module, weight: float) -> None:
        super().__init__(model, loss)
        self._teacher, self._weight = (teacher.eval(),), weight

    def forward(self, images: Tensor, truth: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
        answers = self.model(images)
        parts = self.loss(answers, truth)
        total, self.terms, self.parts = parts.total, dict(parts.terms), parts
        if self._weight:
            with torch.no_grad():
                wanted = self._teacher[0](images)
            self.terms["teacher"] = self._weight * distance(answers, wanted)
            total = total + self.terms["teacher"]
        return total, parts.tasks, parts.decoupling


def distance(answers: DenseAnswers, wanted: DenseAnswers) -> Tensor:
    """Mean over all maps of their mean squared difference, as a share of the wanted map's variance."""
    pairs = zip(_maps(answers), _maps(wanted), strict=True)
    return torch.stack([(a - b).square().mean() / b.var().clamp(min=LEAST_VARIANCE) for a, b in pairs]).mean()


def _maps(answers: DenseAnswers) -> list[Tensor]:
    return [one for maps in answers.outputs.values() for one in (maps if isinstance(maps, list) else [maps])]


class DenseQATTrainer(MovingRanges, DenseTrainer):
    def __init__(self, model: DenseTunable, teacher: DenseUVM3TL, loss: DenseLoss, taken: Any, configs: Any) -> None:
        """configs: DenseQATConfig and TrainConfig."""
        self.qat, self.teacher = configs[0], teacher
        super().__init__(make_fabric(device="cpu"), model, loss, taken, configs[1])

    def make_learner(self) -> DenseLearner:
        return DenseTaught(self.model, self.loss, self.teacher, self.qat.teacher)


def train_config(meta: Mapping[str, Any], config: DenseQATConfig) -> TrainConfig:
    """The run's own way of training, with QAT's length and pace."""
    own = decode(TrainConfig, meta["train"])
    return replace(
        own,
        epochs=config.epochs,
        learning_rate=config.learning_rate * own.learning_rate,
        ema=config.ema,
        seed=config.seed,
        validate_every=1,
        precision="32-true",
        moments="shared",
    )


def loss_of(meta: Mapping[str, Any], model: DenseUVM3TL, taken: Sequence[Any]) -> DenseLoss:
    """The loss as full precision left it. meta: the run's."""
    loss = DenseLoss(model.task_set, decode(LossConfig, meta["loss"]), constants(taken[:KNOWN], model.task_set))
    loss.load_meta_state(dict(meta["loss_state"]))
    return loss


def finetune(
    graph: nn.Module, teacher: DenseUVM3TL, run: Path, refs: Mapping[str, Sequence[SceneRef]], config: DenseQATConfig
) -> tuple[nn.Module, DenseTuning]:
    """Train a calibrated graph in place, by training pictures; keep the epoch whose worst task is best on validation.

    teacher: the folded model in full precision. run: its folder. refs: by split; the test's are not looked at.
    """
    meta = json.loads((run / MARKER).read_text(encoding="utf-8"))
    model = DenseTunable(graph)
    taken = lessons(list(refs["train"]), model.config, "train")
    try:
        configs, loss = (config, train_config(meta, config)), loss_of(meta, model.core, taken)
    except (Fault, KeyError, RuntimeError) as error:
        raise SourceError(f"{run / MARKER} does not say how the run was trained ({error}); train it again") from error
    trainer = DenseQATTrainer(model, teacher, loss, taken, configs)
    watch = _Watch(trainer, teacher, refs["val"][:JUDGED])
    with tqdm(total=trainer.steps, desc="QAT", unit="step", disable=None) as bar:
        trainer.run(VaryConfig(), lambda *_: bar.update(), watch.on_epoch)
    model.load_state_dict(watch.kept)
    return model.freed(), watch.told(config)


class _Watch:
    """Judges each epoch beside full precision, and keeps the best one's weights."""

    def __init__(self, trainer: DenseQATTrainer, teacher: DenseUVM3TL, val: Sequence[SceneRef]) -> None:
        self.trainer = trainer
        loader = LOADERS[teacher.config.task_set]
        self._scenes = [loader.read(ref) for ref in val]
        self._full = self._judged(teacher)
        self.gained = [self._against_full(trainer.model)]  # by epoch, 0 is calibration
        self.best, self.kept = 0, copy.deepcopy(trainer.model.state_dict())

    def _judged(self, model: Any) -> dict[str, float]:
        found = scored(model.task_set, self._scenes, lambda scene: answers_of(model, scene))
        return {task: result.main for task, result in found.items()}

    def _against_full(self, model: Any) -> dict[str, float]:
        return {task: score - self._full[task] for task, score in self._judged(model).items()}

    def on_epoch(self, record: dict[str, Any]) -> None:
        kept: Any = self.trainer.kept
        hold_seven_bits(kept.graph)
        self.gained.append(self._against_full(kept))
        shares = f"; gradient at the encoders: {said(record[KEY])}" if KEY in record else ""
        points = "  ".join(f"{task} {100 * value:+.2f}" for task, value in self.gained[-1].items())
        tqdm.write(f"  epoch {record['epoch']}  validation against FP32, points: {points}{shares}", sys.stderr)
        if _standing(self.gained[-1]) > _standing(self.gained[self.best]):
            self.best, self.kept = record["epoch"], copy.deepcopy(kept.state_dict())

    def told(self, config: DenseQATConfig) -> DenseTuning:
        measured = of_records(self.trainer.progress.records)
        return DenseTuning(
            epochs=config.epochs,
            kept_epoch=self.best,
            val_pictures=len(self._scenes),
            gained=self.gained[self.best],
            gained_by_calibration=self.gained[0],
            gradients=measured[-1]["share"] if measured else {},
        )


def _standing(gained: Mapping[str, float]) -> float:
    """What the worst task gained; the mean decides where that is the same."""
    return min(gained.values()) + 1e-3 * sum(gained.values()) / len(gained)
