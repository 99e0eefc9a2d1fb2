"""What must hold between the values of a manifest; what each may be by itself stands at its field."""

from __future__ import annotations

import math
from collections import Counter

from codriver.bundle.manifest import MANIFEST_NAME, PART, REST, Manifest, TaskSpec
from codriver.config import check_policy
from codriver.errors import ConfigError
from codriver.files.decode import Fault
from codriver.percept import UNKNOWN
from codriver.tasks import GESTURE_POINTS, JOINTS, POSTURE_POINTS, STREAMS, TASK_SETS, VIEWS

MAX_FILES = 4096
MAX_FEATURE = 1 << 22  # numbers in one encoded feature
POINTS = {"posture": len(POSTURE_POINTS), "gesture": len(GESTURE_POINTS)}


def check_manifest(manifest: Manifest) -> None:
    """Raise a Fault for the first rule that is broken."""
    _check_streams(manifest)
    for group, members in manifest.groups.items():
        shapes = {(member.size, member.feature, member.slot) for member in members}
        _require(len(shapes) == 1, f"streams {', '.join(m.name for m in members)} of group {group} differ in shape")
    context = manifest.context
    reaches = context.tolerance_s <= context.slot_s
    _require(reaches, f"context: tolerance_s is {context.tolerance_s}, expected up to slot_s, {context.slot_s}")
    try:
        check_policy(manifest.policy, manifest.views)
    except ConfigError as error:
        raise Fault("", str(error)) from error
    _require_distinct("task", [task.name for task in manifest.tasks])
    for task in manifest.tasks:
        _check_task(task, manifest)
    _check_files(manifest)
    _check_roles(manifest)
    if manifest.finder is not None:
        _require("incar" in manifest.views, "a finder without incar, the view that it looks at")
    if manifest.dense is not None:
        manifest.dense.check()


def _check_roles(manifest: Manifest) -> None:
    """Every variant has a graph for each part of the bundle, and no other."""
    parts = {"encoder": manifest.streams, "fuser": manifest.tasks, "finder": manifest.finder, "dense": manifest.dense}
    for variant in manifest.variants:
        for role, declared in parts.items():
            instead = {"encoder": variant.encoders, "fuser": variant.pooled}.get(role)
            there = getattr(variant, role) or instead
            has, declares = (f"a {role}" if some else f"no {role}" for some in (there, declared))
            _require(has == declares, f"variant {variant.name} has {has}, the bundle declares {declares}")
        own, all_parts = (
            sorted(set(variant.graphs) - {*parts, REST}),
            sorted(f"{PART}{group}" for group in manifest.groups),
        )
        right = (own, len(variant.encoders), variant.encoder) == (all_parts, len(all_parts), None)
        expected = f"expected one encoder or {', '.join(all_parts)}"
        _require(not (variant.fuser and variant.pooled), f"variant {variant.name} has a fuser and a pooled one")
        whole = bool(variant.encoder or variant.fuser)
        _require(not (variant.codes and whole), f"variant {variant.name} has codes, which a whole graph does not take")
        _require(right or not variant.encoders, f"variant {variant.name} has {', '.join(variant.encoders)}, {expected}")


def _require(holds: object, message: str, code: str = "") -> None:
    if not holds:
        raise Fault("", message, code)


def _require_distinct(what: str, names: list[str], code: str = "") -> None:
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    _require(not twice, f"{what} {', '.join(twice)} is there more than once", code)


def _check_streams(manifest: Manifest) -> None:
    streams = manifest.streams
    names = [stream.name for stream in streams]
    expected = [name for name in STREAMS if name in names]
    _require(names == expected, f"streams {', '.join(names)}, expected, in order, of {', '.join(STREAMS)}")
    seen = any(name in VIEWS for name in names) or (manifest.dense and not names)
    _require(seen, "no stream is a view, expected at least one camera")
    _require(bool(streams) == bool(manifest.tasks), "streams without tasks, or tasks without streams")
    _require("incar" in names or set(names) <= set(VIEWS), "crops or joints without incar, their view")
    for stream in streams:
        where, kind = f"stream {stream.name}", "joints" if stream.name in JOINTS else "image"
        _require(stream.kind == kind, f"{where} is {stream.kind!r}, expected {kind!r}")
        points = POINTS.get(stream.name, stream.size)
        _require(stream.size == points, f"{where} has {stream.size} points, expected {points}")
        for what, dims in (("feature", stream.feature), ("slot", stream.slot)):
            whole = dims and min(dims) >= 1 and math.prod(dims) <= MAX_FEATURE
            _require(whole, f"{where} has {what} {list(dims)}, expected sizes with a product of 1 to {MAX_FEATURE}")


def _check_task(task: TaskSpec, manifest: Manifest) -> None:
    where = f"task {task.name}"
    _require(len(task.labels) >= 2, f"{where} has {len(task.labels)} labels, expected two or more")
    _require_distinct(f"{where}: label", list(task.labels))
    _require(task.needs_any, f"{where} needs no view, expected at least one in needs_any")
    strangers = [v for v in task.needs_any if v not in VIEWS or all(v != s.name for s in manifest.streams)]
    _require(not strangers, f"{where} needs {', '.join(strangers)}, which is not among the streams")
    _require(UNKNOWN not in task.labels, f"{where} has a label {UNKNOWN!r}, which means that there is none")
    span_s = manifest.context.span_s
    _require(task.hold_s <= span_s, f"{where}: hold_s is {task.hold_s}, expected 0 to {span_s:g}")
    known = TASK_SETS.get(manifest.task_set)
    if known is not None:
        _require(task.name in known.names, f"{where} is not one of {known.name}'s: {', '.join(known.names)}")
        _require(task.labels == known[task.name].labels, f"{where} has other labels than {known.name}'s")


def _check_files(manifest: Manifest) -> None:
    files = manifest.files
    _require(len(files) <= MAX_FILES, f"{len(files)} files, expected up to {MAX_FILES}")
    _require_distinct("file (upper and lower case aside)", [path.lower() for path in files], "path-case-clash")
    _require(MANIFEST_NAME not in files, f"{MANIFEST_NAME} is listed among the files, where it cannot be")
    _require_distinct("variant", [variant.name for variant in manifest.variants])
    used = [path for variant in manifest.variants for path in variant.paths]
    for path in used + ([manifest.golden] if manifest.golden else []):
        _require(path in files, f"{path} is used but not listed among the files")
