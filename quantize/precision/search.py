"""The fewest layers in floating point that keep a budget per task, and the milliseconds that each costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from codriver.engines import open_engine
from codriver.engines.base import Engine, GraphFiles
from codriver.errors import ConfigError
from codriver.tasks import TaskSet
from quantize.export.fake_quant import load_fake_quant
from quantize.export.onnx_export import onnx_bytes
from quantize.graphs.graphs import ENCODER_INPUTS, ENCODER_OUTPUTS, example_step
from quantize.parity.runners import signatures
from quantize.precision.layers import Layers, keep_float
from workshop.quantized_report import QuantizedReport

Losses = Mapping[str, Mapping[str, float]]  # task -> measure -> what INT8 costs
MEASURES = ("mean_abs", "kl", "accuracy")
ROUNDS = 60  # of timing, all graphs in turn


@dataclass(frozen=True)
class Budget:
    """The most that each task may lose."""

    measure: str  # one of MEASURES
    by_task: Mapping[str, float]

    def excess(self, losses: Losses) -> dict[str, float]:
        """Task -> what it loses beyond its budget, of those that do."""
        over = {task: losses[task][self.measure] - allowed for task, allowed in self.by_task.items()}
        return {task: value for task, value in over.items() if value > 1e-12}


def parse_budget(texts: Sequence[str], measure: str, task_set: TaskSet) -> Budget | None:
    """`0.002` for all tasks, `vehicle_behavior=0.004` for one; later ones overrule. None without any."""
    by_task: dict[str, float] = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        if name and name not in task_set.names:
            raise ConfigError(f"budget {text!r}: no task {name!r}; the tasks are {', '.join(task_set.names)}")
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if not value >= 0:
            raise ConfigError(f"budget {text!r}: expected a number from 0, or TASK=NUMBER")
        by_task |= {name: value} if name else dict.fromkeys(task_set.names, value)
    return Budget(measure, by_task) if by_task else None


@dataclass(frozen=True)
class SearchResult:
    """How a search ended."""

    kept: tuple[str, ...]  # layers in floating point
    losses: Losses  # with these
    met: bool
    tried: int  # sets of layers that were measured
    before: Losses = field(default_factory=dict)  # with none in floating point

    def to_json(self, budget: Budget) -> dict[str, Any]:
        return {
            "measure": budget.measure,
            "budget": dict(budget.by_task),
            "met": self.met,
            "keep_float": list(self.kept),
            "losses": self.losses,
            "losses_without_exceptions": self.before,
            "excess": budget.excess(self.losses),
            "tried": self.tried,
        }


def fewest_layers(
    layers: Layers,
    quantizers: Sequence[str],
    losses: Callable[[set[str]], Losses],
    ranking: Sequence[Mapping[str, Any]],
    budget: Budget,
) -> SearchResult:
    """Bisect along the ranking for the shortest prefix that keeps the budget, then give back what is not needed.

    losses: of the model with these quantizers. The result is small, not proven smallest: 2^layers sets are too many.
    """
    tried: dict[frozenset[str], Losses] = {}

    def with_floats(kept: Sequence[str]) -> Losses:
        gone = layers.removed_with(kept)
        if gone not in tried:
            tried[gone] = losses(set(quantizers) - gone)
        return tried[gone]

    order = by_cost(layers, ranking, budget)
    before, after = with_floats([]), with_floats(order)
    if budget.excess(after):
        return SearchResult(tuple(order), after, False, len(tried), before)
    low, high = 0, len(order)  # the first `high` suffice
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if not budget.excess(with_floats(order[:middle])) else (middle + 1, high)
    kept = order[:high]
    for name in reversed(order[:high]):
        fewer = [other for other in kept if other != name]
        kept = kept if budget.excess(with_floats(fewer)) else fewer
    return SearchResult(tuple(kept), with_floats(kept), True, len(tried), before)


def by_cost(layers: Layers, ranking: Sequence[Mapping[str, Any]], budget: Budget) -> list[str]:
    """Layers, the one first whose quantizers cost most of any task's budget."""
    cost = {
        row["hook"]: max(
            row["losses"][task][budget.measure] / max(share, 1e-9) for task, share in budget.by_task.items()
        )
        for row in ranking
    }
    return sorted(
        (layer.name for layer in layers.all), key=lambda name: -sum(cost[h] for h in layers.removed_with([name]))
    )


def costs_ms(folder: Path, dialect: str, report: QuantizedReport, trial: SearchResult) -> dict[str, Any]:
    """What a step's encoder takes in ONNX Runtime with each exception alone, and with all of them.

    All graphs take turns, so that whatever else the machine does hits each alike. One thread. Where the budget is not
    met every layer is in floating point and nobody will keep one alone: that is timed together only.
    """
    if not dialect.startswith("ort-"):
        return {"not_measured": f"{dialect} does not run in ONNX Runtime"}
    sets = {"none": [], **({name: [name] for name in trial.kept} if trial.met else {})}
    sets |= {"all": list(trial.kept)} if len(trial.kept) > 1 else {}
    signature = signatures(report)[0]
    engines = {
        name: open_engine("onnxruntime", emitted(folder, dialect, kept), signature, threads=1)
        for name, kept in sets.items()
    }
    times = interleaved_ms(engines, signature.zeros())
    for engine in engines.values():
        engine.close()
    base = median(times["none"])
    return {
        name: {
            "ms": median(some),
            "more_ms": float(np.median(np.subtract(some, times["none"]))),
            "ratio": median(some) / base,
        }
        for name, some in times.items()
    }


def emitted(folder: Path, dialect: str, kept: Sequence[str]) -> GraphFiles:
    """The encoder as it is exported with these layers in floating point."""
    pair = load_fake_quant(folder, dialect)
    encoder, example = pair.encoder, example_step(pair.model.config)
    keep_float(encoder, kept, example)
    return GraphFiles(onnx_bytes(encoder, example, ENCODER_INPUTS, ENCODER_OUTPUTS))


def interleaved_ms(engines: Mapping[str, Engine], inputs: Any, rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Name -> times of `rounds` runs, after five to warm up."""
    times: dict[str, list[float]] = {name: [] for name in engines}
    for count in range(rounds + 5):
        for name, engine in engines.items():
            start_s = perf_counter()
            engine.infer(inputs)
            if count >= 5:
                times[name].append(1e3 * (perf_counter() - start_s))
    return times
