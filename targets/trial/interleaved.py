"""Which variant is faster here, and by how much: their steps in turns, so that a busy spell meets them all."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np

from codriver.console import Progress
from codriver.perceiver import Perceiver
from targets.trial.trial import DISTINCT, Trial, apart, frame_sets, step_of, warm_up_steps
from workshop.aide_splits import read_split
from workshop.statistics import quantile_interval

STEPS = 300  # of each, at most


def in_turns(trials: Mapping[str, Trial], reference: str) -> dict[str, dict[str, Any]]:
    """Key -> what a step takes against one of `reference`'s: median of the ratios, turn by turn, and its 95 % interval.

    One new process opens all of them, so neither memory nor a cold start can be read here. An EngineFailed if it dies,
    as two runtimes in one process may make it, or if an engine fails.
    """
    return apart(turns_here, (dict(trials), reference), "all variants in turns")


def turns_here(question: tuple[Mapping[str, Trial], str]) -> dict[str, dict[str, Any]]:
    """The same, in this process. Each variant sees a new picture at every step, and none that the one before it saw."""
    trials, reference = question
    trial = trials[reference]
    sets = frame_sets(read_split(trial.data, "test")[0], DISTINCT + len(trials))
    steps = min(STEPS, trial.steps)
    times_ms: dict[str, list[float]] = {key: [] for key in trials}
    with ExitStack() as stack:
        opened = {
            key: stack.enter_context(Perceiver.open(some.bundle, variant=some.variant, threads=some.threads))
            for key, some in trials.items()
        }
        warm_up = max(map(warm_up_steps, opened.values()))
        with Progress("in turns", total=warm_up + steps) as progress:
            for number in range(warm_up + steps):
                for place, (key, perceiver) in enumerate(opened.items()):
                    frames = sets[(number - place) % len(sets)]
                    times_ms[key].append(step_of(perceiver, frames, number).latency_ms["total"])
                progress.step()
    measured = {key: np.array(values[warm_up:]) for key, values in times_ms.items()}
    return {key: _against(values / measured[reference], reference) for key, values in measured.items()}


def _against(ratios: Any, reference: str) -> dict[str, Any]:
    low, high = quantile_interval(ratios.tolist(), 0.5)
    bounds = [round(bound, 3) if np.isfinite(bound) else None for bound in (low, high)]
    return {"against": reference, "ratio": round(float(np.median(ratios)), 3), "interval": bounds, "steps": len(ratios)}
