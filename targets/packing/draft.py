"""A bundle's manifest before its files are hashed, from what quantize's reports say."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from codriver.bundle.manifest import FinderSpec, Manifest, TaskSpec, VariantSpec
from codriver.tasks import VIEWS, Task
from targets.packing.dense import figures
from targets.profiles.profile import Profile
from workshop.artifacts import provenance
from workshop.bundle_writer import default_policy
from workshop.dense_report import DenseQuantizedReport
from workshop.quantized_report import QuantizedReport, RunOrigin
from workshop.statistics import wilson


@dataclass(frozen=True, kw_only=True)
class Release:
    """What is up to whoever ships the bundle."""

    version: int = 0  # see Manifest.version
    without: tuple[str, ...] = ()  # tasks that are not to be in it
    key: Path | None = None  # private key to sign it with
    allow: tuple[str, ...] = ()  # checks of the gate that may be missed; the manifest says so for ever
    mirrored: bool = False  # the driver sits on the other side than in the footage that the finder learned from
    golden_clips: int | None = None  # of those recorded with answers, the first ones; None: all
    dense: Path | None = None  # made by quantize.dense: maps and boxes of the front camera, beside the four answers
    every_s: float = 0.0  # between two pictures that these are answered for; 0: every one


DEFAULT = Release()


def manifest_draft(
    name: str, profile: Profile, report: QuantizedReport, variants: tuple[VariantSpec, ...], release: Release = DEFAULT
) -> Manifest:
    origin = provenance(("onnxruntime",), report.seed)
    return Manifest(
        name=name,
        version=release.version,
        target=profile.name,
        task_set=report.task_set,
        color=report.color,
        created=origin["created"],
        tools={**report.tools, **origin["tools"]},
        git_commit=origin["git_commit"],
        seed=report.seed,
        tasks=task_specs(report),
        streams=report.stream_specs,
        variants=variants,
        context=report.context_config,
        policy=default_policy(stream.name for stream in report.streams if stream.name in VIEWS),
        finder=FinderSpec(mirrored=release.mirrored, gesture=report.finder.gesture) if report.finder else None,
        golden=report.golden,
        metrics=measured(report),
        training=asdict(report.run.data) | {"calibration_clips": report.calibration.clips},
    )


def task_specs(report: QuantizedReport) -> tuple[TaskSpec, ...]:
    return tuple(
        TaskSpec(
            name=task.name,
            labels=task.labels,
            needs_any=telling_views(task, report.run),
            kind=task.kind,
            temperature=report.confidence[task.name].temperature,
        )
        for task in report.tasks
    )


def telling_views(task: Task, run: RunOrigin) -> tuple[str, ...]:
    """Of the views that the task may need, those that tell of it by themselves on validation clips.

    A view does not if the 95 % interval of its accuracy alone reaches down to always giving the likeliest class: an
    answer from it is a guess, which the runtime then calls invalid. Without clips, or if none tells, all count.
    """
    alone = {row.views[0]: row for row in run.subsets if len(row.views) == 1}
    telling = []
    for view in task.needs_any:
        row = alone.get(view)
        if row is None or task.name not in row.accuracy:
            telling.append(view)
            continue
        least, _ = wilson(round(row.accuracy[task.name] * row.clips), row.clips)
        if least > row.majority[task.name]:
            telling.append(view)
    return tuple(telling) or task.needs_any


def measured(report: QuantizedReport) -> dict[str, Any]:
    """What is known of the model's accuracy, for the manifest."""
    run = report.run
    return {
        "fp32": {task: asdict(scores) for task, scores in run.test.items()},
        "clips": run.test_clips,
        "clips_sha256": run.data.clips_sha256["test"],
        "confidence": {task: asdict(fitted) for task, fitted in report.confidence.items()},
        "subsets": [asdict(row) for row in run.subsets],
        **({"frames_alone": asdict(run.frames_alone)} if report.finder else {}),
    }


def draft_of_one_camera(
    name: str,
    profile: Profile,
    report: DenseQuantizedReport,
    variants: tuple[VariantSpec, ...],
    release: Release = DEFAULT,
) -> Manifest:
    """Maps and boxes alone."""
    origin = provenance(("onnxruntime",), report.seed)
    return Manifest(
        name=name,
        version=release.version,
        target=profile.name,
        created=origin["created"],
        tools={**report.tools, **origin["tools"]},
        git_commit=origin["git_commit"],
        seed=report.seed,
        task_set=report.dense.task_set,
        tasks=(),
        color=report.color,
        streams=(),
        policy=default_policy([report.dense.view]),
        dense=replace(report.dense, every_s=release.every_s),
        variants=variants,
        golden=report.golden,
        metrics={"dense": figures(report, profile)},
        training={"pictures": dict(report.run.pictures)},
    )
