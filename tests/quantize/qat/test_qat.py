"""QAT: the quantized model learns on, AFD-Loss at work, and an interruption leaves no trace."""

from __future__ import annotations

import copy
import os
import signal
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("nncf")

from codriver.errors import ConfigError, SourceError  # noqa: E402
from codriver.tasks import AIDE, JOINTS, STREAMS  # noqa: E402
from quantize.graphs.fold import hold_vectors_in_half  # noqa: E402
from quantize.graphs.reference import stepped_probabilities  # noqa: E402
from quantize.ptq.quantizers import quantizers  # noqa: E402
from quantize.qat.clip_model import Tunable  # noqa: E402
from quantize.qat.finetune import Watch  # noqa: E402
from quantize.qat.losses import QATTrainer, loss_of  # noqa: E402
from tests.quantize.qat.tuning import CONFIG, RUN_OPTIONS, one_task, scores, trainer, tuned  # noqa: E402
from training.data.augment import AugmentConfig  # noqa: E402
from training.data.batches import collate, predict  # noqa: E402
from training.data.clips import Clip  # noqa: E402
from training.losses.decoupling import cosine  # noqa: E402
from training.trainer.checkpoint import Run  # noqa: E402
from workshop.command import Preempted  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.nncf]


@pytest.fixture
def model(calibrated: torch.nn.Module) -> Tunable:
    return Tunable(copy.deepcopy(calibrated))


def test_a_whole_clip_gets_the_answers_of_its_graphs_stepped_slot_by_slot(model: Tunable, clips: list[Clip]) -> None:
    gappy = replace(clips[1], mask=clips[1].mask.copy())
    gappy.mask[:, 6] = 0.0
    gappy.mask[STREAMS.index("left")] = 0.0
    for clip in (clips[0], gappy):
        whole = predict(model, [clip])  # type: ignore[arg-type]
        stepped = stepped_probabilities(model.pair.encoder, model.pair.fuser, clip, model.config, AIDE.names)
        for task, expected in stepped.items():
            assert whole[task][0].tolist() == pytest.approx(expected, abs=1e-6)


def test_a_group_that_a_whole_batch_lacks_leaves_the_other_groups_their_quantizers(
    model: Tunable, clips: list[Clip]
) -> None:
    """NNCF tells groups by the order of their calls; one left out would hand its ranges to the next."""
    lacking = replace(clips[0], mask=clips[0].mask.copy())
    lacking.mask[[STREAMS.index(s) for s in (*JOINTS, "incar", "face", "body")]] = 0.0
    alone, beside = predict(model, [lacking]), predict(model, [lacking, clips[1]])  # type: ignore[arg-type]
    for task in alone:
        assert alone[task][0].tolist() == pytest.approx(beside[task][0].tolist(), abs=1e-6)


def test_the_decoupling_term_alone_moves_encoder_weights_and_ranges(model: Tunable, clips: list[Clip]) -> None:
    frames, mask, _ = collate(clips)
    fused = model.train()(frames, mask)
    cosine(fused.specific, fused.shared).backward()
    weight = model.core.encoders["incar"].layers[0][0].weight
    assert weight.grad is not None and weight.grad.abs().sum() > 0
    reached = [p for p in model.ranges() if p.grad is not None and p.grad.abs().sum() > 0]
    assert len(reached) > len(model.ranges()) / 2


def test_task_weights_go_on_from_the_runs_history_and_move_over_epochs(
    model: Tunable, run: Run, clips: list[Clip]
) -> None:
    whole = trainer(model, run, clips)
    start = whole.loss.weights
    assert start == pytest.approx(dwa(run.record.loss_state["history"]), rel=1e-5)
    records: list[dict[str, Any]] = []
    whole.run(AugmentConfig(), lambda *_: None, records.append, workers=0)
    used = [record["task_weights"] for record in records]
    assert used[0] == pytest.approx(start) and len({str(some) for some in used}) == len(used) == 3
    assert used[2] == pytest.approx(dwa(whole.loss.history[-3:-1]), rel=1e-5) and len(whole.loss.history) == 5


def dwa(history: list[list[float]]) -> list[float]:
    """Liu et al. 2019 with T = 2, written out."""
    powers = [torch.tensor(last / before / 2.0).exp().item() for before, last in zip(*history[-2:], strict=True)]
    return [len(powers) * power / sum(powers) for power in powers]


@pytest.mark.parametrize("kind", ["frozen", "equal"])
def test_frozen_weights_stay_those_of_the_run_and_equal_ones_are_1(
    model: Tunable, run: Run, clips: list[Clip], kind: str
) -> None:
    whole = trainer(model, run, clips, replace(CONFIG, loss=kind))
    whole.run(AugmentConfig(), lambda *_: None, lambda record: None, workers=0)
    expected = dwa(run.record.loss_state["history"]) if kind == "frozen" else [1.0] * 4
    assert whole.loss.weights == pytest.approx(expected, rel=1e-5)
    assert whole.loss.config.beta > 0  # the decoupling term stays


def test_pictures_keep_their_range_while_all_else_learns(model: Tunable, run: Run, clips: list[Clip]) -> None:
    whole = trainer(model, run, clips)
    whole.run(AugmentConfig(), lambda *_: None, lambda record: None, workers=0)
    pictures = [q.state_dict() for q in quantizers(model.pair.encoder).values() if getattr(q, "is_fixed", False)]
    ends = {"input_low": 0.0, "input_range": 1.0, "scale": 1.0}
    assert len(pictures) == 4 and all(float(p[key]) == ends[key] for p in pictures for key in ends.keys() & p.keys())


