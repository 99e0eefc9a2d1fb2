"""What learning together is worth on a benchmark: joint models against one model a task, over seeds.

    python -m training.delta --task-set cityscapes --data out/city --out docs/delta/cityscapes --epochs 8 --seeds 0 1 2

Each seed trains a model a task with plain losses, and joint ones by each way of weighing. Every run adds a line to
OUT/runs.jsonl; started again, the command goes on where it stopped. OUT/table.md has delta_m, the mean over tasks of
(joint - single) / single, with the sign turned where less is better, and its interval over seeds.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from codriver.dense_tasks import DENSE_TASK_SETS
from codriver.device.machine import describe_machine
from codriver.errors import ConfigError
from codriver.tasks import Task, TaskSet
from training.ablate import difference, read_rows, verdict
from training.dense.lessons import Lesson, VaryConfig, constants, start_of
from training.dense.loss import DenseLoss
from training.dense.model import DENSE_SIZES, KINDS, DenseUVM3TL, sized
from training.dense.scores import answers_of, is_error, scored, written
from training.dense.train import KNOWN, LOADERS, DenseData, DenseTrainer, lessons
from training.losses.afd import AFD, LossConfig
from training.trainer.config import TrainConfig
from training.trainer.processes import make_fabric
from workshop.artifacts import add_line, provenance, write_text
from workshop.command import command

RUNS, TABLE = "runs.jsonl", "table.md"
PLAIN = LossConfig(weighting="equal", beta=0.0)
JOINT = {"equal weights": PLAIN, "AFD-Loss": LossConfig(**AFD)}


@dataclass(frozen=True)
class Arm:
    """One way to train: which tasks, and how they are weighed."""

    name: str
    tasks: tuple[str, ...]
    loss: LossConfig


@dataclass(frozen=True)
class DeltaData:
    """What all runs share. Lessons hold every task; a run learns its own."""

    data: DenseData
    taken: Sequence[Lesson]
    constants: Mapping[str, float]
    start: Mapping[str, Sequence[float]]  # task -> what its head starts from
    size: str
    config: TrainConfig


def arms(task_set: TaskSet) -> list[Arm]:
    single = [Arm(f"single {name}", (name,), PLAIN) for name in task_set.names]
    return single + [Arm(name, task_set.names, loss) for name, loss in JOINT.items()]


def told(task: Task) -> str:
    """The score of a task that delta_m is made of: what tables hold, but IoU of lanes alone, as most is no lane."""
    kind = KINDS[task.kind]
    return str(kind.main_score(task) if task.thin else kind.judged_by(task))


def run_arm(arm: Arm, seed: int, task_set: TaskSet, bench: DeltaData) -> dict[str, Any]:
    """Train one model; returns its line of runs.jsonl, with scores on the test pictures."""
    config = replace(bench.config, seed=seed, validate_every=bench.config.epochs)
    torch.manual_seed(seed)
    model = DenseUVM3TL(sized(bench.size, task_set.name, arm.tasks))
    model.start_from({task: bench.start[task] for task in arm.tasks if task in bench.start})
    loss = DenseLoss(model.task_set, arm.loss, bench.constants)
    trainer = DenseTrainer(make_fabric(config.precision), model, loss, bench.taken, config)  # type: ignore[arg-type]
    started = time.process_time()
    with tqdm(total=trainer.steps, desc=f"{arm.name}, seed {seed}", unit="step", leave=False, disable=None) as bar:
        trainer.run(VaryConfig(), on_step=lambda *_: bar.update(), on_epoch=lambda record: None)
    read = LOADERS[task_set.name].read
    found = scored(model.task_set, map(read, bench.data.refs["test"]), lambda scene: answers_of(model, scene))
    return {
        "variant": arm.name,
        "seed": seed,
        "scores": {task: result.scores for task, result in found.items()},
        "processor_s": round(time.process_time() - started, 1),
    }


def missing(all_arms: Sequence[Arm], seeds: Sequence[int], rows: Sequence[Mapping[str, Any]]) -> list[tuple[Arm, int]]:
    """What is still to run, seed by seed, so that a stop leaves whole seeds."""
    done = {(row["variant"], row["seed"]) for row in rows}
    return [(arm, seed) for seed in seeds for arm in all_arms if (arm.name, seed) not in done]


def by_seed(rows: Iterable[Mapping[str, Any]], name: str, task_set: TaskSet) -> dict[int, dict[str, float]]:
    """Seed -> task -> its told score, for seeds that have all tasks. name: of a joint arm, or `single`."""
    found: dict[int, dict[str, float]] = {}
    for row in rows:
        if row["variant"].split()[0] == name or row["variant"] == name:
            own = {
                task.name: row["scores"][task.name][told(task)] for task in task_set.tasks if task.name in row["scores"]
            }
            found.setdefault(row["seed"], {}).update(own)
    return {seed: own for seed, own in found.items() if len(own) == len(task_set.tasks)}


def delta_m(joint: Mapping[str, float], single: Mapping[str, float], task_set: TaskSet) -> float:
    """Mean relative gain over tasks; NaN if a single-task model scores 0."""
    gains = []
    for task in task_set.tasks:
        sign = -1 if is_error(told(task)) else 1
        gains.append(sign * (joint[task.name] - single[task.name]) / single[task.name] if single[task.name] else np.nan)
    return float(np.mean(gains))


def table(rows: Sequence[Mapping[str, Any]], task_set: TaskSet) -> str:
    """For people, in Markdown: means and standard deviations over seeds, delta_m with its 95 % interval."""
    single = by_seed(rows, "single", task_set)
    titles = [f"{task.title}, {told(task)}" for task in task_set.tasks]
    lines = [f"| | seeds | {' | '.join(titles)} | delta_m, % |", "|---" * (len(titles) + 3) + "|"]
    gains: dict[str, dict[int, float]] = {}
    for name in ("single", *JOINT):
        own = by_seed(rows, name, task_set)
        gains[name] = {seed: delta_m(own[seed], single[seed], task_set) for seed in own.keys() & single.keys()}
        cells = [spread([some[task.name] for some in own.values()], told(task)) for task in task_set.tasks]
        said = "reference" if name == "single" else gap(gains[name], dict.fromkeys(gains[name], 0.0))
        lines.append(f"| {' | '.join([name, str(len(own)), *cells, said])} |")
    equal, afd = (gains[name] for name in JOINT)
    return "\n".join([*lines, "", f"AFD-Loss against equal weights, delta_m: {gap(afd, equal)}.", ""])


def spread(values: Sequence[float], score: str) -> str:
    if not values:
        return "-"
    deviation = f" +- {written(score, float(np.std(values, ddof=1)))}" if len(values) > 1 else ""
    return written(score, float(np.mean(values))) + deviation


def gap(these: Mapping[int, float], those: Mapping[int, float]) -> str:
    """Difference paired by seed, with half of its 95 % interval by Student's t, and what that shows."""
    found = difference(these, those)
    figures = "" if found is None else f"{100 * found[0]:+.1f} +- {100 * found[1]:.1f}, "
    return figures + verdict(found)


