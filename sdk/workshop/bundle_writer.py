"""Make a bundle so that it is either there as a whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from codriver.bundle.folder import Bundle, walk
from codriver.bundle.manifest import MANIFEST_NAME, FileSpec, Manifest
from codriver.bundle.manifest_json import parse_manifest, read_manifest
from codriver.bundle.signature import SIGNATURE_NAME
from codriver.config import HealthConfig, Policy
from codriver.errors import BundleError
from codriver.files.atomic import sha256
from workshop.artifacts import staged_folder


@contextmanager
def new_bundle(out: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary folder to fill and `seal`; when the block ends well, it is checked and moved to `out`.

    An older bundle at `out` is replaced; anything else there is refused before any work is done.
    """
    with staged_folder(Path(out), _refuse_stranger) as folder:
        yield folder
        Bundle.open(folder)


def seal(folder: Path, draft: Manifest) -> Manifest:
    """List and hash every file in the folder, write manifest.json there, and return the finished manifest."""
    names = sorted(set(walk(folder)) - {MANIFEST_NAME, SIGNATURE_NAME})
    held = {name: (folder / name).read_bytes() for name in names}
    files = {name: FileSpec(sha256=sha256(data), bytes=len(data)) for name, data in held.items()}
    data = replace(draft, files=files).with_id().to_json().encode()
    manifest = parse_manifest(data)
    (folder / MANIFEST_NAME).write_bytes(data)
    return manifest


def _refuse_stranger(out: Path) -> None:
    """Raise unless `out` is free, an empty folder, or a bundle that holds only what its manifest lists."""
    if not out.exists() and not out.is_symlink():
        return
    way_out = "give another path or remove it yourself"
    if out.is_symlink() or not out.is_dir():
        raise BundleError(f"{out}: is there and is not the folder of a bundle; {way_out}")
    found = set(walk(out)) - {MANIFEST_NAME, SIGNATURE_NAME}
    if not found and not any(out.iterdir()):
        return
    try:
        listed = set(read_manifest(out).files)
    except BundleError as error:
        raise BundleError(f"{out}: is there and is not a bundle ({error}); {way_out}") from error
    if found - listed:
        raise BundleError(f"{out}: {min(found - listed)} is no part of the bundle there; move it away first")


def default_policy(views: Iterable[str]) -> Policy:
    """The defaults, spelt out for every view, so that a manifest shows what can be set."""
    return Policy(health={view: HealthConfig() for view in views})
