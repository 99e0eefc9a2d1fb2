"""What the tests of QAT share: a run with weights that nobody trained, its trainer, and a whole fine-tuning."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from codriver.tasks import AIDE
from quantize.graphs.dialects import DIALECTS
from quantize.graphs.fold import folded
from quantize.graphs.graphs import EncoderGraph, FuserGraph, ModulePair
from quantize.ptq.calibration import encoder_steps, fuser_contexts
from quantize.ptq.convolutions import quantized_convolutions
from quantize.ptq.quantizers import quantized_encoder
from quantize.qat.clip_model import Tunable
from quantize.qat.finetune import ClipSets, Tuned, finetune
from quantize.qat.losses import QATConfig, QATTrainer, loss_of, train_config
from tests.untrained import untrained_record
from training.data.clips import Clip, class_counts
from training.losses.afd import AFD, LossConfig
from training.model.uvm3tl import SIZES, UVM3TL
from training.report.metrics import Scores
from training.trainer.checkpoint import Run
from training.trainer.config import TrainConfig
from training.trainer.processes import make_fabric
from training.trainer.record import LearnedFrom
from training.trainer.run_log import RunOptions

CONFIG = QATConfig(epochs=3, ema=0.9, learning_rate=0.5, patience=9)
RUN_OPTIONS = RunOptions(device="cpu", workers=0)


def make_run(clips: list[Clip]) -> Run:
    """What a run folder holds after two epochs, with weights nobody trained."""
    torch.manual_seed(0)
    model = UVM3TL(SIZES["tiny"]).eval()
    nowhere = LearnedFrom(kind="none", clips={}, clips_sha256={})
    counts = {task: tuple(some) for task, some in class_counts(clips, AIDE).items()}
    record = replace(
        untrained_record("tiny", nowhere, counts),
        train=TrainConfig(size="tiny", batch=2),
        loss=LossConfig(**AFD),
        loss_state={"history": [[0.9, 0.8, 0.7, 0.6], [0.5, 0.7, 0.6, 0.55]]},
    )
    return Run(model, record)


def make_calibrated(run: Run, clips: list[Clip]) -> ModulePair:
    """Both graphs after PTQ. Copy them before you train them."""
    model, some = folded(run.model), DIALECTS["ort-x86-7bit"]
    steps, contexts = list(encoder_steps(model, clips, (3, 9))), list(fuser_contexts(model, clips))
    encoder = quantized_encoder(EncoderGraph(model).eval(), steps, some)
    return ModulePair(encoder, quantized_convolutions(FuserGraph(model), contexts, some)).eval()


def trainer(model: Tunable, run: Run, clips: list[Clip], config: QATConfig = CONFIG) -> QATTrainer:
    configs = config, train_config(run.record, config)
    return QATTrainer(
        make_fabric(device="cpu"), model, folded(run.model), loss_of(run.record, model, config), clips, configs
    )


def tuned(
    calibrated: ModulePair,
    run: Run,
    clips: list[Clip],
    folder: Path,
    config: QATConfig,
    val: Sequence[Clip] | None = None,
    **run_options: bool,
) -> Tuned:
    lessons = ClipSets(train=clips, val=clips[:2] if val is None else val, ids={"train": "a", "val": "b"})
    place = (folder, {"dialect": {"name": "ort-x86-7bit"}})
    run_options = replace(RUN_OPTIONS, **run_options)
    return finetune(copy.deepcopy(calibrated), folded(run.model), run, lessons, config, place, run_options)


def scores(accuracy: float) -> dict[str, Scores]:
    return {task: Scores(accuracy=accuracy, macro_f1=0.0, majority=0.0) for task in AIDE.names}


def one_task(accuracy: float) -> dict[str, Scores]:
    return {"driver_emotion": Scores(accuracy=accuracy, macro_f1=0.0, majority=0.0)}
