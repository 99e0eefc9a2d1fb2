"""What a disk may hold after a power cut: every prefix of the calls made, with what was not yet pushed down lost.

The model: fsync of a file makes its bytes durable, fsync of a folder its names. Until then each may be lost on its
own: a rename may have reached the disk before the bytes it points to (reference/integration.md, CACHE-2).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

Step = tuple[str, Any]


@dataclass
class Recording:
    before: dict[str, bytes]  # the entries that were on the disk
    steps: list[Step] = field(default_factory=list)


@contextmanager
def recorded(folder: Path) -> Iterator[Recording]:
    """Yields a list that fills with the calls that change files directly below the folder."""
    recording = Recording({path.name: path.read_bytes() for path in folder.glob("*.entry")})
    steps = recording.steps
    opened: dict[int, str] = {}  # names by descriptor; "" is the folder
    real = {name: getattr(os, name) for name in ("open", "write", "fsync", "replace", "unlink")}

    def name_of(path: Any) -> str | None:
        if Path(path) == folder:
            return ""
        return Path(path).name if Path(path).parent == folder else None

    def record_open(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        descriptor = int(real["open"](path, flags, *rest, **named))
        opened[descriptor] = name_of(path) or ""
        if flags & os.O_EXCL:
            steps.append(("create", name_of(path)))
        return descriptor

    def record_write(descriptor: int, data: Any) -> int:
        steps.append(("write", (opened[descriptor], bytes(data))))
        return int(real["write"](descriptor, data))

    def record_fsync(descriptor: int) -> None:
        before = len(steps)
        real["fsync"](descriptor)
        steps.insert(before, ("fsync", opened[descriptor]))

    def record_replace(source: Any, target: Any) -> None:
        steps.append(("replace", (name_of(source), name_of(target))))
        real["replace"](source, target)

    with pytest.MonkeyPatch.context() as patch:
        for name, call in (("open", record_open), ("write", record_write), ("replace", record_replace)):
            patch.setattr(os, name, call)
        if real["fsync"].__module__ == "posix":  # a test that takes fsync away leaves nothing to record
            patch.setattr(os, "fsync", record_fsync)
        yield recording


@dataclass(frozen=True)
class Disk:
    """Files by name."""

    files: dict[str, bytes]
    all_done: bool  # the cut came after the last call

    def write_to(self, folder: Path) -> None:
        shutil.rmtree(folder)
        folder.mkdir(mode=0o700)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
            (folder / name).chmod(0o600)


@dataclass
class _Inode:
    durable: bytes = b""
    content: bytes = b""


@dataclass
class _State:
    durable_names: dict[str, _Inode]
    names: dict[str, _Inode]

    def apply(self, step: Step) -> None:
        what, about = step
        if what == "create":
            self.names[about] = _Inode()
        elif what == "write":
            self.names[about[0]].content += about[1]
        elif what == "replace":
            self.names[about[1]] = self.names.pop(about[0])
        elif about == "":
            self.durable_names = dict(self.names)
        else:
            self.names[about].durable = self.names[about].content


def disks_after_a_power_cut(recording: Recording) -> Iterator[Disk]:
    """After any number of the calls; names pushed down or not; of the bytes not pushed down none, half or all there."""
    steps = recording.steps
    for count in range(len(steps) + 1):
        names = {name: _Inode(content, content) for name, content in recording.before.items()}
        state = _State(dict(names), dict(names))
        for step in steps[:count]:
            state.apply(step)
        for kept in (state.durable_names, state.names):
            for share in (0.0, 0.5, 1.0):
                files = {name: _survivor(inode, share) for name, inode in kept.items()}
                yield Disk(files, count == len(steps))


def _survivor(inode: _Inode, share: float) -> bytes:
    """share: of the bytes that were written and not pushed down"""
    rest = inode.content[len(inode.durable) :]
    return inode.durable + rest[: int(share * len(rest))]
