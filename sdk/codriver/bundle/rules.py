"""What must hold between the values of a manifest, checked when one is read and when one is written."""

from __future__ import annotations

import math
import re
from collections import Counter

from codriver.bundle.manifest import MANIFEST_NAME, FileSpec, Manifest, StreamSpec, TaskSpec
from codriver.config import ContextConfig, check_policy
from codriver.engines.base import RUNTIMES
from codriver.errors import BundleError, ConfigError
from codriver.percept import UNKNOWN
from codriver.tasks import GESTURE_POINTS, JOINTS, POSTURE_POINTS, STREAMS, TASK_SETS, VIEWS

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
SHA256 = re.compile(r"[0-9a-f]{64}")
MAX_FILE_BYTES = 2 << 30  # ONNX's own limit
MAX_FILES = 4096
MAX_VERSION = (1 << 31) - 1
MAX_SIZE_PX = 4096
MAX_FEATURE = 1 << 22  # numbers in one encoded feature
MAX_SLOTS = 256
POINTS = {"posture": len(POSTURE_POINTS), "gesture": len(GESTURE_POINTS)}


def check_manifest(manifest: Manifest) -> None:
    """Raise a BundleError for the first rule that is broken."""
    _require(NAME.fullmatch(manifest.name), f"name {manifest.name!r}, expected up to 64 of a-z 0-9 . _ -")
    in_range = 0 <= manifest.version <= MAX_VERSION
    _require(in_range, f"version {manifest.version}, expected 0 to {MAX_VERSION}")
    _require(manifest.color in ("bgr", "rgb"), f"color {manifest.color!r}, expected bgr or rgb")
    _check_streams(manifest.streams)
    _check_groups(manifest)
    _check_context(manifest.context)
    _check_policy(manifest)
    _require(manifest.tasks, "no task, expected at least one")
    _require_distinct("task", [task.name for task in manifest.tasks])
    for task in manifest.tasks:
        _check_task(task, manifest)
    _check_files(manifest)


def _require(holds: object, message: str, code: str = "manifest-invalid") -> None:
    if not holds:
        raise BundleError(f"{MANIFEST_NAME}: {message}; fetch or build the bundle anew", code=code)


def _require_distinct(what: str, names: list[str], code: str = "manifest-invalid") -> None:
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    _require(not twice, f"{what} {', '.join(twice)} is there more than once", code)


def _check_streams(streams: tuple[StreamSpec, ...]) -> None:
    names = [stream.name for stream in streams]
    expected = [name for name in STREAMS if name in names]
    _require(names == expected, f"streams {', '.join(names)}, expected, in order, of {', '.join(STREAMS)}")
    _require(any(name in VIEWS for name in names), "no stream is a view, expected at least one camera")
    _require("incar" in names or set(names) <= set(VIEWS), "crops or joints without incar, their view")
    for stream in streams:
        _check_stream(stream)


def _check_stream(stream: StreamSpec) -> None:
    where = f"stream {stream.name}"
    kind = "joints" if stream.name in JOINTS else "image"
    _require(stream.kind == kind, f"{where} is {stream.kind!r}, expected {kind!r}")
    if kind == "joints":
        points = POINTS[stream.name]
        _require(stream.size == points, f"{where} has {stream.size} points, expected {points}")
    else:
        fits = 1 <= stream.size <= MAX_SIZE_PX
        _require(fits, f"{where} has size_px {stream.size}, expected 1 to {MAX_SIZE_PX}")
    for what, dims in (("feature", stream.feature), ("slot", stream.slot)):
        whole = dims and min(dims) >= 1 and math.prod(dims) <= MAX_FEATURE
        _require(whole, f"{where} has {what} {list(dims)}, expected sizes with a product of 1 to {MAX_FEATURE}")


def _check_groups(manifest: Manifest) -> None:
    for group, members in manifest.groups.items():
        shapes = {(member.size, member.feature, member.slot) for member in members}
        _require(len(shapes) == 1, f"streams {', '.join(m.name for m in members)} of group {group} differ in shape")


