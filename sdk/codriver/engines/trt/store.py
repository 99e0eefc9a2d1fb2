"""What was compiled on this device, kept for the next start: TensorRT plans and their timing caches.

A plan is executable code (reference/int8.md 2.4), so it is handed on only if it was built here and not changed since:
every entry carries an HMAC under a key that was drawn here and is kept outside the cache. Anything else is rebuilt.

The store is a cache: it may be deleted at any time, and where it cannot be read or written, work goes on without it.
Several processes may share it. It needs POSIX file locks; without them nothing is kept.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from codriver.console import Progress
from codriver.files.atomic import write_private
from codriver.files.safe_read import read_own

MAGIC = b"codriver engine store 1\n"
KEY_BYTES = MAC_BYTES = 32
MAX_BYTES = 2 << 30  # of all entries together: some forty engines of this project's size
POLL_S = 0.05  # how often one that waits for another process's build looks again
CACHE_VARIABLE, STATE_VARIABLE = "CODRIVER_CACHE", "CODRIVER_STATE"
Facts = Mapping[str, str]


class EngineStore:
    """Bytes by facts: whatever changes the bytes must be among the facts.

    folder: of the entries; None: $CODRIVER_CACHE, else codriver/engines in the user's cache (XDG).
    key_file: None: engines.key in $CODRIVER_STATE, else in codriver in the user's state (XDG). Copy it nowhere.
    """

    def __init__(self, folder: Path | None = None, *, key_file: Path | None = None, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._folder, self._key = Path(), b""
        self._warned = False
        with self._survives("read"):
            self._prepare(folder, key_file)

    def get(self, facts: Facts) -> bytes | None:
        """What was put under these facts; None if there is nothing, or if it is not what was put there."""
        if not self._key:
            return None
        path, header = self._path(facts), _header(facts)
        with self._survives("read"), suppress(FileNotFoundError):
            data = memoryview(read_own(path, self._max_bytes))
            body = len(header) + MAC_BYTES
            mac, payload = bytes(data[len(header) : body]), data[body:]
            if bytes(data[: len(header)]) == header and hmac.compare_digest(mac, self._mac(header, payload)):
                with suppress(OSError):
                    os.utime(path)  # the oldest goes first when room is short
                return bytes(payload)
        return None

    def put(self, facts: Facts, payload: bytes) -> None:
        """Keep these bytes, whole or not at all. Where that fails, a warning says so, once."""
        if not self._key:
            return
        header = _header(facts)
        with self._survives("written"):
            self._make_room(len(header) + MAC_BYTES + len(payload))
            with self._lock("writers", exclusive=False):
                write_private(self._path(facts), header, self._mac(header, payload), payload)

    def get_or_build(self, facts: Facts, build: Callable[[], bytes]) -> bytes:
        """What the store has, else what `build` gives; of several processes one builds and the others wait for it."""
        found = self.get(facts)
        if found is not None:
            return found
        with ExitStack() as stack:
            if self._key:
                with self._survives("locked"):
                    # 256 locks for all keys: few enough to leave lying about, enough for two builds at once
                    stack.enter_context(self._lock(_name(facts)[:2], exclusive=True))
            found = self.get(facts)
            if found is None:
                found = build()
                self.put(facts, found)
            return found

    def _prepare(self, folder: Path | None, key_file: Path | None) -> None:
        self._folder = folder or store_folder()
        key_file = key_file or _default(STATE_VARIABLE, "XDG_STATE_HOME", ".local/state", "engines.key")
        if os.name != "posix":
            raise OSError("only POSIX systems have the file locks it takes")
        _own_folder(self._folder)
        _own_folder(key_file.parent)
        with _flock(key_file.with_suffix(".lock"), exclusive=True):
            _remove_temporaries(key_file.parent)
            self._key = _own_key(key_file)
        self._remove_orphans()

    def _remove_orphans(self) -> None:
        """Temporary files that a killed process left. A living writer shares a lock: then the next start does it."""
        with suppress(BlockingIOError), self._lock("writers", exclusive=True, wait=False):
            _remove_temporaries(self._folder)

    def _make_room(self, size: int) -> None:
        if size > self._max_bytes:
            raise OSError(f"an entry of {size} bytes is larger than the whole store may be, {self._max_bytes}")
        entries = sorted(self._entries(), key=lambda entry: entry[1].st_mtime_ns)
        total = size + sum(status.st_size for _, status in entries)
        for path, status in entries:
            if total <= self._max_bytes:
                return
            path.unlink(missing_ok=True)
            total -= status.st_size

    def _entries(self) -> Iterator[tuple[Path, os.stat_result]]:
        for path in self._folder.glob("*.entry"):
            with suppress(FileNotFoundError):  # another process may make room too
                yield path, path.lstat()

    def _path(self, facts: Facts) -> Path:
        return self._folder / f"{_name(facts)}.entry"

    def _mac(self, header: bytes, payload: bytes | memoryview) -> bytes:
        mac = hmac.new(self._key, header, hashlib.sha256)
        mac.update(payload)
        return mac.digest()

    @contextmanager
    def _lock(self, name: str, *, exclusive: bool, wait: bool = True) -> Iterator[None]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # somebody may have deleted it
        with _flock(self._folder / f".{name}.lock", exclusive=exclusive, wait=wait):
            yield

    @contextmanager
    def _survives(self, verb: str) -> Iterator[None]:
        """A file system that fails costs the cache, not the service. One warning per store, not one per engine."""
        try:
            yield
        except OSError as error:
            if not self._warned:
                self._warned = True
                warnings.warn(
                    f"compiled engines cannot be {verb} in {self._folder} ({error.strerror or error}), so each start "
                    f"compiles them anew; make room there, or name another folder in {CACHE_VARIABLE}",
                    RuntimeWarning,
                    stacklevel=4,
                )


def _header(facts: Facts) -> bytes:
    """The facts themselves: an entry that was moved to another's name does not pass for it."""
    return MAGIC + json.dumps(dict(facts), sort_keys=True).encode() + b"\n"


