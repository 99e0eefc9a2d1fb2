"""Epochs at rest: encoders see each clip once, and what reads them goes on learning from what was kept."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from codriver.errors import ConfigError  # noqa: E402
from codriver.tasks import AIDE  # noqa: E402
from tests.training.trainer.test_trainer import same, trainer  # noqa: E402
from training.data.augment import AugmentConfig  # noqa: E402
from training.data.batches import collate  # noqa: E402
from training.data.clips import Clip, labels_of, load_clips  # noqa: E402
from training.model.uvm3tl import SIZES, UVM3TL  # noqa: E402
from training.train import main  # noqa: E402
from training.trainer.checkpoint import load_run  # noqa: E402
from training.trainer.config import TrainConfig  # noqa: E402
from training.trainer.kept import KeptMotions  # noqa: E402
from training.trainer.trainer import Trainer  # noqa: E402
from workshop.aide_splits import read_split  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def clips(dataset: Path) -> list[Clip]:
    return [*load_clips(read_split(dataset, "train"), SIZES["tiny"], AIDE)] * 2


def test_encoders_at_rest_stay_to_the_bit_and_what_reads_them_learns(clips: list[Clip], tmp_path: Path) -> None:
    config = TrainConfig(size="tiny", epochs=2, batch=4, sparse=0.5, rest=0.5, ema=0.0)
    states = []
    asked = trainer(clips, config, tmp_path)

    def note(record: dict[str, Any]) -> None:
        states.append({name: value.clone() for name, value in asked.model.state_dict().items()})

    asked.run(AugmentConfig(), lambda *_: None, note)
    moved = {name.split(".")[0] for name, value in states[0].items() if not torch.equal(value, states[1][name])}
    assert moved == {"along_times", "gather", "guessers", "dbscme"}
    assert [record["rest"] for record in asked.progress.records] == [False, True]


def test_a_lesson_of_what_was_kept_gives_the_logits_of_the_frames_it_was_seen_in(
    clips: list[Clip], tmp_path: Path
) -> None:
    plain = AugmentConfig(mirror=0.0, gain=0.0, shift=0.0, found=0.0, disturbed=0.0, drop_slot=0.3)
    model = UVM3TL(SIZES["tiny"]).eval()
    kept = KeptMotions(model, clips[:2], tmp_path, seed=0)
    kept.make(plain)
    motions, mask, labels = kept.batch([0, 1], 1, plain)
    assert 0 < mask.mean() < 1 and torch.equal(labels, torch.from_numpy(labels_of(clips[:2])))
    with torch.no_grad():
        recalled = model.clip(motions, mask, model.recall).logits
        seen = model(collate(clips[:2])[0], mask).logits
    for task, logits in seen.items():
        torch.testing.assert_close(recalled[task], logits, rtol=0, atol=2e-3)  # motions are kept in 16 bits


def test_what_was_seen_before_an_interruption_is_not_seen_again(clips: list[Clip], tmp_path: Path) -> None:
    model = UVM3TL(SIZES["tiny"]).eval()
    KeptMotions(model, clips[:2], tmp_path, seed=0).make(AugmentConfig())
    times = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.safetensors")}
    KeptMotions(model, clips[:3], tmp_path, seed=0).make(AugmentConfig())
    assert len(times) == 2 and len([*tmp_path.rglob("*.safetensors")]) == 3
    assert all(file.stat().st_mtime_ns == time for file, time in times.items())
    KeptMotions(UVM3TL(SIZES["tiny"]), clips[:1], tmp_path, seed=0).make(AugmentConfig())
    assert len([*tmp_path.iterdir()]) == 2  # other encoders, other motions


def test_a_rest_with_nowhere_to_keep_what_was_seen_is_refused(clips: list[Clip]) -> None:
    with pytest.raises(ConfigError, match="one alone can rest"):
        trainer(clips, TrainConfig(size="tiny", sparse=0.5, rest=0.5))


def test_the_command_goes_on_from_within_half_sized_epochs_and_from_within_those_at_rest(
    dataset: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    """Four epochs of two steps: half size and cheap, cheap, whole, at rest."""
    command = ["--data", str(dataset), "--size", "tiny", "--epochs", "4", "--batch", "2", "--device", "cpu"]
    command += ["--half", "0.25", "--sparse", "0.5", "--rest", "0.25", "--ema", "0"]
    assert main([*command, "--out", str(tmp_path / "straight")]) == 0
    step = Trainer._step
    straight = load_run(tmp_path / "straight").model.state_dict()
    for stop in (1, 7):
        steps: list[int] = []

        def interrupted(self: Trainer, lessons: Any, stop: int = stop, steps: list[int] = steps) -> Any:
            steps.append(1)
            if len(steps) == stop:
                os.kill(os.getpid(), signal.SIGTERM)
            return step(self, lessons)

        out = tmp_path / f"stopped-{stop}"
        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "_step", interrupted)
            assert main([*command, "--out", str(out)]) == 143
        assert len(steps) == stop and not out.exists()
        assert main([*command, "--out", str(out), "--resume"]) == 0
        assert same(straight, load_run(out).model.state_dict())


def test_clips_are_seen_once_at_the_precision_of_lessons(clips: list[Clip], tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = TrainConfig(size="tiny", epochs=2, batch=4, sparse=0.5, rest=0.5, precision="bf16-mixed")
    asked = trainer(clips, config, tmp_path / "asked")
    asked.run(AugmentConfig(), lambda *_: None, lambda record: None)
    assert asked.motions is not None
    kept, _, _ = asked.motions.batch([0, 1], 1, AugmentConfig())
    assert all(torch.equal(values, values.bfloat16().float()) for values in kept.values())
