"""Folders that stages hand to one another: written whole or not at all, with what made them beside the data."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path
from typing import Any

from codriver.errors import CodriverError, ConfigError
from codriver.files.atomic import FULL, no_room, sync_folder, whole_file

CHECKOUT = Path(__file__).parents[2]
COPIED = Path(__file__).parents[1] / "COMMIT"


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
    """Commit of the checkout we run from, with `+changes` if files differ from it; `unknown` outside a checkout.

    A copy of the workshop on a board says it in a file COMMIT beside the package: samples/farm writes it."""
    if COPIED.is_file():
        return COPIED.read_text().strip()
    try:
        return _git("rev-parse", "--short=12", "HEAD") + ("+changes" if _git("status", "--porcelain") else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def check_docs_result(arguments: Sequence[str], checkout: Path = CHECKOUT) -> None:
    """A ConfigError if a command is about to write into the checkout's docs/ what no commit could give again.

    arguments: the command's own; `--out` says where it writes. What is in docs/ itself may differ: results are there.
    """
    named = [after for before, after in pairwise(arguments) if before == "--out"]
    named += [argument.removeprefix("--out=") for argument in arguments if argument.startswith("--out=")]
    docs = (checkout / "docs").resolve()
    out = next((path for path in named if Path(path).resolve().is_relative_to(docs)), None)
    if out is None:
        return
    try:
        changed = _git("status", "--porcelain", "--", ".", ":(exclude)docs", cwd=checkout).splitlines()
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigError(f"{out} lies in docs/, where results name their commit, and git cannot tell it") from error
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise ConfigError(
            f"{out} lies in docs/, where results name their commit, and files differ from it: {changed[0][3:]}{more}; "
            "commit first, or write elsewhere"
        )


def _git(*arguments: str, cwd: Path | None = None) -> str:
    here = cwd or Path(__file__).parent
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=True, cwd=here)
    return done.stdout.rstrip()


def write_json(path: Path, values: Any) -> None:
    write_text(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """The old file, or the whole new one."""
    with whole_file(path) as fresh:
        fresh.write_text(text, encoding="utf-8", newline="\n")


def add_line(path: Path, record: Any) -> None:
    """One more line of JSON. After a crash the file has all of it or nothing: half a line could not be read."""
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    write_text(path, before + json.dumps(record) + "\n")


@contextmanager
def whole_folder(out: Path, *, marker: str, replace: bool = True) -> Iterator[Path]:
    """Yield a folder to fill; it becomes `out` when the block ends well and vanishes when it fails or is interrupted.

    An existing `out` is replaced only if it holds `marker`, so that a mistyped path never costs anybody a folder.
    """
    with staged_folder(out, lambda there: _refuse_stranger(there, marker, replace)) as folder:
        yield folder
        assert (folder / marker).is_file(), f"{marker} was not written"


def _refuse_stranger(out: Path, marker: str, replace: bool) -> None:
    if not os.path.lexists(out) or (out.is_dir() and not out.is_symlink() and not any(out.iterdir())):
        return
    way_out = "give the path of a new or an empty folder"
    if out.is_symlink() or not (out / marker).is_file():
        raise ConfigError(f"{out} exists and is not a folder with {marker}; {way_out}")
    if not replace:
        raise ConfigError(f"{out} exists; {way_out}")


@contextmanager
def staged_folder(out: Path, refuse: Callable[[Path], None]) -> Iterator[Path]:
    """Yield a folder to fill; when the block ends well, it is on the disk and takes the name and the place of `out`.

    refuse: called with `out` before the work and again after it; raises if what is there must not be replaced.
    A place that cannot be written to, or a disk that is full, is one line for the user: a CodriverError.
    """
    refuse(out)
    folder = _temporary_folder(out)
    try:
        yield folder
        folder.chmod(0o755)  # mkdtemp's 0700 would hide it from other users
        _sync(folder)
        refuse(out)
        _move(folder, out)
    except OSError as error:
        if error.errno not in FULL:
            raise
        shutil.rmtree(folder, ignore_errors=True)  # before room is measured
        raise CodriverError(no_room(out, error), code="disk-full") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _temporary_folder(out: Path) -> Path:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        if error.errno in FULL:
            raise CodriverError(no_room(out, error), code="disk-full") from error
        raise ConfigError(f"{out} cannot be made ({error.strerror}); give a path that you may write to") from error


def _move(folder: Path, out: Path) -> None:
    """Rename into place. What is there steps aside first and goes when the new one is there."""
    aside = Path(tempfile.mkdtemp(prefix=f".{out.name}.old.", dir=out.parent))
    try:
        if out.exists():
            os.rename(out, aside / "old")
        os.rename(folder, out)
        sync_folder(out.parent)
    finally:
        if not out.exists() and (aside / "old").exists():
            os.rename(aside / "old", out)  # if this fails too, the old one stays aside
        shutil.rmtree(aside, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Push all of it to the disk: a rename that survives a power cut must not point at lost bytes."""
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            with open(os.path.join(parent, name), "rb") as file:
                os.fsync(file.fileno())
        sync_folder(Path(parent))
