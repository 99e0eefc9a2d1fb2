"""The trainer: where and when a step is computed must not matter to the weights."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import ROOT

torch = pytest.importorskip("torch")

from codriver.errors import ConfigError  # noqa: E402
from codriver.files.decode import encode  # noqa: E402
from codriver.tasks import AIDE  # noqa: E402
from training.data.augment import AugmentConfig  # noqa: E402
from training.data.batches import balance, epoch_order, epoch_parts, made_ahead, varied_batch  # noqa: E402
from training.data.clips import Clip, class_counts, load_clips  # noqa: E402
from training.losses.afd import AFDLoss, LossConfig  # noqa: E402
from training.model.uvm3tl import SIZES, UVM3TL  # noqa: E402
from training.train import main  # noqa: E402
from training.trainer.checkpoint import load_checkpoint, load_run, partial_folder, save_checkpoint  # noqa: E402
from training.trainer.config import TrainConfig  # noqa: E402
from training.trainer.optimizer import groups, warming_average  # noqa: E402
from training.trainer.processes import make_fabric  # noqa: E402
from training.trainer.run_log import RunLog  # noqa: E402
from training.trainer.signals import Signals  # noqa: E402
from training.trainer.trainer import Trainer  # noqa: E402
from workshop.aide_splits import read_split  # noqa: E402
from workshop.command import Preempted  # noqa: E402

pytestmark = pytest.mark.torch
CONFIG = TrainConfig(size="tiny", epochs=2, batch=4)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    """Models this small compute no faster with more, and much slower where other work takes the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def clips(dataset: Path) -> list[Clip]:
    """Nine clips, four different ones among them."""
    some = load_clips(read_split(dataset, "train"), SIZES["tiny"], AIDE)
    return [*some, *some, some[0]]


def trainer(clips: list[Clip], config: TrainConfig = CONFIG, keep_in: Path | None = None) -> Trainer:
    torch.manual_seed(config.seed)
    model = UVM3TL(SIZES[config.size])
    loss = AFDLoss(model.task_set, LossConfig(), class_counts(clips, model.task_set))
    return Trainer(make_fabric(config.precision, "cpu"), model, loss, clips, config, keep_in)


def stop_after(steps: int) -> Callable[[float, float], None]:
    left = [steps]

    def on_step(*_: float) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Preempted(signal.SIGTERM)

    return on_step


def trained(clips: list[Clip], config: TrainConfig = CONFIG, **ways: int) -> Trainer:
    whole = trainer(clips, config)
    whole.run(AugmentConfig(), lambda *_: None, lambda record: None, **ways)
    return whole


def same(first: Any, second: Any) -> bool:
    """Equal to the last bit, through dicts and lists; time that was spent is nobody's state."""
    if isinstance(first, dict):
        rest = first.keys() - {"seconds", "clips_per_s"}
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in rest)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(same, first, second))
    return torch.equal(first, second) if isinstance(first, torch.Tensor) else bool(first == second)


RESUMED = TrainConfig(size="tiny", epochs=4, batch=3, sparse=0.75, half=0.25, ema=0.99)


@pytest.fixture(scope="module")
def straight(clips: list[Clip]) -> dict[str, Any]:
    return trained(clips, RESUMED).state()


@pytest.mark.parametrize("steps", [1, 3, 5])  # within the first epoch, at its end, within the second
def test_a_resumed_run_ends_with_the_same_bits_as_one_never_interrupted(
    clips: list[Clip], straight: dict[str, Any], tmp_path: Path, steps: int
) -> None:
    first = trainer(clips, RESUMED)
    with pytest.raises(Preempted):
        first.run(AugmentConfig(), stop_after(steps), lambda record: None)
    save_checkpoint(tmp_path, first.state())
    second = trainer(clips, RESUMED)
    second.load_state(load_checkpoint(tmp_path))
    assert second.progress.epoch * 3 + second.progress.batch == steps
    second.run(AugmentConfig(), lambda *_: None, lambda record: None)
    assert same(second.state(), straight)


def test_the_first_epochs_see_images_of_half_the_side_and_every_layer_learns_from_them(clips: list[Clip]) -> None:
    asked = trainer(clips, TrainConfig(size="tiny", epochs=2, batch=4, half=0.5))
    lessons = [asked.make_batch([0, 1, 2, 3], epoch, asked.variation(AugmentConfig(), epoch)) for epoch in (0, 1)]
    assert [{lesson[0][stream].shape[2] for stream in ("front", "face")} for lesson in lessons] == [{16}, {32}]
    asked.learner.train()
    asked.learner(*lessons[0])[0].backward()
    still = [name for name, some in asked.model.named_parameters() if some.grad is None or not some.grad.any()]
    assert not [name for name in still if name.startswith(("encoders", "motions"))]


def test_batches_made_ahead_train_the_same_weights(clips: list[Clip]) -> None:
    config = TrainConfig(size="tiny", epochs=1, batch=4)
    assert same(trained(clips, config, workers=0).state(), trained(clips, config, workers=3).state())


