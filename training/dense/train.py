"""Train a dense task set with training's own trainer: resume, moving average, processes, mixed precision."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from tqdm import tqdm

from codriver.errors import SourceError
from training.dense.benchmarks import bdd100k, cityscapes, cityscapes_small, nyudv2, pascal_context
from training.dense.lesson_store import LessonStore
from training.dense.lessons import VaryConfig, batch_of, constants, start_of, varied
from training.dense.loss import DenseLoss
from training.dense.model import DenseConfig, DenseUVM3TL
from training.dense.scene import SceneRef
from training.dense.scores import TaskScores, answers_of, scored, written
from training.losses.afd import LossConfig, LossParts
from training.report.curves import draw_curves
from training.trainer import checkpoint
from training.trainer.checkpoint import BEST, CURVES, LAST, MARKER, save_model
from training.trainer.config import TrainConfig
from training.trainer.processes import make_fabric
from training.trainer.run_log import RunLog, RunOptions
from training.trainer.trainer import Trainer
from workshop.artifacts import provenance, whole_folder

# What a benchmark brings: index(root, split) and read(ref).
LOADERS = {
    "bdd100k": bdd100k,
    "cityscapes": cityscapes,
    "cityscapes-small": cityscapes_small,
    "nyudv2": nyudv2,
    "pascal-context": pascal_context,
}
SPLITS = ("train", "val", "test")
KIND = "dense run"  # what meta.json says; the four-camera model's is a run
JUDGED = 200  # validation pictures that an epoch is judged by
KNOWN = 400  # training pictures that the constants come from


class DenseLearner(nn.Module):
    """Model and loss as one module."""

    def __init__(self, model: DenseUVM3TL, loss: DenseLoss) -> None:
        super().__init__()
        self.model, self.loss = model, loss
        self.terms: dict[str, Tensor] = {}  # of the newest batch, with gradient
        self.parts: LossParts | None = None  # likewise

    def forward(self, images: Tensor, truth: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
        parts = self.loss(self.model(images), truth)
        self.terms, self.parts = parts.terms, parts
        return parts.total, parts.tasks, parts.decoupling


class DenseTrainer(Trainer):
    """The trainer on lessons of scenes."""

    def make_learner(self) -> DenseLearner:
        return DenseLearner(self.model, self.loss)

    def encoders(self) -> nn.Module:
        return self.model.pyramid

    def common(self) -> dict[str, nn.Module]:
        return {"encoders": self.model.pyramid, "dbscme": self.model.shared}

    def variation(self, augment: VaryConfig, epoch: int) -> VaryConfig:
        return augment

    def make_batch(self, rows: Any, epoch: int, augment: VaryConfig) -> Any:
        seed, tasks = self.config.seed, self.model.task_set
        seeds = ((int(i), np.random.default_rng([seed, epoch, 1, int(i)])) for i in rows)
        return batch_of((varied(self.clips[i], tasks, rng, augment) for i, rng in seeds), tasks)  # type: ignore[arg-type]

    def size_of(self, batch: Any) -> int:
        return len(batch[0])

    def losses_of(self, batch: Any) -> Tensor:
        images, truth = batch
        with self.fabric.autocast():
            answers = self.model(images)
        return self.loss.task_losses(answers, truth)


class DenseRunLog(RunLog):
    """Judges by each task's main score."""

    def judge(self, model: DenseUVM3TL) -> tuple[dict[str, Any], dict[str, float]]:
        loader = LOADERS[model.config.task_set]
        scenes = (loader.read(ref) for ref in self.val)
        results = scored(model.task_set, scenes, lambda scene: answers_of(model, scene))
        return {task: to_json(r) | {"accuracy": r.main} for task, r in results.items()}, {
            task: r.main for task, r in results.items()
        }

    def draw(self) -> None:
        records = self.trainer.progress.records
        draw_curves(records, self.partial / CURVES, self.trainer.model.task_set)


@dataclass(frozen=True)
class DenseData:
    """The refs of each split."""

    root: Path
    refs: dict[str, list[SceneRef]]

    @classmethod
    def of(cls, root: Path, task_set: str) -> DenseData:
        refs = {split: LOADERS[task_set].index(root, split) for split in SPLITS}
        for split, some in refs.items():
            if not some:
                counts = ", ".join(f"{len(found)} of {name}" for name, found in refs.items())
                raise SourceError(f"{root}: no picture falls to {split} ({counts}); it takes more pictures to train on")
        return cls(root, refs)


