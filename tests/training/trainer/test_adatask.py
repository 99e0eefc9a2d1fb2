"""AdaTask: against NumPy, against AdamW, and to the bit after an interruption."""

from __future__ import annotations

import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from codriver.errors import ConfigError  # noqa: E402
from codriver.tasks import AIDE  # noqa: E402
from training.data.augment import AugmentConfig  # noqa: E402
from training.data.clips import Clip, class_counts, load_clips  # noqa: E402
from training.losses.afd import AFDLoss, LossConfig  # noqa: E402
from training.model.uvm3tl import SIZES, UVM3TL  # noqa: E402
from training.trainer.adatask import TaskMoments, make_moments  # noqa: E402
from training.trainer.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from training.trainer.config import TrainConfig  # noqa: E402
from training.trainer.processes import make_fabric  # noqa: E402
from training.trainer.trainer import Trainer  # noqa: E402
from workshop.aide_splits import read_split  # noqa: E402
from workshop.command import Preempted  # noqa: E402

pytestmark = pytest.mark.torch
RATE, DECAY = 0.1, 0.2
WANTED = np.array([[1.0, -2.0], [30.0, 0.5], [-0.01, 0.0]])  # one row a task: their gradients differ in length
COMMON = np.array([0.3, 0.3])  # what belongs to no task


@pytest.fixture(scope="module")
def clips(dataset: Path) -> list[Clip]:
    some = load_clips(read_split(dataset, "train"), SIZES["tiny"], AIDE)
    return [*some, *some, some[0]]


class Toy(torch.nn.Module):
    """Shared numbers w, one of its own per task: loss_k = (w . wanted_k - own_k)^2."""

    def __init__(self, tasks: list[int]) -> None:
        super().__init__()
        self.model = torch.nn.Module()
        for name in ("encoders", "motions", "along_times"):
            self.model.add_module(name, torch.nn.Module())
        self.model.encoders.w = torch.nn.Parameter(torch.ones(1, 2, dtype=torch.float64))
        self.own = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
        self.loss, self.terms, self.parts = SimpleNamespace(chosen=tasks), {}, None

    def forward(self) -> torch.Tensor:
        w = self.model.encoders.w[0]
        losses = (torch.tensor(WANTED) @ w - self.own).square()
        chosen = torch.zeros(3, dtype=torch.float64)
        chosen[self.loss.chosen] = 1.0
        self.terms = {
            "cross_entropy": (chosen * losses).sum(),
            "decoupling": (w - torch.tensor(COMMON)).square().sum(),
        }
        self.parts = SimpleNamespace(by_task=chosen * losses)
        return self.terms["cross_entropy"] + self.terms["decoupling"]


def stepped(tasks: list[int], steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Shared and own numbers after so many steps, each in two parts."""
    toy, fabric = Toy(tasks), make_fabric(device="cpu")
    raw = torch.optim.AdamW(
        [{"params": [toy.model.encoders.w], "weight_decay": DECAY}, {"params": [toy.own], "weight_decay": 0.0}], lr=RATE
    )
    wrapped, optimizer = fabric.setup(toy, raw)
    moments = TaskMoments(fabric, toy, optimizer, 1e9)  # type: ignore[arg-type]
    for step in range(steps):
        for group in raw.param_groups:
            group["lr"] = RATE / (1 + step)
        for factor in (0.25, 0.75):
            moments.backward(wrapped(), factor)
        moments.step()
    return toy.model.encoders.w.detach().numpy()[0], toy.own.detach().numpy()


def adam(gradient: np.ndarray, m: np.ndarray, v: np.ndarray, step: int) -> np.ndarray:
    m += 0.1 * (gradient - m)
    v += 0.001 * (gradient**2 - v)
    return np.asarray((m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8))


def reference(tasks: list[int], steps: int) -> tuple[np.ndarray, np.ndarray]:
    """The docstring of adatask.py in NumPy, gradients by hand."""
    w, own = np.ones(2), np.zeros(3)
    moments = {k: (np.zeros(2), np.zeros(2)) for k in tasks}
    of_own = np.zeros(3), np.zeros(3)
    for step in range(1, steps + 1):
        rate, moved, towards = RATE / step, np.zeros(2), np.zeros(3)
        for k in tasks:
            away = 2 * (WANTED[k] @ w - own[k])
            moved += adam(away * WANTED[k] + 2 * (w - COMMON) / len(tasks), *moments[k], step)
            towards[k] = -away
        w = w * (1 - rate * DECAY) - rate * moved
        own = own - rate * adam(towards, *of_own, step)
    return w, own


@pytest.mark.parametrize("tasks", [[0, 1, 2], [0, 2], [1]])
def test_steps_are_the_sum_of_each_tasks_own_adam(tasks: list[int]) -> None:
    for found, expected in zip(stepped(tasks, 6), reference(tasks, 6), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def trainer(clips: list[Clip], config: TrainConfig, loss_config: LossConfig | None = None) -> Trainer:
    torch.manual_seed(config.seed)
    model = UVM3TL(SIZES["tiny"])
    loss = AFDLoss(model.task_set, loss_config or LossConfig(), class_counts(clips, model.task_set))
    return Trainer(make_fabric(config.precision, "cpu"), model, loss, clips, config)


def run(some: Trainer, on_step: Any = lambda *_: None) -> dict[str, Any]:
    some.run(AugmentConfig(), on_step, lambda record: None)
    return dict(some.model.state_dict())


def differing(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    return [name for name, value in first.items() if not torch.equal(value, second[name])]


def test_with_one_task_it_is_adamw(clips: list[Clip]) -> None:
    alone = LossConfig(tasks=("driver_emotion",), beta=0.05)
    shared, task = (
        run(trainer(clips, TrainConfig(size="tiny", epochs=1, batch=4, sparse=1.0, moments=moments), alone))
        for moments in ("shared", "task")
    )
    for name, value in shared.items():
        torch.testing.assert_close(task[name], value, rtol=1e-5, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")


def test_a_resumed_run_ends_with_the_same_bits(clips: list[Clip], tmp_path: Path) -> None:
    config = TrainConfig(size="tiny", epochs=2, batch=4, sparse=1.0, accumulate=2, moments="task", measure_every=0)
    straight, left = run(trainer(clips, config)), [3]

    def stop(*_: float) -> None:
        left[0] -= 1
        if not left[0]:
            raise Preempted(signal.SIGTERM)

    first = trainer(clips, config)
    with pytest.raises(Preempted):
        run(first, stop)
    save_checkpoint(tmp_path, first.state())
    second = trainer(clips, config)
    second.load_state(load_checkpoint(tmp_path))
    assert differing(run(second), straight) == []
    shared = run(trainer(clips, TrainConfig(size="tiny", epochs=2, batch=4, sparse=1.0, accumulate=2)))
    assert any(name.startswith("encoders") for name in differing(shared, straight))


def test_what_cannot_be_done_task_by_task_is_refused() -> None:
    fabric = make_fabric(device="cpu")
    with pytest.raises(ConfigError, match="moments is 'each'"):
        TrainConfig(moments="each")
    with pytest.raises(ConfigError, match="moments is 'task' with 1 processes, precision 16-mixed"):
        make_moments(fabric, Toy([0]), None, TrainConfig(moments="task", precision="16-mixed"))  # type: ignore[arg-type]