def test_ranges_rest_in_the_last_third_while_weights_go_on(model: Tunable, run: Run, clips: list[Clip]) -> None:
    whole = trainer(model, run, clips)
    seen: list[tuple[list[Any], Any]] = [look(model)]
    whole.run(AugmentConfig(), lambda *_: None, lambda record: seen.append(look(model)), workers=0)
    steps = list(pairwise(seen))
    moved = [any(not torch.equal(a, b) for a, b in zip(x[0], y[0], strict=True)) for x, y in steps]
    assert moved == [True, True, False]
    assert all(not torch.equal(x[1], y[1]) for x, y in steps)
    decays = {group["weight_decay"] for group in whole.raw_optimizer.param_groups if group["params"] == whole.ranges}
    assert decays == {0.0}


def look(model: Tunable) -> tuple[list[Any], Any]:
    weight = model.core.encoders["incar"].layers[0][0].weight
    return [p.detach().clone() for p in model.ranges()], weight.detach().clone()


def test_the_average_holds_ranges_and_leaves_bits_and_signs_whole(model: Tunable, run: Run, clips: list[Clip]) -> None:
    """An average of 8 and 8 in floating point can be 7.999..., which as a whole number is 7."""
    bits = [q.num_bits for q in quantizers(model.pair.encoder).values()]
    start = [p.detach().clone() for p in model.ranges()]
    whole = trainer(model, run, clips)
    whole.run(AugmentConfig(), lambda *_: None, lambda record: None, workers=0)
    kept: Any = whole.kept
    assert kept is not whole.model and [q.num_bits for q in quantizers(kept.pair.encoder).values()] == bits
    ranges = list(zip(start, kept.ranges(), whole.model.ranges(), strict=True))
    assert any(not torch.equal(a, k) and not torch.equal(k, m) for a, k, m in ranges)


@pytest.mark.parametrize("steps", [1, 4])  # within the first epoch, at the end of the second
def test_interrupted_and_resumed_it_ends_with_the_same_weights(
    calibrated: torch.nn.Module, run: Run, clips: list[Clip], tmp_path: Path, monkeypatch: Any, steps: int
) -> None:
    straight = tuned(calibrated, run, clips, tmp_path / "straight", CONFIG)
    step, left = QATTrainer._step, [steps]

    def interrupted(self: QATTrainer, lessons: list[Any]) -> tuple[float, float]:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, lessons)

    monkeypatch.setattr(QATTrainer, "_step", interrupted)
    with pytest.raises(Preempted):
        tuned(calibrated, run, clips, tmp_path / "stopped", CONFIG)
    resumed = tuned(calibrated, run, clips, tmp_path / "stopped", CONFIG, resume=True)
    first, second = straight.model.state_dict(), resumed.model.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert [r["gained"] for r in straight.record["records"]] == [r["gained"] for r in resumed.record["records"]]
    assert straight.record["loss_state"] == resumed.record["loss_state"]


def test_a_changed_option_does_not_resume(
    calibrated: torch.nn.Module, run: Run, clips: list[Clip], tmp_path: Path
) -> None:
    one = replace(CONFIG, epochs=1)
    tuned(calibrated, run, clips, tmp_path / "q", one)
    with pytest.raises(ConfigError, match=r"qat loss was 'afd', is 'frozen'"):
        tuned(calibrated, run, clips, tmp_path / "q", replace(one, loss="frozen"), resume=True)


def test_an_epoch_is_kept_for_its_worst_task_and_a_lost_task_is_flagged(
    model: Tunable, run: Run, clips: list[Clip], tmp_path: Path
) -> None:
    watch = Watch(
        trainer(model, run, clips), clips, tmp_path, {}, RUN_OPTIONS, {"FP32": scores(0.9), "PTQ": scores(0.89)}
    )
    even, uneven = {"epoch": 1}, {"epoch": 2}
    better = watch._judge(even, scores(0.895)) > watch._judge(uneven, scores(0.99) | one_task(0.85))
    assert better and even["beyond_budget"] == [] and uneven["beyond_budget"] == ["driver_emotion"]


def test_a_task_beyond_its_budget_for_long_ends_it_and_what_was_best_is_kept(
    calibrated: torch.nn.Module, run: Run, clips: list[Clip], tmp_path: Path, monkeypatch: Any
) -> None:
    answers = iter([scores(0.9), scores(0.9), *[scores(0.9) | one_task(0.8)] * 9])
    monkeypatch.setattr("quantize.qat.finetune.score_of", lambda *_: next(answers))
    found = tuned(calibrated, run, clips, tmp_path / "q", replace(CONFIG, epochs=5, patience=2))
    assert "driver_emotion beyond the budget for 2 epochs" in found.record["ended"]
    assert len(found.record["records"]) == 2 and found.record["kept_epoch"] == 0
    before = copy.deepcopy(calibrated)
    hold_vectors_in_half(before.model)  # as it is stored
    start = before.encoder.state_dict()
    assert all(torch.equal(start[name], some) for name, some in found.model.pair.encoder.state_dict().items())


def test_a_run_without_the_state_of_its_loss_is_refused(model: Tunable, run: Run) -> None:
    with pytest.raises(SourceError, match="lacks the state of its loss"):
        loss_of(replace(run.record, loss_state=None), model.core, CONFIG)
