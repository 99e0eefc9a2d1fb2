"""QAT's loss is AFD-Loss and a teacher, by the formulas in NumPy; and what it is judged by is what it says."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("nncf")

from safetensors.torch import load_file  # noqa: E402

from codriver.tasks import AIDE  # noqa: E402
from quantize.qat.clip_model import Tunable  # noqa: E402
from quantize.qat.finetune import Watch  # noqa: E402
from quantize.qat.losses import QATConfig, Taught  # noqa: E402
from tests.afd_examples import COUNTS, Reference, configured, example  # noqa: E402
from tests.formulas import afd as formulas  # noqa: E402
from tests.quantize.qat.tuning import RUN_OPTIONS, scores, trainer, tuned  # noqa: E402
from training.data.augment import AugmentConfig  # noqa: E402
from training.data.batches import predict  # noqa: E402
from training.data.clips import Clip  # noqa: E402
from training.losses.afd import WEIGHTINGS, AFDLoss  # noqa: E402
from training.losses.shares import KEY  # noqa: E402
from training.model.uvm3tl import Fused  # noqa: E402
from training.trainer.checkpoint import BEST, Run  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.nncf]


class Answers(torch.nn.Module):
    """A model that always says the same."""

    def __init__(self, fused: Fused) -> None:
        super().__init__()
        self.fused = fused

    def forward(self, frames: Any, mask: Any) -> Fused:
        return self.fused


@pytest.mark.parametrize(("teacher", "temperature"), [(0.0, 2.0), (7.0, 1.0), (0.5, 3.0)])
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_the_loss_of_qat_is_afd_loss_and_the_distance_to_the_teacher(
    weighting: str, teacher: float, temperature: float
) -> None:
    student, model = example(1), example(2)
    loss = AFDLoss(AIDE, configured(weighting=weighting), COUNTS)
    config = QATConfig(teacher=teacher, temperature=temperature)
    learner = Taught(Answers(student.fused), loss, Answers(model.fused), config)  # type: ignore[arg-type]
    total = learner({}, torch.tensor(student.mask, dtype=torch.float32), torch.tensor(student.labels))[0]
    afd = Reference(loss.config).step(student)[0]
    logits = [[some.shared @ some.heads[task] for task in AIDE.names] for some in (student, model)]
    expected = afd + teacher * formulas.distance(*logits, temperature)
    assert float(total.detach()) == pytest.approx(expected, rel=1e-3)


def labelled(clips: list[Clip], labels: np.ndarray) -> list[Clip]:
    return [replace(clip, labels=row) for clip, row in zip(clips, labels, strict=True)]


def test_every_epoch_is_judged_on_validation_clips(
    calibrated: torch.nn.Module, run: Run, clips: list[Clip], tmp_path: Path
) -> None:
    """The model answers validation right and training wrong, and hardly moves: it must be found to be right."""
    model = Tunable(copy.deepcopy(calibrated))
    answers = np.stack([some.argmax(axis=1) for some in predict(model, clips).values()], axis=1)  # type: ignore[arg-type]
    others = (answers + 1) % [task.classes for task in AIDE.tasks]
    config = QATConfig(epochs=2, learning_rate=1e-9, ema=0.0, patience=9)
    found = tuned(calibrated, run, labelled(clips, others), tmp_path / "q", config, labelled(clips, answers)[:3])
    assert found.record["val_clips"] == 3 and len(found.record["records"]) == 2
    for record in found.record["records"]:
        assert {row["accuracy"] for row in record["val"].values()} == {1.0}


def test_what_is_judged_and_kept_is_the_average_and_not_the_newest_weights(
    calibrated: torch.nn.Module, run: Run, clips: list[Clip], tmp_path: Path
) -> None:
    config = QATConfig(epochs=1, ema=0.9, learning_rate=0.5, patience=9)
    whole = trainer(Tunable(copy.deepcopy(calibrated)), run, clips, config)
    before = {"FP32": scores(1.0), "PTQ": scores(-1.0)}  # any epoch is better
    Watch(whole, clips, tmp_path, {}, RUN_OPTIONS, before).tune(AugmentConfig())
    assert whole.progress.best_epoch == 1
    best, kept, newest = load_file(str(tmp_path / BEST)), whole.kept.state_dict(), whole.model.state_dict()
    assert all(torch.equal(best[name], kept[name]) for name in best)
    assert any(not torch.equal(best[name], newest[name]) for name in best)
    judged = whole.progress.records[0]["val"]
    for task, row in judged.items():
        answers = predict(whole.kept, clips)[task].argmax(axis=1)
        right = np.mean(answers == [clip.labels[AIDE.names.index(task)] for clip in clips])
        assert row["accuracy"] == pytest.approx(right)


AFD_FLOOR = (
    0.01  # of the gradient at the encoders, by cross-entropy and the slots' own guesses under AFD-Loss's weights
)
DECOUPLING_FLOOR = 1e-5  # by the decoupling term: small from the start, and no more than that is claimed


def test_afd_loss_is_active_in_qat_by_a_number(
    calibrated: torch.nn.Module, run: Run, clips: list[Clip], tmp_path: Path
) -> None:
    """Beside the teacher, which holds the model to its FP32 answers, each term of AFD-Loss still moves the encoders."""
    found = tuned(calibrated, run, clips, tmp_path / "q", QATConfig(epochs=2, patience=9))
    assert [row["epoch"] for row in found.record[KEY]] == [1, 2]
    for row in found.record[KEY]:
        share = row["share"]
        assert set(share) == {"cross_entropy", "decoupling", "auxiliary", "teacher"}
        assert share["cross_entropy"] + share["auxiliary"] > AFD_FLOOR and share["decoupling"] > DECOUPLING_FLOOR
        assert share["cross_entropy"] > 0 < share["auxiliary"]


def test_a_decoupling_weight_of_zero_is_no_active_decoupling(
    calibrated: torch.nn.Module, run: Run, clips: list[Clip], tmp_path: Path
) -> None:
    """What the floor above would tell."""
    record = replace(run.record, loss=replace(run.record.loss, beta=0.0))
    found = tuned(calibrated, Run(run.model, record), clips, tmp_path / "q", QATConfig(epochs=1, patience=9))
    assert found.record[KEY][0]["share"].get("decoupling", 0.0) == 0.0
