"""What must hold between the values of a manifest, checked when one is read and when one is written."""

from __future__ import annotations

import math
import re

from codriver.engines import ENGINES
from codriver.errors import BundleError
from codriver.manifest import MANIFEST_NAME, FileSpec, Manifest, StreamSpec, TaskSpec
from codriver.tasks import GESTURE_POINTS, JOINTS, POSTURE_POINTS, STREAMS, TASK_SETS, VIEWS

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
SHA256 = re.compile(r"[0-9a-f]{64}")
MAX_FILE_BYTES = 2 << 30             # ONNX's own limit
MAX_SIZE_PX = 4096
MAX_FEATURE = 1 << 22                # numbers in one encoded feature
MAX_SLOTS = 256
POINTS = {"posture": len(POSTURE_POINTS), "gesture": len(GESTURE_POINTS)}


def check_manifest(manifest: Manifest) -> None:
    """Raise a BundleError for the first rule that is broken."""
    _require(NAME.fullmatch(manifest.name), f"name {manifest.name!r}, expected a-z 0-9 . _ - and at most 64 of them")
    _require(manifest.engine in ENGINES, f"engine {manifest.engine!r}, this codriver has {', '.join(ENGINES)}")
    _require(manifest.color in ("bgr", "rgb"), f"color {manifest.color!r}, expected bgr or rgb")
    _check_streams(manifest.streams)
    _check_context(manifest)
    _require(manifest.tasks, "no task, expected at least one")
    _require_distinct("task", [task.name for task in manifest.tasks])
    for task in manifest.tasks:
        _check_task(task, manifest)
    _check_files(manifest)


def _require(holds: object, message: str) -> None:
    if not holds:
        raise BundleError(f"{MANIFEST_NAME}: {message}; fetch or build the bundle anew")


def _require_distinct(what: str, names: list[str]) -> None:
    twice = [name for name in names if names.count(name) > 1]
    _require(not twice, f"{what} {', '.join(sorted(set(twice)))} is there more than once")


def _check_streams(streams: tuple[StreamSpec, ...]) -> None:
    names = [stream.name for stream in streams]
    expected = [name for name in STREAMS if name in names]
    _require(names == expected, f"streams {', '.join(names)}, expected some of {', '.join(STREAMS)} in this order")
    _require(any(name in VIEWS for name in names), "no stream is a view, expected at least one camera")
    _require("incar" in names or names == [name for name in names if name in VIEWS], "crops and joints need incar")
    for stream in streams:
        kind = "joints" if stream.name in JOINTS else "image"
        _require(stream.kind == kind, f"stream {stream.name} is {stream.kind!r}, expected {kind!r}")
        limit = POINTS.get(stream.name, MAX_SIZE_PX)
        fits = stream.size == limit if kind == "joints" else 1 <= stream.size <= limit
        _require(fits, f"stream {stream.name} has size {stream.size}, expected {'' if kind == 'joints' else '1 to '}{limit}")
        dims = stream.feature
        whole = dims and all(dim >= 1 for dim in dims) and math.prod(dims) <= MAX_FEATURE
        _require(whole, f"stream {stream.name} has feature {list(dims)}, expected sizes from 1, {MAX_FEATURE} in all")


def _check_context(manifest: Manifest) -> None:
    context = manifest.context
    _require(1 <= context.slots <= MAX_SLOTS, f"context has {context.slots} slots, expected 1 to {MAX_SLOTS}")
    _require(0 < context.slot_s <= 60, f"context has slot_s {context.slot_s}, expected 0 to 60 seconds")
    _require(0 < context.tolerance_s <= context.slot_s, f"context has tolerance_s {context.tolerance_s}, expected 0 to slot_s")
    _require(0 < context.max_rate_hz <= 1000, f"context has max_rate_hz {context.max_rate_hz}, expected 0 to 1000")
    _require(0 <= context.min_context <= 1, f"context has min_context {context.min_context}, expected a share, 0 to 1")


def _check_task(task: TaskSpec, manifest: Manifest) -> None:
    where = f"task {task.name}"
    _require(task.kind == "classification", f"{where} is a {task.kind!r}, this codriver answers classification; update it")
    _require(len(task.labels) >= 2, f"{where} has {len(task.labels)} labels, expected two or more")
    _require_distinct(f"{where}: label", list(task.labels))
    _require(task.needs_any, f"{where} needs no view, expected at least one in needs_any")
    strangers = [view for view in task.needs_any if view not in manifest.views]
    _require(not strangers, f"{where} needs {', '.join(strangers)}, which is not among the streams")
    known = TASK_SETS.get(manifest.task_set)
    if known is not None:
        _require(task.name in known.names, f"{where} is not in task set {known.name}, which has {', '.join(known.names)}")
        _require(task.labels == known[task.name].labels, f"{where} has other labels than task set {known.name}")


def _check_files(manifest: Manifest) -> None:
    files = manifest.files
    _require_distinct("file (upper and lower case aside)", [path.lower() for path in files])
    _require(MANIFEST_NAME not in files, f"{MANIFEST_NAME} is listed among the files, where it cannot be")
    for path, file in files.items():
        _check_file(path, file)
    _require(manifest.variants, "no variant, expected at least one")
    _require_distinct("variant", [variant.name for variant in manifest.variants])
    used = [path for variant in manifest.variants for path in (variant.encoder, variant.fuser)]
    for path in used + ([manifest.golden] if manifest.golden else []):
        _require(path in files, f"{path} is used but not listed among the files")


def _check_file(path: str, file: FileSpec) -> None:
    _require(SHA256.fullmatch(file.sha256), f"file {path} has sha256 {file.sha256[:80]!r}, expected 64 of 0-9 a-f")
    _require(0 <= file.bytes <= MAX_FILE_BYTES, f"file {path} has {file.bytes} bytes, expected 0 to {MAX_FILE_BYTES}")
