"""Files that are there as a whole or not at all: written under another name, moved when complete."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from codriver.errors import CodriverError, ConfigError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})  # of the disk, of a user's share, of a file's size


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a name to write to; move that file to `path` if the block ends well, remove it otherwise.

    The suffix stays, because OpenCV picks the format by it.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except BrokenPipeError:  # of stdout, which has nothing to do with this file
        raise
    except OSError as error:
        raise _not_written(path, error) from error
    finally:
        with suppress(OSError):  # what went wrong first is what is told
            temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Likewise a folder that is not there yet, of the same name elsewhere; the block makes it."""
    elsewhere = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield elsewhere / path.name
        os.replace(elsewhere / path.name, path)
    except OSError as error:
        raise _not_written(path, error) from error
    finally:
        shutil.rmtree(elsewhere, ignore_errors=True)


@contextmanager
def whole_text(path: Path) -> Iterator[Callable[[str], None]]:
    """Give a function that writes text; the file is there, whole, if the block ends well."""
    with whole_file(path) as temporary:
        file = temporary.open("w", encoding="utf-8")

        def write(text: str) -> None:
            try:
                file.write(text)
            except OSError as error:
                raise _not_written(path, error) from error

        try:
            yield write
        except BaseException:
            with suppress(OSError):
                file.close()
            raise
        file.close()


def _not_written(path: Path, error: OSError) -> CodriverError:
    if error.errno in FULL:
        return CodriverError(no_room(path, error), code="disk-full")
    return ConfigError(f"{path} cannot be written: {error.strerror or error}; give a file in a folder of yours")


def check_output(path: Path, suffixes: tuple[str, ...]) -> None:
    """Find out before the work whether the file can be written after it."""
    if suffixes and path.suffix.lower() not in suffixes:
        raise ConfigError(f"{path}: got the suffix {path.suffix!r}, expected {' or '.join(suffixes)}")
    if not path.resolve().parent.is_dir():
        raise ConfigError(f"{path}: there is no folder {path.resolve().parent}; make it first")
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; give a file's name")
    if path.exists() and not path.is_file():  # another file would take its place
        raise ConfigError(f"{path} is a device or a pipe; give a file's name")
    if not os.access(path.resolve().parent, os.W_OK):
        raise ConfigError(f"{path} cannot be written: its folder is read-only; give a file in a folder of yours")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def no_room(out: Path, error: OSError) -> str:
    """What to say of a disk that is full."""
    free = ""
    with suppress(OSError):
        free = f", {shutil.disk_usage(out.parent).free / 1e6:.0f} MB are free there without it"
    return f"{out}: no room to write it ({error.strerror}{free}); free some, or give a path on another disk"


def sync_folder(folder: Path) -> None:
    """Push the names in a folder to the disk: until then a rename may be lost in a power cut."""
    if os.name != "posix":  # elsewhere a folder cannot be opened
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_private(path: Path, *parts: bytes) -> None:
    """All of it or nothing, also through a power cut: temporary file, fsync, rename, fsync of the folder."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            for part in parts:
                _write_all(descriptor, part)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    sync_folder(path.parent)


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
