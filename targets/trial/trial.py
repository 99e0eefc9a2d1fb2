"""One variant of one bundle on trial, in a process of its own: its cold start and its peak of memory are nobody else's.

In this order: open and the first percept (cold start); every labelled clip, frame by frame, as a car would (accuracy;
then the peak of memory is read); the golden vectors; a stream of steps back to back (latency, throughput, energy).
"""

from __future__ import annotations

import json
import math
import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from codriver.console import Progress
from codriver.device.cpu import default_threads
from codriver.device.machine import runtime_version
from codriver.engines.base import STAND_INS
from codriver.errors import CodriverError, EngineError
from codriver.perceiver import Perceiver
from codriver.percept import Percept
from codriver.sources import ClipFolder
from codriver.verify.golden import Step, check_golden
from targets.trial.clips import joined, score_clips, told
from targets.trial.conditions import EnergyMeter, conditions, peak_memory_mb
from targets.trial.spread import spread
from workshop.aide_splits import ClipRef, read_split

RATE_HZ = 15.0  # of the stream's made-up clock; its steps follow one another without waiting
DISTINCT = 4  # frame sets of the stream, so that no cache sees the same one twice in a row
GPU_ENGINES = ("tensorrt", *STAND_INS)
TAIL_STEPS = 1000  # fewer say nothing of p99.9


@dataclass(frozen=True)
class Trial:
    """What to run."""

    bundle: Path
    variant: str
    data: Path
    steps: int = TAIL_STEPS  # of the timed stream
    threads: int | None = None  # None: the physical cores this process may use
    parts: bool = False  # also without each of the driver's streams
    every: int = 1  # step the first frame set of a clip and each so manieth to its last alone
    dask: str | None = None  # address of the scheduler whose workers run the clips; None: all here


class TrialError(CodriverError):
    """The trial's process failed; its message is the one of the error there."""


class EngineFailed(TrialError):
    """The engine did not open, or failed on the way: it says nothing of other variants, nor of the clips."""


def run_apart(trial: Trial) -> dict[str, Any]:
    """Run a trial in a new process: see `apart`."""
    return apart(run_here, trial, f"{trial.bundle}, {trial.variant}")


