"""One way to train, and what comes of it on one seed: a row of an experiment."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from codriver.tasks import TaskSet
from training.data.augment import AugmentConfig
from training.data.batches import predict
from training.data.clips import Clip, class_counts, labels_of
from training.losses.afd import AFDLoss, LossConfig
from training.model.dbscme import DBSCMEConfig
from training.model.uvm3tl import UVM3TL, ModelConfig
from training.report.metrics import score
from training.trainer.config import TrainConfig
from training.trainer.processes import make_fabric
from training.trainer.trainer import Trainer


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """What differs from the defaults."""

    name: str
    family: str = ""
    loss: Mapping[str, Any] = field(default_factory=dict)
    dbscme: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)


def run_variant(
    some: Ablation,
    seed: int,
    clips: Mapping[str, Sequence[Clip]],
    config: TrainConfig,
    size: ModelConfig,
    augment: AugmentConfig | None = None,
) -> dict[str, Any]:
    """Train one model; returns its row, with scores on the test split.

    clips: train and test; where there are clips to watch, mean accuracy on them every `validate_every` epochs too.
    """
    config = replace(config, seed=seed, **some.train)
    torch.manual_seed(seed)
    model = model_of(some, size)
    counts = class_counts(clips["train"], model.task_set)
    changed: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in some.loss.items()}  # of TOML
    loss = AFDLoss(model.task_set, LossConfig(**changed), counts)
    trainer = Trainer(make_fabric(config.precision), model, loss, clips["train"], config)
    trained = some.loss.get("tasks") or model.task_set.names
    watched: list[float] = []

    def watch(record: dict[str, Any]) -> None:
        if clips.get("watch") and record["epoch"] % config.validate_every == 0:
            seen = score(predict(trainer.kept, clips["watch"]), clips["watch"], model.task_set)
            watched.append(sum(seen[task].accuracy for task in trained) / len(trained))

    started, busy = time.monotonic(), time.process_time()
    with tqdm(
        total=trainer.steps, desc=f"{some.name}, seed {seed}"[:40], unit="step", leave=False, disable=None
    ) as bar:
        trainer.run(augment or AugmentConfig(), on_step=lambda *_: bar.update(), on_epoch=watch, workers=0)
    answers = predict(trainer.kept, clips["test"])
    told = scored(answers, clips, model.task_set, counts, trained)
    return {
        "variant": some.name,
        "seed": seed,
        **told,
        "watched": watched,
        **of_records(trainer.progress.records),
        "last_losses": loss.history[-1],
        "seconds": round(time.monotonic() - started, 1),
        "busy_s": round(time.process_time() - busy, 1),
    }


def model_of(some: Ablation, size: ModelConfig) -> UVM3TL:
    """Untrained."""
    return UVM3TL(replace(size, dbscme=DBSCMEConfig(**some.dbscme), **some.model))


def scored(
    answers: dict[str, NDArray[np.float64]],
    clips: Mapping[str, Sequence[Clip]],
    task_set: TaskSet,
    counts: dict[str, list[int]],
    trained: Sequence[str],
) -> dict[str, Any]:
    """What the test clips say of the trained tasks."""
    scores = score(answers, clips["test"], task_set, counts)
    return {
        "accuracy": {task: scores[task].accuracy for task in trained},
        "macro_f1": {task: scores[task].macro_f1 for task in trained},
        "test_losses": {task: guess_units(answers[task], clips["test"], k) for k, task in enumerate(answers)},
    }


def of_records(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How weights and decoupling went, epoch by epoch, and what was measured in the last one."""
    return {
        "weights": [record["task_weights"] for record in records],
        "decoupling": [record["decoupling"] for record in records],
        "instruments": [record.get("instruments") for record in records[-1:]],
        "gradients": [record.get("gradients_at_encoders", {}).get("share") for record in records[-1:]],
    }


def guess_units(answers: NDArray[np.float64], clips: Sequence[Clip], k: int) -> float:
    """Mean cross-entropy of task k over its labelled clips, in units of guessing evenly. answers: (clips, K)."""
    labels = labels_of(clips)[:, k]
    known = labels >= 0
    likely = answers[known, labels[known]].clip(min=1e-12)
    return float(-np.log(likely).mean() / math.log(answers.shape[1]))
