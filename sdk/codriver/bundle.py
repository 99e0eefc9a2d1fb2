"""A bundle on the device: a folder whose every byte is checked before anything runs it."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from codriver.engines import GraphFiles, is_installed
from codriver.errors import BackendMissing, BundleError, ConfigError
from codriver.manifest import MANIFEST_NAME, FileSpec, Manifest, VariantSpec, weights_of

SIGNATURE_NAME = "signature.json"  # signs manifest.json, so it cannot be listed there


@dataclass(frozen=True)
class Bundle:
    """A checked folder. `read` checks again, so that the bytes hashed are the bytes handed on."""

    path: Path
    manifest: Manifest

    @staticmethod
    def open(path: str | os.PathLike[str]) -> Bundle:
        """Check every file of the bundle against its manifest; a BundleError names the first that differs."""
        folder = Path(path)
        bundle = Bundle(folder, Manifest.read(folder))
        found = set(walk(folder)) - {MANIFEST_NAME, SIGNATURE_NAME}
        for name in sorted(found - set(bundle.manifest.files)):
            raise BundleError(f"{folder / name}: not listed in {MANIFEST_NAME}; move it out of the bundle")
        for name in bundle.manifest.files:
            bundle.read(name)
        return bundle

    def read(self, name: str) -> bytes:
        """The bytes of a listed file, if they are the ones that its manifest lists."""
        expected = self.manifest.files.get(name)
        if expected is None:
            raise BundleError(f"{self.path / name}: not listed in {MANIFEST_NAME}; fetch the bundle anew")
        data = _read_regular(self.path / name, expected.bytes)
        if hashlib.sha256(data).hexdigest() != expected.sha256:
            raise BundleError(f"{self.path / name}: changed, its sha256 is another; fetch the bundle anew")
        return data

    def graph(self, name: str) -> GraphFiles:
        """A graph with its weights, checked as `read` checks."""
        weights = weights_of(name)
        return GraphFiles(self.read(name), self.read(weights) if weights else b"")

    def choose_variant(self, features: Collection[str], engine: str = "auto") -> VariantSpec:
        """The first variant that this machine can run right. features: see `cpu.cpu_features`.

        engine: one of RUNTIMES, to look at its variants alone. An error says of each variant why not: BackendMissing
        if installing a runtime would help, else BundleError.
        """
        wanted = [variant for variant in self.manifest.variants if engine in ("auto", variant.engine)]
        if not wanted:
            there = ", ".join(dict.fromkeys(variant.engine for variant in self.manifest.variants))
            raise ConfigError(f"engine {engine!r}: the bundle has variants for {there}; use one of these, auto or fake")
        for variant in wanted:
            if not why_not(variant, features):
                return variant
        why = "; ".join(f"{variant.name} {why_not(variant, features)}" for variant in wanted)
        if any(set(variant.requires) <= set(features) for variant in wanted):
            raise BackendMissing(f"{self.path}: {why}; install the runtime")
        has = ", ".join(sorted(features)) or "no feature that is known"
        raise BundleError(f"{self.path}: {why}; this machine has {has}; build the bundle for this target")

    def variant(self, name: str) -> VariantSpec:
        """A variant by its name; a BundleError lists them otherwise."""
        for variant in self.manifest.variants:
            if variant.name == name:
                return variant
        names = ", ".join(variant.name for variant in self.manifest.variants)
        raise BundleError(f"{self.path}: no variant {name!r}; it has {names}")


def why_not(variant: VariantSpec, features: Collection[str]) -> str:
    """What this machine lacks for a variant, to be put behind its name; empty if it runs here."""
    lacking = [feature for feature in variant.requires if feature not in features]
    parts = [f"requires {', '.join(lacking)}"] if lacking else []
    if not is_installed(variant.engine):
        parts.append(f"needs {variant.engine}, not installed here (pip install 'codriver[{variant.engine}]')")
    return " and ".join(parts)


def file_spec(data: bytes) -> FileSpec:
    return FileSpec(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))


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
                raise BundleError(f"{entry.path}: a link or a device, expected a file; fetch the bundle anew")


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise BundleError(f"{folder}: cannot be read ({error.strerror}); check its permissions") from error


def _read_regular(path: Path, size: int) -> bytes:
    """Bytes of a plain file of this size. It follows no link, waits for no pipe and reads no more."""
    flags = os.O_RDONLY
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"):  # not every system has all of them
        flags |= getattr(os, name, 0)
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise BundleError(f"{path}: not a plain file; fetch the bundle anew")
            if status.st_size != size:
                raise BundleError(f"{path}: {status.st_size} bytes, expected {size}; fetch the bundle anew")
            return file.read(size)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}); fetch the bundle anew") from error