TWO = """
import sys, torch
sys.path.insert(0, sys.argv[3])
from tests.training.trainer.test_trainer import trained_at
from training.trainer.processes import leave
torch.set_num_threads(1)
trained_at(sys.argv[1], sys.argv[2])
leave()
"""


def clips_of(data: str) -> list[Clip]:
    return [*load_clips(read_split(Path(data), "train"), SIZES["tiny"], AIDE)] * 2


def trained_at(data: str, out: str) -> None:
    """What each of the two processes does; see processes.leave for what comes after it."""
    two = trained(clips_of(data), TrainConfig(size="tiny", epochs=2, batch=4, sparse=1.0))
    if two.fabric.is_global_zero:
        assert two.fabric.world_size == 2
        torch.save(two.model.state_dict(), out)


def test_two_processes_step_like_one_that_accumulates_two_parts(dataset: Path, tmp_path: Path) -> None:
    """The same rows meet in batch normalisation, dropout falls alike, and gradients are averaged either way.

    Not to the bit: processes add in another order. Running statistics are left out: one process meets both parts in
    turn, two average what each has met, and neither touches the weights."""
    (tmp_path / "two.py").write_text(TWO)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-addr", "127.0.0.1"]
    arguments = [str(tmp_path / "two.py"), str(dataset), str(tmp_path / "two.pt"), str(ROOT)]
    done = subprocess.run(
        [sys.executable, *launch, "--master-port", str(port), *arguments],
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'sdk'}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    two = torch.load(tmp_path / "two.pt", weights_only=True)
    config = TrainConfig(size="tiny", epochs=2, batch=4, sparse=1.0, accumulate=2)
    one = trained(clips_of(str(dataset)), config).model
    begun = trainer(clips_of(str(dataset)), config).model
    moved = dict(begun.named_parameters())
    for name, parameter in one.named_parameters():
        torch.testing.assert_close(
            two[name], parameter.detach(), rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}"
        )
    assert any(not torch.allclose(moved[name], parameter, atol=1e-3) for name, parameter in one.named_parameters())