def _name(facts: Facts) -> str:
    return hashlib.sha256(_header(facts)).hexdigest()


def store_folder() -> Path:
    """Where entries lie unless a program names another folder. An OSError if the user has no home."""
    return _default(CACHE_VARIABLE, "XDG_CACHE_HOME", ".cache", "engines")


def _default(ours: str, xdg: str, below_home: str, name: str) -> Path:
    """XDG base directories. A service without a home names both folders itself."""
    if os.environ.get(ours):
        return Path(os.environ[ours]) / name
    base = os.environ.get(xdg, "")
    if not os.path.isabs(base):  # the specification: a relative path is to be ignored
        try:
            base = str(Path.home() / below_home)
        except RuntimeError as error:
            raise OSError(f"there is no home folder; set {CACHE_VARIABLE} and {STATE_VARIABLE}") from error
    return Path(base) / "codriver" / name


def _remove_temporaries(folder: Path) -> None:
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def _own_folder(folder: Path) -> None:
    """Make it, or make sure that it is ours alone."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if status.st_uid != os.geteuid():
        raise OSError(f"{folder} belongs to user {status.st_uid}, not to {os.geteuid()}")
    if status.st_mode & 0o077:
        folder.chmod(0o700)


def _own_key(path: Path) -> bytes:
    """A new one if there is none, or if others could have read it: what was kept under such a key proves nothing."""
    with suppress(FileNotFoundError):
        key = read_own(path, KEY_BYTES)
        if len(key) == KEY_BYTES:
            return key
    key = secrets.token_bytes(KEY_BYTES)
    write_private(path, key)
    return key


@contextmanager
def _flock(path: Path, *, exclusive: bool, wait: bool = True) -> Iterator[None]:
    """A lock that the kernel lets go when its holder dies. wait=False: BlockingIOError if it is held."""
    import fcntl

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        kind = (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB
        with Progress("another process compiles this engine", None) as progress:
            while True:
                try:
                    fcntl.flock(descriptor, kind)
                    break
                except BlockingIOError:
                    if not wait:
                        raise
                    progress.step()
                    time.sleep(POLL_S)
        yield
    finally:
        os.close(descriptor)
