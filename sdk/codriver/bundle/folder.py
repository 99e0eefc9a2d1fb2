"""A bundle on the device: a folder whose every byte is checked before anything runs it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from codriver.bundle.manifest import MANIFEST_NAME, Manifest, weights_of
from codriver.bundle.manifest_json import parse_manifest, read_manifest_bytes
from codriver.bundle.signature import SIGNATURE_NAME, Trust, verify_manifest
from codriver.engines.base import GraphFiles
from codriver.errors import BundleError
from codriver.files.safe_read import fetch_anew, read_exactly


@dataclass(frozen=True)
class Bundle:
    """A checked folder. `read` checks again, so that the bytes hashed are the bytes handed on."""

    path: Path
    manifest: Manifest
    signed_by: str | None = None  # fingerprint of the trusted key that signed it; None: nobody was asked for
    min_version: int | None = None  # that was asked for

    @staticmethod
    def open(
        path: str | os.PathLike[str], *, trusted_key: Trust | None = None, min_version: int | None = None
    ) -> Bundle:
        """Check every file of the bundle against its manifest; a BundleError names the first that differs.

        trusted_key: the key that must have signed it; see `Perceiver.open`. Until that is certain, nothing is parsed.
        min_version: an older bundle is refused.
        """
        folder = Path(path)
        data = read_manifest_bytes(folder)
        signed_by = None if trusted_key is None else verify_manifest(folder, data, trusted_key)
        bundle = Bundle(folder, parse_manifest(data), signed_by, min_version)
        bundle._check_version()
        found = set(walk(folder)) - {MANIFEST_NAME, SIGNATURE_NAME}
        for name in sorted(found - set(bundle.manifest.files)):
            what = f"{folder / name}: not listed in {MANIFEST_NAME}; move it out of the bundle"
            raise BundleError(what, code="file-hidden" if "/." in f"/{name}" else "file-not-listed")
        for name in bundle.manifest.files:
            bundle._read(name)
        return bundle

    def read(self, name: str) -> bytes:
        """The bytes of a listed file, if they are the ones that its manifest lists."""
        if name not in self.manifest.files:
            raise fetch_anew(self.path / name, f"not listed in {MANIFEST_NAME}", "file-not-listed")
        try:
            return self._read(name)
        except BundleError as error:
            raise BundleError(f"{error} (it was right when it was checked)", code="changed-since-check") from error

    def _read(self, name: str) -> bytes:
        expected = self.manifest.files[name]
        data = read_exactly(self.path / name, expected.bytes, alone=self.signed_by is not None)
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 != expected.sha256:
            others = [other for other, spec in self.manifest.files.items() if spec.sha256 == sha256]
            if others:
                raise fetch_anew(self.path / name, f"holds what belongs into {others[0]}", "file-swapped")
            raise fetch_anew(self.path / name, "changed, its sha256 is another", "file-changed")
        return data

    def _check_version(self) -> None:
        if self.min_version is not None and self.manifest.version < self.min_version:
            found = f"version {self.manifest.version}, expected {self.min_version} or newer"
            raise BundleError(f"{self.path}: {found}; install a newer bundle", code="version-too-old")

    def graph(self, name: str) -> GraphFiles:
        """A graph with its weights, checked as `read` checks."""
        weights = weights_of(name)
        return GraphFiles(self.read(name), self.read(weights) if weights else b"")


def walk(folder: Path) -> Iterator[str]:
    """Relative paths, with "/", of every file below the folder; anything but folders and files is refused."""
    pending = [folder]
    while pending:
        for entry in _entries(pending.pop()):
            if entry.is_dir(follow_symlinks=False):
                pending.append(Path(entry.path))
            elif entry.is_file(follow_symlinks=False):
                yield Path(entry.path).relative_to(folder).as_posix()
            else:
                raise fetch_anew(entry.path, "a link or a device, expected a file", "file-is-link")


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        what = f"{folder}: cannot be read ({error.strerror}); check its permissions"
        raise BundleError(what, code="file-unreadable") from error
