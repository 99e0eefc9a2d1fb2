"""QAT of maps and boxes: AFD-Loss is at work, validation alone decides, and what is worse is not kept."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("nncf")

import torch

from codriver.dense.spec import PIXELS
from quantize.checks import lint_of
from quantize.dense.finetune import DenseQATConfig, DenseTunable, distance, finetune
from quantize.dense.graph import DenseGraph, pictures, spec_of
from quantize.export.onnx_export import onnx_bytes
from quantize.graphs.dialects import dialect
from quantize.graphs.fold import folded
from quantize.ptq.convolutions import hold_seven_bits, quantized_convolutions
from quantize.ptq.quantizers import quantizers
from training.dense.lessons import batch_of, constants
from training.dense.loss import DenseLoss
from training.dense.model import DenseAnswers, DenseConfig, DenseUVM3TL
from training.dense.train import LOADERS, lessons
from training.losses.afd import LossConfig
from training.synth import main as synth
from training.trainer.checkpoint import MARKER
from training.trainer.config import TrainConfig

pytestmark = [pytest.mark.torch, pytest.mark.nncf, pytest.mark.slow]
SMALL = DenseConfig(height=64, width=96, widths=(4, 4, 8, 8, 8), channels=8, pool=4, decoder=4)
QUICK = DenseQATConfig(epochs=2, learning_rate=2.0, ema=0.0)  # of a run that never learned: any step is a gain


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("qat") / "data"
    small = ["--width", "120", "--height", "68", "--workers", "1"]
    assert synth([str(out), "--layout", "bdd100k", "--clips", "14", "--seed", "4", *small]) == 0
    return out


@pytest.fixture(scope="module")
def refs(data: Path) -> dict[str, Any]:
    return {
        split: LOADERS["bdd100k"].index(data, split) for split in ("train", "val")
    }  # no test: nobody may look at it


def made_run(folder: Path, model: DenseUVM3TL, taken: Any, **loss: Any) -> Path:
    config = LossConfig(**loss)
    state = DenseLoss(model.task_set, config, constants(taken, model.task_set)).state_for_meta()
    meta = {"train": asdict(TrainConfig(batch=6, learning_rate=4e-3)), "loss": asdict(config), "loss_state": state}
    folder.mkdir()
    (folder / MARKER).write_text(json.dumps(meta))
    return folder


def calibrated_one(refs: dict[str, Any]) -> tuple[DenseUVM3TL, torch.nn.Module]:
    torch.manual_seed(3)
    model = folded(DenseUVM3TL(SMALL).eval())
    seen = pictures(LOADERS["bdd100k"], refs["train"][:3], spec_of(model))
    return model, quantized_convolutions(DenseGraph(model).eval(), seen, dialect("ort-x86-7bit"))


def task_losses(model: torch.nn.Module, taken: Any) -> float:
    core = model.model if not isinstance(model, DenseTunable) else model.core
    answering = DenseTunable(model) if not isinstance(model, DenseTunable) else model
    loss = DenseLoss(core.task_set, LossConfig(), constants(taken, core.task_set))
    images, truth = batch_of(taken, core.task_set)
    with torch.no_grad():
        found = float(loss.task_losses(answering(images), truth).mean())
    answering.freed()
    return found


def test_it_learns_from_training_pictures_weights_and_ranges_alike(refs: dict[str, Any], tmp_path: Path) -> None:
    teacher, graph = calibrated_one(refs)
    taken = lessons(refs["train"], SMALL, "train")[:12]
    before = task_losses(graph, taken)
    weights = [p.detach().clone() for p in graph.parameters()]
    ranges = [q.detach().clone() for some in quantizers(graph).values() for q in some.parameters()]
    run = made_run(tmp_path / "run", teacher, taken)
    tuned, told = finetune(graph, teacher, run, refs, replace(QUICK, teacher=0.0))
    assert told.kept_epoch > 0 and task_losses(tuned, taken) < before
    moved = [not torch.equal(a, b) for a, b in zip(weights, tuned.parameters(), strict=True)]
    after = [q for some in quantizers(tuned).values() for q in some.parameters()]
    assert sum(moved) > len(moved) / 2 and any(not torch.equal(a, b) for a, b in zip(ranges, after, strict=True))


def test_decoupling_and_teacher_move_the_encoders_and_without_beta_decoupling_does_not(
    refs: dict[str, Any], tmp_path: Path
) -> None:
    shares = {}
    for beta in (0.05, 0.0):
        teacher, graph = calibrated_one(refs)
        taken = lessons(refs["train"], SMALL, "train")[:12]
        run = made_run(tmp_path / f"run{beta}", teacher, taken, beta=beta, decoupling="cosine")
        _, told = finetune(graph, teacher, run, refs, replace(QUICK, epochs=1))
        shares[beta] = told.gradients
    assert shares[0.05]["decoupling"] > 1e-4 and shares[0.05]["teacher"] > 1e-4
    assert shares[0.0].get("decoupling", 0.0) == 0.0


def test_where_learning_on_makes_validation_worse_the_calibrated_weights_are_kept(
    refs: dict[str, Any], tmp_path: Path
) -> None:
    teacher, graph = calibrated_one(refs)
    taken = lessons(refs["train"], SMALL, "train")[:12]
    learned, _ = finetune(graph, teacher, made_run(tmp_path / "a", teacher, taken), refs, replace(QUICK, epochs=3))
    kept = {name: value.clone() for name, value in learned.state_dict().items()}
    wild = replace(QUICK, epochs=1, learning_rate=400.0)
    tuned, told = finetune(learned, teacher, made_run(tmp_path / "b", teacher, taken), refs, wild)
    assert told.kept_epoch == 0 and told.gained == told.gained_by_calibration
    assert all(torch.equal(value, kept[name]) for name, value in tuned.state_dict().items())


def test_weights_of_seven_bits_that_grew_in_training_stay_below_the_code_that_saturates(
    refs: dict[str, Any], tmp_path: Path
) -> None:
    _, graph = calibrated_one(refs)
    with torch.no_grad():
        for parameter in graph.model.parameters():  # type: ignore[union-attr, operator]
            parameter.mul_(1.1)
    assert "weight reaches 69" in lint_first(graph, tmp_path)
    hold_seven_bits(graph)
    assert lint_first(graph, tmp_path) == ""


def lint_first(graph: torch.nn.Module, folder: Path) -> str:
    spec = spec_of(graph.model)  # type: ignore[arg-type]
    example = (torch.zeros((1, spec.height_px, spec.width_px, 3), dtype=torch.uint8),)
    path = folder / "dense.onnx"
    path.write_bytes(onnx_bytes(graph, example, (PIXELS,), tuple(spec.outputs), dialect("ort-x86-7bit").signed_codes))
    return lint_of([path], "ort-x86-7bit").first


def test_the_distance_to_the_teacher_is_the_mean_over_maps_of_squares_by_variance() -> None:
    rng = np.random.default_rng(1)
    a, b = ({"x": rng.normal(size=(2, 3, 4, 5)), "y": rng.normal(size=(2, 1, 4, 5)) * 7} for _ in range(2))
    expected = np.mean([((a[k] - b[k]) ** 2).mean() / b[k].var(ddof=1) for k in a])
    mine, wanted = (
        DenseAnswers(
            {"x": torch.from_numpy(some["x"]), "y": [torch.from_numpy(some["y"])]}, torch.zeros(1), torch.zeros(1)
        )
        for some in (a, b)
    )
    assert float(distance(mine, wanted)) == pytest.approx(expected) and float(distance(wanted, wanted)) == 0.0