def apart(work: Callable[[Any], dict[str, Any]], subject: object, name: str) -> dict[str, Any]:
    """What `work` makes of `subject`, in a new process. A TrialError, EngineFailed if an engine did, brings over
    what it says. name: of the subject, for people."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(work, subject, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        kind, text = ours.recv()
    except EOFError:
        process.join()
        kind = "engine"  # a runtime that takes its process down is as good as one that refuses
        text = f"{name}: its process ended with code {process.exitcode}; look for its last words"
    except BaseException:
        process.terminate()  # or join would wait for the whole trial
        raise
    finally:
        process.join()
        ours.close()
    if kind != "done":
        raise (EngineFailed if kind == "engine" else TrialError)(text)
    return dict(json.loads(text))


def _serve(work: Callable[[Any], dict[str, Any]], subject: object, pipe: Connection) -> None:
    try:
        pipe.send(("done", json.dumps(work(subject))))
    except EngineError as error:
        pipe.send(("engine", str(error)))
    except CodriverError as error:
        pipe.send(("error", str(error)))
    except (KeyboardInterrupt, BrokenPipeError):
        return  # whoever asked is stopping too


def run_here(trial: Trial) -> dict[str, Any]:
    """The measurements of one trial, JSON-ready."""
    refs = read_split(trial.data, "test")
    first = frame_sets(refs[0], 1)[0]
    start_s = time.perf_counter()
    with Perceiver.open(trial.bundle, variant=trial.variant, threads=trial.threads) as perceiver:
        perceiver.step(*first)
        cold_start_ms = (time.perf_counter() - start_s) * 1e3
        found = {
            "engine": perceiver.engine,
            "engine_version": runtime_version(perceiver.engine),
            "threads": trial.threads or default_threads(),
            "cold_start_ms": round(cold_start_ms, 1),
            "clips_hz": RATE_HZ / trial.every,
            **_clips(perceiver, refs, trial),
            "memory_mb": peak_memory_mb(),
            "golden": _golden(perceiver),
            "stream": _stream(perceiver, frame_sets(refs[0], DISTINCT), trial),
        }
    return found


def frame_sets(ref: ClipRef, count: int) -> list[Step]:
    with ClipFolder(ref.folder, strict=True) as clip:
        return [(at.images, at.t, at.driver) for at in islice(clip, count)]


def _clips(perceiver: Perceiver, refs: Sequence[ClipRef], trial: Trial) -> dict[str, Any]:
    """With Dask the first clip is run here all the same, for the peak of memory."""
    how: dict[str, Any] = {"parts": trial.parts, "every": trial.every}
    found, by = [score_clips(perceiver, refs if trial.dask is None else refs[:1], **how)], {}
    if trial.dask is not None and refs[1:]:
        opening = (trial.bundle.resolve(), trial.variant, trial.threads or default_threads(), perceiver.manifest.id)
        placed = [replace(ref, folder=ref.folder.resolve(), annotation=ref.annotation.resolve()) for ref in refs[1:]]
        others, workers = spread(trial.dask, perceiver, opening, placed, **how)
        found, by = found + others, {"clips_by": f"{workers} workers of Dask"}
    finder = perceiver.manifest.finder
    return told(joined(found), finder.parts if finder else None) | by


def _golden(perceiver: Perceiver) -> list[dict[str, Any]] | None:
    """None: the bundle has no golden vectors."""
    if perceiver.manifest.golden is None:
        return None
    return [asdict(found) | {"ok": found.ok} for found in check_golden(perceiver)]


def _stream(perceiver: Perceiver, sets: Sequence[Step], trial: Trial) -> dict[str, Any]:
    warm_up = warm_up_steps(perceiver)
    before, percepts = conditions(), []
    perceiver.reset()
    with Progress(f"{trial.variant}: stream", total=warm_up + trial.steps) as progress:
        for number in range(warm_up):
            step_of(perceiver, sets[number % len(sets)], number)
            progress.step()
        with EnergyMeter(gpu=perceiver.engine in GPU_ENGINES) as meter:
            start_s = time.perf_counter()
            for number in range(warm_up, warm_up + trial.steps):
                percepts.append(step_of(perceiver, sets[number % len(sets)], number))
                progress.step()
            took_s = time.perf_counter() - start_s
    height, width, _ = next(iter(sets[0][0].values())).shape
    return {
        "steps": trial.steps,
        "warm_up_steps": warm_up,
        "context": percepts[-1].context,
        "frame_px": [width, height],
        "steps_per_s": round(trial.steps / took_s, 2),
        "energy": {
            "source": meter.source,
            "joules_per_step": None if meter.joules is None else round(meter.joules / trial.steps, 4),
            "watts": None if meter.joules is None else round(meter.joules / took_s, 2),
        },
        **_times(percepts),
        "conditions": {"before": before, "after": conditions()},
    }


def warm_up_steps(perceiver: Perceiver) -> int:
    """After so many steps of the stream every slot is filled."""
    return math.ceil(perceiver.manifest.context.span_s * RATE_HZ) + 5


def step_of(perceiver: Perceiver, frame_set: Step, number: int) -> Percept:
    """The stream's step `number`, whatever time its frames were taken at."""
    frames, _, driver = frame_set
    return perceiver.step(frames, number / RATE_HZ, driver)


def _times(percepts: Sequence[Percept]) -> dict[str, Any]:
    """Percentiles by stage; of the whole step all times, in order, and its jitter."""
    stages_ms = {stage: [step.latency_ms[stage] for step in percepts] for stage in percepts[0].latency_ms}
    total_ms = np.array(stages_ms["total"])
    return {
        "latency_ms": {stage: percentiles_ms(values) for stage, values in stages_ms.items()},
        "jitter_ms": round(float(np.abs(np.diff(total_ms)).mean()), 3) if len(total_ms) > 1 else None,
        "total_ms": np.round(total_ms, 3).tolist(),
    }


def percentiles_ms(values_ms: Sequence[float]) -> Mapping[str, float | None]:
    """p50, p90, p99, p99.9 and worst; p99.9 is None if fewer than TAIL_STEPS values would have to show it."""
    shares = {"p50": 50, "p90": 90, "p99": 99, "p99.9": 99.9, "worst": 100}
    found = {name: round(float(np.percentile(values_ms, share)), 3) for name, share in shares.items()}
    return found | ({"p99.9": None} if len(values_ms) < TAIL_STEPS else {})