def settings_of(data: DenseData, task_set: TaskSet, size: str, config: TrainConfig) -> dict[str, Any]:
    names = {split: "\n".join(ref.name for ref in refs) for split, refs in data.refs.items()}
    return {
        "task_set": task_set.name,
        "size": size,
        "epochs": config.epochs,
        "batch": config.batch,
        "pictures": {split: len(refs) for split, refs in data.refs.items()},
        "names_sha256": {split: hashlib.sha256(some.encode()).hexdigest() for split, some in names.items()},
    }


def compare(
    data: Path,
    out: Path,
    task_set: TaskSet,
    size: str,
    config: TrainConfig,
    seeds: Sequence[int],
    say: Callable[[str], None],
) -> str:
    """Run what is missing, and return the table. Whatever was run stays, however this ends."""
    held = DenseData.of(data, task_set.name)
    settings = settings_of(held, task_set, size, config)
    out.mkdir(parents=True, exist_ok=True)
    rows = read_rows(out / RUNS, settings)
    todo = missing(arms(task_set), seeds, rows)
    if not (out / RUNS).is_file():
        add_line(out / RUNS, {"settings": settings, "machine": describe_machine(), **provenance(("torch",), None)})
    if todo:
        taken = lessons(held.refs["train"], sized(size, task_set.name), "train")
        known = taken[:KNOWN]
        bench = DeltaData(held, taken, constants(known, task_set), start_of(known, task_set), size, config)
    for number, (arm, seed) in enumerate(todo, start=1):
        say(f"{number}/{len(todo)} {arm.name}, seed {seed}")
        rows.append(run_arm(arm, seed, task_set, bench))
        add_line(out / RUNS, rows[-1])
        write_text(out / TABLE, table(rows, task_set))
    return table(rows, task_set)


@command("training.delta", stopped="the same command goes on: runs that ended stay")
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.delta",
        description="Joint models of a benchmark against one model a task, and AFD-Loss against equal weights.",
        epilog="example: python -m training.delta --task-set cityscapes --data out/city --out out/delta --seeds 0 1 2",
    )
    parser.add_argument("--task-set", choices=tuple(DENSE_TASK_SETS), required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder for runs.jsonl and table.md")
    parser.add_argument("--size", choices=tuple(DENSE_SIZES), default="toy")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args(argv)
    if len(set(args.seeds)) < len(args.seeds):
        raise ConfigError(f"--seeds {args.seeds}: one stands twice, which would count it as two")
    config = TrainConfig(epochs=args.epochs, batch=args.batch, sparse=0.0)
    task_set = DENSE_TASK_SETS[args.task_set]
    text = compare(
        args.data, args.out, task_set, args.size, config, args.seeds, lambda line: tqdm.write(line, sys.stderr)
    )
    sys.stdout.write(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