def test_sigterm_during_the_last_validation_is_not_forgotten(
    dataset: Path, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    """quantize.run went on with the next dialect for minutes."""
    command = ["--data", str(dataset), "--size", "tiny", "--epochs", "1", "--batch", "2", "--device", "cpu"]
    validate = RunLog._validate

    def interrupted(self: RunLog, record: dict[str, Any]) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        validate(self, record)

    with monkeypatch.context() as patch:
        patch.setattr(RunLog, "_validate", interrupted)
        assert main([*command, "--out", str(tmp_path / "run")]) == 143
    assert "--resume" in capsys.readouterr().err and not (tmp_path / "run").exists()
    assert main([*command, "--out", str(tmp_path / "run"), "--resume"]) == 0
    assert main([*command, "--out", str(tmp_path / "straight")]) == 0
    straight, resumed = load_run(tmp_path / "straight"), load_run(tmp_path / "run")
    assert same(straight.model.state_dict(), resumed.model.state_dict())


def test_sigterm_leaves_a_checkpoint_and_the_same_command_with_resume_ends_the_run(
    dataset: Path, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    command = ["--data", str(dataset), "--size", "tiny", "--epochs", "3", "--batch", "2", "--device", "cpu"]
    assert main([*command, "--out", str(tmp_path / "straight")]) == 0
    step, steps = Trainer._step, []

    def interrupted(self: Trainer, lessons: Any) -> Any:
        steps.append(1)
        if len(steps) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, lessons)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", interrupted)
        assert main([*command, "--out", str(tmp_path / "run")]) == 143
    assert "--resume" in capsys.readouterr().err and not (tmp_path / "run").exists() and len(steps) == 3
    assert main([*command, "--out", str(tmp_path / "run")]) == 2  # neither lost nor mixed up by mistake
    assert "--overwrite" in capsys.readouterr().err
    assert main([*command, "--out", str(tmp_path / "run"), "--learning-rate", "0.1", "--resume"]) == 2
    assert "train learning_rate was 0.004, is 0.1" in capsys.readouterr().err
    assert main([*command, "--out", str(tmp_path / "run"), "--resume"]) == 0
    capsys.readouterr()
    straight, resumed = load_run(tmp_path / "straight"), load_run(tmp_path / "run")
    assert same(straight.model.state_dict(), resumed.model.state_dict())
    assert not partial_folder(tmp_path / "run").exists()
    assert main([*command, "--out", str(tmp_path / "run"), "--resume", "--json"]) == 0  # a queue may try again
    assert json.loads(capsys.readouterr().out) == encode(resumed.record.test)


def test_a_second_signal_ends_training_at_once_but_not_an_echo_of_the_first(monkeypatch: Any) -> None:
    signals = Signals()
    signals.note(signal.SIGINT)
    signals.note(signal.SIGINT)
    assert signals.number == signal.SIGINT
    monkeypatch.setattr("training.trainer.signals.SAME_SIGNAL_S", -1.0)
    with pytest.raises(SystemExit) as caught:
        signals.note(signal.SIGINT)
    assert caught.value.code == 130


def test_every_row_is_in_one_part_and_a_rest_too_small_for_normalisation_is_left_out() -> None:
    order = epoch_order(11, 0, 0)
    parts = epoch_parts(order, 4, 2)
    assert [[len(rows) for rows in batch] for batch in parts] == [[2, 2], [2, 2]]
    assert np.array_equal(np.concatenate([rows for batch in parts for rows in batch]), order[:8])


def test_balanced_sampling_draws_rare_classes_more_often() -> None:
    labels = np.array([[0, 0]] * 90 + [[1, 0]] * 10)
    drawn = labels[epoch_order(100, 0, 0, balance(labels))]
    assert 30 < (drawn[:, 0] == 1).sum() < 70
    assert epoch_order(100, 0, 0).tolist() != epoch_order(100, 0, 1).tolist()


def test_a_clip_varies_by_epoch_but_not_by_its_batch(clips: list[Clip]) -> None:
    pair, alone = (varied_batch(clips, rows, 0, 1, AugmentConfig())[0]["front"] for rows in ([3, 0], [0, 2]))
    later = varied_batch(clips, [0, 2], 0, 2, AugmentConfig())[0]["front"]
    assert torch.equal(pair[1], alone[0]) and not torch.equal(later[0], alone[0])


def test_an_error_while_making_a_batch_ahead_reaches_the_taker() -> None:
    def make(key: int) -> int:
        return 1 // key

    ahead = made_ahead(make, [1, 1, 0, 1], 2)
    with pytest.raises(ZeroDivisionError):
        list(ahead)


def test_the_average_of_the_weights_forgets_its_random_beginning() -> None:
    averaged = torch.optim.swa_utils.AveragedModel(
        torch.nn.Linear(1, 1, bias=False), multi_avg_fn=warming_average(0.999)
    )
    stepped = torch.nn.Linear(1, 1, bias=False)
    for value in range(101):
        torch.nn.init.constant_(stepped.weight, value)
        averaged.update_parameters(stepped)
    assert 85 < averaged.module.weight.item() < 99


def test_with_an_average_the_run_is_the_average(clips: list[Clip]) -> None:
    done = trained(clips, TrainConfig(size="tiny", epochs=2, batch=4, ema=0.99))
    kept, stepped = done.kept.state_dict(), done.model.state_dict()
    assert kept.keys() == stepped.keys() and not same(kept, stepped)


def test_mixed_precision_trains_finite_weights(clips: list[Clip]) -> None:
    done = trained(clips, TrainConfig(size="tiny", epochs=1, batch=4, precision="bf16-mixed"))
    assert all(value.dtype != torch.bfloat16 and value.isfinite().all() for value in done.model.state_dict().values())


def test_each_number_of_a_gradient_is_clipped_and_its_norm_is_not(clips: list[Clip], monkeypatch: Any) -> None:
    one = trainer(clips, TrainConfig(size="tiny", clip_gradient=0.5))
    for parameter in one.model.parameters():
        parameter.grad = torch.linspace(-3.0, 3.0, parameter.numel()).reshape(parameter.shape)
    seen: list[Any] = []
    monkeypatch.setattr(one.moments.raw, "step", lambda *_: seen.extend(p.grad for p in one.model.parameters()))
    one.moments.step()
    assert all(gradient.abs().max() == 0.5 for gradient in seen if gradient.numel() > 1)
    assert torch.cat([gradient.flatten() for gradient in seen]).norm() > 10.0


def test_biases_norms_and_scalars_are_not_shrunk(clips: list[Clip]) -> None:
    decayed, rest = groups(torch.nn.ModuleDict({"model": torch.nn.Linear(2, 2), "loss": torch.nn.Linear(2, 2)}), 0.1)
    assert [len(decayed["params"]), decayed["weight_decay"]] == [1, 0.1]
    assert [len(rest["params"]), rest["weight_decay"]] == [3, 0.0]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"precision": "8-bit"}, "expected one of 32-true"),
        ({"epochs": 0}, "epochs is 0"),
        ({"ema": 1.0}, "expected 0"),
        ({"rest": 0.5}, "at most 0.3 of the epochs at rest"),
        ({"rest": 0.2, "ema": 0.9}, "not their average"),
        ({"half": 1.5}, "half is 1.5, expected a share"),
        ({"sparse": -0.1}, "sparse is -0.1, expected a share"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_named(setting: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        TrainConfig(**setting)


def test_too_few_clips_for_the_parts_are_refused(clips: list[Clip]) -> None:
    with pytest.raises(ConfigError, match="2 clips each"):
        trainer(clips, TrainConfig(size="tiny", batch=4, accumulate=4))
