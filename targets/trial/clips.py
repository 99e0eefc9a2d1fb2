"""Labelled clips through one perceiver, frame by frame: scores that can be put together from parts, clip by clip."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from codriver.bundle.manifest import Manifest
from codriver.console import Progress
from codriver.device.machine import summarise_ms
from codriver.errors import ConfigError
from codriver.perceiver import Perceiver
from codriver.percept import Percept
from codriver.sources import ClipFolder
from codriver.sources.clip import RATE_HZ
from targets.trial.drivers import frames_alone
from targets.trial.scoring import LabelledClip, TaskScore, evaluate
from workshop.aide_splits import ClipRef

EPSILON_S = 1e-6
Scores = Mapping[str, TaskScore]  # by task


@dataclass(frozen=True, kw_only=True)
class ClipScores:
    """What some clips came to, in their order."""

    tasks: Scores  # with annotations
    ways: Mapping[str, Scores]  # with frames alone, and without single streams; nothing without a finder
    certainty: Sequence[float]  # of the finder, by clip, 0..1
    times_ms: Mapping[str, Sequence[float]]  # by stage, of every step with annotations


def score_clips(perceiver: Perceiver, refs: Sequence[ClipRef], *, parts: bool, every: int) -> ClipScores:
    """A clip's scores do not depend on the clips before it: the perceiver is reset before each.

    parts, every: as `Trial` has them."""
    times_ms: dict[str, list[float]] = {}

    def watch(percept: Percept) -> None:
        for stage, value in percept.latency_ms.items():
            times_ms.setdefault(stage, []).append(value)

    name, tasks = perceiver.variant, {task.name for task in perceiver.manifest.tasks}
    with Progress(f"{name}: clips", total=len(refs)) as progress:
        scores = evaluate(perceiver, _labelled(refs, tasks, progress, every), watch)
    ways: dict[str, dict[str, TaskScore]] = {}
    certainty: list[float] = []
    if perceiver.manifest.finder is not None:
        ways, certainty = frames_alone(perceiver, refs, name, parts=parts, every=every)
    return ClipScores(tasks=scores, ways=ways, certainty=certainty, times_ms=times_ms)


def check_rhythm(every: int, manifest: Manifest) -> None:
    """Raise a ConfigError if steps come further apart than slots, so that each slot lacks the one before it."""
    step_s, slot_s = every / RATE_HZ, manifest.context.slot_s
    if manifest.streams and step_s > slot_s + EPSILON_S:
        raise ConfigError(
            f"--every {every}: a step each {step_s:.2g} s, but slots are {slot_s:g} s apart, so what they "
            f"remember would not be there; expected {int((slot_s + EPSILON_S) * RATE_HZ)} or less"
        )


def _labelled(refs: Sequence[ClipRef], tasks: set[str], progress: Progress, every: int) -> Iterator[LabelledClip]:
    """Clips as `evaluate` takes them; a frame or a label that cannot be read is an error here, never a gap."""
    for ref in refs:
        with ClipFolder(ref.folder, strict=True, every=every) as clip:
            labels = {task: label for task, label in clip.truth.items() if task in tasks}
            yield ((at.images, at.t, at.driver) for at in clip), labels
        progress.step()


def joined(parts: Sequence[ClipScores]) -> ClipScores:
    """As if one perceiver had run the clips of all parts, in this order. At least one part."""
    return ClipScores(
        tasks=_joined([part.tasks for part in parts]),
        ways={way: _joined([part.ways[way] for part in parts]) for way in parts[0].ways},
        certainty=[value for part in parts for value in part.certainty],
        times_ms={stage: [value for part in parts for value in part.times_ms[stage]] for stage in parts[0].times_ms},
    )


def _joined(parts: Sequence[Scores]) -> dict[str, TaskScore]:
    return {
        name: TaskScore(
            task=name,
            classes=score.classes,
            labels=np.concatenate([part[name].labels for part in parts]),
            predictions=np.concatenate([part[name].predictions for part in parts]),
            probabilities=np.concatenate([part[name].probabilities for part in parts]),
        )
        for name, score in parts[0].items()
    }


def told(scores: ClipScores, looks_for: Sequence[str] | None) -> dict[str, Any]:
    """JSON-ready. looks_for: the driver's parts that the bundle's finder looks for; None without a finder."""
    found: dict[str, Any] = {
        "tasks": _told(scores.tasks),
        "clips_latency_ms": {stage: summarise_ms(ms) | {"n": len(ms)} for stage, ms in scores.times_ms.items()},
    }
    if looks_for is not None:
        ways = {way: _told(tasks) for way, tasks in scores.ways.items()}
        found["driver"] = {"ways": ways, "certainty": list(scores.certainty), "looks_for": list(looks_for)}
    return found


def _told(scores: Scores) -> dict[str, Any]:
    return {task: _answers(score) for task, score in scores.items() if score.n}


def _answers(score: TaskScore) -> dict[str, Any]:
    """Every clip's label and answer, by index, -1 without a valid answer; probabilities in 1/10000."""
    return {
        "classes": list(score.classes),
        "labels": score.labels.tolist(),
        "predicted": score.predictions.tolist(),
        "probabilities_e4": np.rint(score.probabilities * 1e4).astype(int).tolist(),
        "accuracy": score.accuracy,
        "macro_f1": score.macro_f1,
    }
