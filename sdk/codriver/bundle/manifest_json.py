"""Read manifest.json strictly: whatever is unknown, missing, mistyped or out of place is a BundleError."""

from __future__ import annotations

import dataclasses
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any, TypeVar

from codriver.bundle.decode import Fields
from codriver.bundle.manifest import (
    CONTEXT_KEYS,
    MANIFEST_NAME,
    SCHEMA,
    FileSpec,
    Manifest,
    StreamSpec,
    TaskSpec,
    VariantSpec,
)
from codriver.bundle.rules import check_manifest
from codriver.config import ContextConfig, HealthConfig, Policy, SmoothingConfig, TimingConfig
from codriver.errors import BundleError
from codriver.files.safe_read import read_at_most

MAX_MANIFEST_BYTES = 1 << 20
Config = TypeVar("Config", TimingConfig, HealthConfig, SmoothingConfig)


def read_manifest(folder: str | os.PathLike[str]) -> Manifest:
    """Read and check `folder`/manifest.json; a BundleError says what is wrong with it."""
    return parse_manifest(read_manifest_bytes(Path(folder)))


def read_manifest_bytes(folder: Path) -> bytes:
    path = folder / MANIFEST_NAME
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        what = f"{folder}: found {found}, expected the folder of a bundle; check the path"
        raise BundleError(what, code="manifest-missing")
    if path.is_symlink() or not os.path.lexists(path):
        what = f"{path}: no such file, so this is not a bundle; give the folder that holds it"
        raise BundleError(what, code="manifest-missing")
    data = read_at_most(path, MAX_MANIFEST_BYTES)
    if data is None:
        what = f"{path}: over {MAX_MANIFEST_BYTES} bytes, too long by far; fetch the bundle anew"
        raise BundleError(what, code="manifest-too-big")
    return data


def parse_manifest(data: bytes) -> Manifest:
    """Parse the bytes of manifest.json; a BundleError names the first thing that is wrong."""
    try:
        text = data.decode("utf-8")
        content = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_refuse_twice)
    except (ValueError, RecursionError) as error:
        what = f"{MANIFEST_NAME}: not JSON ({error}); fetch the bundle anew"
        raise BundleError(what, code="manifest-not-json") from error
    fields = Fields(MANIFEST_NAME, content)
    schema = fields.integer("schema")
    if schema != SCHEMA:
        way_out = "update codriver" if schema > SCHEMA else "rebuild the bundle"
        what = f"{MANIFEST_NAME}: schema {schema}, this codriver reads schema {SCHEMA}; {way_out}"
        raise BundleError(what, code="manifest-schema")
    manifest = _manifest(fields)
    check_manifest(manifest)
    if not _untouched(manifest, data):
        what = f"{MANIFEST_NAME}: changed since {manifest.id} was made; fetch the bundle anew"
        raise BundleError(what, code="manifest-changed")
    return manifest


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _refuse_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        twice = next(name for name, count in Counter(key for key, _ in pairs).items() if count > 1)
        what = f"{MANIFEST_NAME}: key {twice!r} is there more than once; fetch the bundle anew"
        raise BundleError(what, code="manifest-key-twice")
    return content


def _untouched(manifest: Manifest, data: bytes) -> bool:
    """Whether these are the bytes that codriver would write: no space more, no number spelled otherwise."""
    try:
        return manifest.to_json().encode() == data and manifest.with_id().id == manifest.id
    except (ValueError, RecursionError):  # 1e999, or nested too deep
        return False


def _manifest(fields: Fields) -> Manifest:
    context = fields.object("context")
    manifest = Manifest(
        id=fields.text("id"),
        name=fields.text("name"),
        version=fields.integer("version"),
        target=fields.text("target"),
        created=fields.text("created"),
        tools=fields.texts_by_name("tools"),
        git_commit=fields.text("git_commit"),
        seed=fields.integer("seed"),
        task_set=fields.text("task_set"),
        tasks=tuple(_task(item) for item in fields.objects("tasks")),
        color=fields.text("color"),
        streams=tuple(_stream(item) for item in fields.objects("streams")),
        context=_context(context),
        policy=_policy(fields.object("policy")),
        variants=tuple(_variant(item) for item in fields.objects("variants")),
        golden=fields.path_or_none("golden"),
        metrics=fields.free("metrics"),
        training=fields.free("training"),
        files={path: _file(item) for path, item in fields.objects_by_path("files").items()},
    )
    fields.end()
    return manifest


def _task(fields: Fields) -> TaskSpec:
    task = TaskSpec(
        name=fields.text("name"),
        kind=fields.text("kind"),
        labels=fields.texts("labels"),
        needs_any=fields.texts("needs_any"),
        hold_s=fields.number("hold_s"),
        temperature=fields.number("temperature"),
        unknown_below=fields.number("unknown_below"),
    )
    fields.end()
    return task


def _stream(fields: Fields) -> StreamSpec:
    kind = fields.text("kind")
    stream = StreamSpec(
        name=fields.text("name"),
        kind=kind,
        size=fields.integer("size_px" if kind == "image" else "points"),
        feature=fields.integers("feature"),
        slot=fields.integers("slot"),
    )
    fields.end()
    return stream


def _context(fields: Fields) -> ContextConfig:
    numbers = {key: fields.number(key) for key in CONTEXT_KEYS if key != "slots"}
    context = ContextConfig(slots=fields.integer("slots"), **numbers)
    fields.end()
    return context


def _policy(fields: Fields) -> Policy:
    health = fields.object("health")
    policy = Policy(
        timing=_numbers(fields.object("timing"), TimingConfig),
        health={view: _numbers(health.object(view), HealthConfig) for view in health.names()},
        masked=fields.texts("masked"),
        smoothing=_numbers(fields.object("smoothing"), SmoothingConfig),
    )
    fields.end()
    return policy


def _numbers(fields: Fields, config: type[Config]) -> Config:
    """A config whose every field is a number."""
    of = {"int": fields.integer, "float": fields.number}
    values: dict[str, Any] = {f.name: of[str(f.type)](f.name) for f in dataclasses.fields(config)}
    fields.end()
    return config(**values)


def _variant(fields: Fields) -> VariantSpec:
    variant = VariantSpec(
        name=fields.text("name"),
        engine=fields.text("engine"),
        requires=fields.texts("requires"),
        encoder=fields.path("encoder"),
        fuser=fields.path("fuser"),
        versions=fields.texts("versions") if "versions" in fields.names() else (),
    )
    fields.end()
    return variant


def _file(fields: Fields) -> FileSpec:
    file = FileSpec(sha256=fields.text("sha256"), bytes=fields.integer("bytes"))
    fields.end()
    return file
