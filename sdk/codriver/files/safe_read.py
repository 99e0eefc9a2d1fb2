"""Read a file that somebody else may have put there: no link followed, no pipe waited for, no more than expected."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from codriver.errors import BundleError


def fetch_anew(path: object, what: str, code: str) -> BundleError:
    """Why a bundle's file cannot be used, where only another copy helps."""
    return BundleError(f"{path}: {what}; fetch the bundle anew", code=code)


def read_exactly(path: Path, size: int, *, alone: bool = False) -> bytes:
    """Bytes of a plain file of this size. alone: refuse a file that has a second name elsewhere (a hard link)."""
    with _opened(path) as (file, status):
        if alone and status.st_nlink > 1:
            what = f"{path}: a hard link, so that it can be changed under another name; copy the bundle anew"
            raise BundleError(what, code="file-hard-linked")
        if status.st_size != size:
            raise fetch_anew(path, f"{status.st_size} bytes, expected {size}", "file-size")
        return file.read(size)


def read_at_most(path: Path, limit: int) -> bytes | None:
    """Bytes of a plain file; None if there are more than `limit`."""
    with _opened(path) as (file, _):
        data = file.read(limit + 1)
        return data if len(data) <= limit else None


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, os.stat_result]]:
    flags = os.O_RDONLY
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"):  # not every system has all of them
        flags |= getattr(os, name, 0)
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise fetch_anew(path, "not a plain file", "file-not-plain")
            yield file, status
    except FileNotFoundError as error:
        raise fetch_anew(path, "cannot be read, there is no such file", "file-missing") from error
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        why = getattr(error, "strerror", None) or error
        raise fetch_anew(path, f"cannot be read ({why})", "file-unreadable") from error


def read_own(path: Path, max_bytes: int) -> bytes:
    """Bytes of a plain file that is ours alone, else b"". It follows no link and waits for no pipe."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        ours = status.st_uid == os.geteuid() and status.st_mode & 0o077 == 0
        return file.read(max_bytes) if ours and stat.S_ISREG(status.st_mode) and status.st_size <= max_bytes else b""