def _check_context(context: ContextConfig) -> None:
    rules = {
        "slots": (1 <= context.slots <= MAX_SLOTS, f"1 to {MAX_SLOTS}"),
        "slot_s": (0 < context.slot_s <= 60, "above 0, up to 60"),
        "tolerance_s": (0 < context.tolerance_s <= context.slot_s, "above 0, up to slot_s"),
        "max_rate_hz": (0 < context.max_rate_hz <= 1000, "above 0, up to 1000"),
        "min_context": (0 <= context.min_context <= 1, "0 to 1"),
    }
    for key, (holds, expected) in rules.items():
        _require(holds, f"context: {key} is {getattr(context, key)}, expected {expected}")


def _check_policy(manifest: Manifest) -> None:
    try:
        check_policy(manifest.policy, manifest.views)
    except ConfigError as error:
        raise BundleError(
            f"{MANIFEST_NAME}: {error}; fetch or build the bundle anew", code="manifest-invalid"
        ) from error


def _check_task(task: TaskSpec, manifest: Manifest) -> None:
    where = f"task {task.name}"
    _require(task.kind == "classification", f"{where} is a {task.kind!r}, this codriver knows classification")
    _require(len(task.labels) >= 2, f"{where} has {len(task.labels)} labels, expected two or more")
    _require_distinct(f"{where}: label", list(task.labels))
    _require(task.needs_any, f"{where} needs no view, expected at least one in needs_any")
    strangers = [view for view in task.needs_any if view not in manifest.views]
    _require(not strangers, f"{where} needs {', '.join(strangers)}, which is not among the streams")
    _require(UNKNOWN not in task.labels, f"{where} has a label {UNKNOWN!r}, which means that there is none")
    span_s = manifest.context.span_s
    _require(0 <= task.hold_s <= span_s, f"{where}: hold_s is {task.hold_s}, expected 0 to {span_s:g}")
    _require(0.01 <= task.temperature <= 100, f"{where}: temperature is {task.temperature}, expected 0.01 to 100")
    _require(0 <= task.unknown_below <= 1, f"{where}: unknown_below is {task.unknown_below}, expected 0 to 1")
    known = TASK_SETS.get(manifest.task_set)
    if known is not None:
        _require(task.name in known.names, f"{where} is not one of {known.name}'s: {', '.join(known.names)}")
        _require(task.labels == known[task.name].labels, f"{where} has other labels than {known.name}'s")


def _check_files(manifest: Manifest) -> None:
    files = manifest.files
    _require(len(files) <= MAX_FILES, f"{len(files)} files, expected up to {MAX_FILES}")
    _require_distinct("file (upper and lower case aside)", [path.lower() for path in files], "path-case-clash")
    _require(MANIFEST_NAME not in files, f"{MANIFEST_NAME} is listed among the files, where it cannot be")
    for path, file in files.items():
        _check_file(path, file)
    _require(manifest.variants, "no variant, expected at least one")
    _require_distinct("variant", [variant.name for variant in manifest.variants])
    for variant in manifest.variants:
        what = f"variant {variant.name} is for {variant.engine!r}, known are {', '.join(RUNTIMES)}"
        _require(variant.engine in RUNTIMES, what, "other-engine")
    used = [path for variant in manifest.variants for path in variant.paths]
    for path in used + ([manifest.golden] if manifest.golden else []):
        _require(path in files, f"{path} is used but not listed among the files")


def _check_file(path: str, file: FileSpec) -> None:
    _require(SHA256.fullmatch(file.sha256), f"{path}: sha256 {file.sha256[:80]!r}, expected 64 of 0-9 a-f")
    fits = 0 <= file.bytes <= MAX_FILE_BYTES
    _require(fits, f"{path}: {file.bytes} bytes, expected 0 to {MAX_FILE_BYTES}", "file-too-big")
