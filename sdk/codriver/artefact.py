"""Folders that stages hand to one another: written whole or not at all, with what made them beside the data."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from codriver.errors import ConfigError


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def provenance(packages: Sequence[str], seed: int | None) -> dict[str, Any]:
    """Where an artefact comes from: time, versions of the tools, git commit, seed."""
    return {
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "tools": {name: _version(name) for name in ("codriver", "numpy", *packages)},
        "git_commit": git_commit(),
        "seed": seed,
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def git_commit() -> str:
    """Commit of the checkout we run from, with `+changes` if files differ from it; `unknown` outside a checkout."""
    try:
        run = lambda *args: subprocess.run(  # noqa: E731
            ["git", *args], capture_output=True, text=True, timeout=10, check=True, cwd=Path(__file__).parent
        ).stdout.strip()
        return run("rev-parse", "--short=12", "HEAD") + ("+changes" if run("status", "--porcelain") else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def write_json(path: Path, values: Any) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@contextmanager
def whole_folder(out: Path, *, marker: str, replace: bool = True) -> Iterator[Path]:
    """Yield a folder to fill; it becomes `out` when the block ends well and vanishes when it fails or is interrupted.

    An existing `out` is replaced only if it holds `marker`, so that a mistyped path never costs anybody a folder.
    """
    if out.exists() and any(out.iterdir() if out.is_dir() else [out]):
        if not (replace and (out / marker).is_file()):
            raise ConfigError(f"{out} exists and holds no {marker}; give the path of a new or an empty folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        staging.chmod(0o755)
        yield staging
        sync_files(staging)
        if out.exists():
            shutil.rmtree(out)
        os.replace(staging, out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def sync_files(folder: Path) -> None:
    """fsync every file, so that a power cut after the rename finds them whole."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
