"""Read manifest.json strictly: whatever is unknown, missing, mistyped or out of place is a BundleError."""

from __future__ import annotations

import os
from pathlib import Path

from codriver.bundle.manifest import MANIFEST_NAME, SCHEMAS, Manifest
from codriver.bundle.rules import check_manifest
from codriver.errors import BundleError
from codriver.files.decode import Fault, decode, from_json, take_schema
from codriver.files.safe_read import fetch_anew, read_at_most

MAX_MANIFEST_BYTES = 1 << 20


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
        raise fetch_anew(path, f"over {MAX_MANIFEST_BYTES} bytes, too long by far", "manifest-too-big")
    return data


def parse_manifest(data: bytes) -> Manifest:
    """Parse the bytes of manifest.json; a BundleError names the first thing that is wrong."""
    try:
        content = from_json(data)
        schema = take_schema(content)
        if schema not in SCHEMAS:
            way_out = "update codriver" if schema > max(SCHEMAS) else "rebuild the bundle"
            what = f"{MANIFEST_NAME}: schema {schema}, this codriver reads {SCHEMAS[0]} to {SCHEMAS[-1]}; {way_out}"
            raise BundleError(what, code="manifest-schema")
        manifest = decode(Manifest, content)
        check_manifest(manifest)
    except Fault as fault:
        what = f"{MANIFEST_NAME}: {fault}; fetch or build the bundle anew"
        raise BundleError(what, code=fault.code or "manifest-invalid") from fault
    if not _untouched(manifest, data):
        raise fetch_anew(MANIFEST_NAME, f"changed since {manifest.id} was made", "manifest-changed")
    return manifest


def _untouched(manifest: Manifest, data: bytes) -> bool:
    """Whether these are the bytes that codriver would write: no space more, no number spelled otherwise."""
    try:
        return manifest.to_json().encode() == data and manifest.with_id().id == manifest.id
    except (ValueError, RecursionError):  # 1e999, or nested too deep
        return False