def to_json(result: TaskScores) -> dict[str, Any]:
    return {"scores": result.scores, "chosen_by": result.chosen_by, "interval": list(result.interval)}


def lessons(refs: Sequence[SceneRef], config: DenseConfig, name: str) -> LessonStore:
    """All scenes at the network's size: 60 kB a picture at toy, 1 MB at edge."""
    store = LessonStore(refs, LOADERS[config.task_set].read, config.chosen, (config.height, config.width))
    return store.fill(lambda some: tqdm(some, desc=f"decode {name:5}", unit="picture", disable=None))


def _identity(
    config: TrainConfig, model_config: DenseConfig, loss_config: LossConfig, vary: VaryConfig, known: DenseData
) -> dict[str, Any]:
    """All that a run must have in common with the one it resumes, as JSON values."""
    names = {split: [ref.name for ref in refs] for split, refs in known.refs.items()}
    groups = {"train": asdict(config), "loss": asdict(loss_config), "vary": asdict(vary), "data": names}
    groups["model"] = model_config.to_dict()
    return dict(json.loads(json.dumps(groups)))


def train_dense(
    data: Path,
    out: Path,
    config: TrainConfig,
    model_config: DenseConfig,
    loss_config: LossConfig,
    vary: VaryConfig,
    run_options: RunOptions,
) -> dict[str, TaskScores]:
    """Train, judge on validation pictures now and then, and leave a run folder. Returns the test scores."""
    partial = checkpoint.partial_folder(out)
    checkpoint.check_start(partial, run_options.resume, run_options.overwrite)
    fabric = make_fabric(config.precision, run_options.device)
    known = DenseData.of(data, model_config.task_set)
    began = _identity(config, model_config, loss_config, vary, known) | {"processes": {"count": fabric.world_size}}
    saved = None
    if run_options.resume and (partial / LAST).is_file():
        saved = checkpoint.load_checkpoint(partial)
        checkpoint.check_same(saved["began"], began, partial)
    torch.manual_seed(config.seed)
    model = DenseUVM3TL(model_config)
    with ExitStack() as stack:
        folder = stack.enter_context(whole_folder(out, marker=MARKER)) if fabric.is_global_zero else None
        taken = lessons(known.refs["train"], model_config, "train")
        model.start_from(start_of(taken[:KNOWN], model.task_set))
        loss = DenseLoss(model.task_set, loss_config, constants(taken[:KNOWN], model.task_set))
        trainer = DenseTrainer(fabric, model, loss, taken, config)  # type: ignore[arg-type]
        if saved:
            trainer.load_state(saved)
        fabric.barrier()
        if fabric.is_global_zero:
            checkpoint.prepare(partial, trainer.progress.records, keep=saved is not None)
        DenseRunLog(trainer, known.refs["val"][:JUDGED], partial, began, run_options).fit(vary, run_options.workers)
        if folder is None:
            return {}
        shutil.copytree(partial, folder, dirs_exist_ok=True)
        results = _tested(folder, trainer, known, began)
    checkpoint.clear(partial)
    return results


def _tested(folder: Path, trainer: Trainer, known: DenseData, began: dict[str, Any]) -> dict[str, TaskScores]:
    kept: Any = trainer.kept
    if trainer.config.keep == "best":
        kept.load_state_dict(load_file(str(folder / BEST)))
    loader = LOADERS[kept.config.task_set]
    scenes = (loader.read(ref) for ref in tqdm(known.refs["test"], desc="test", leave=False, disable=None))
    results = scored(kept.task_set, scenes, lambda scene: answers_of(kept, scene))
    about = {
        **provenance(("torch", "lightning-fabric", "opencv-python-headless", "safetensors"), trainer.config.seed),
        "train": began["train"],
        "loss": began["loss"],
        "pictures": {split: len(refs) for split, refs in known.refs.items()},
        "best_epoch": trainer.progress.best_epoch,
        "loss_state": trainer.loss.state_for_meta(),
        "test": {task: to_json(result) for task, result in results.items()},
    }
    save_model(folder, kept, about, KIND)
    return results


def table(results: dict[str, TaskScores]) -> str:
    """The scores for people, a definition a line."""
    lines = []
    for task, result in results.items():
        for name, value in result.scores.items():
            mark = "  <- chosen by" if name == result.chosen_by else ""
            lines.append(f"{task:16} {name:28} {written(name, value):>8}{mark}")
    return "\n".join(lines)
