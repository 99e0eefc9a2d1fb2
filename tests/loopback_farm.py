"""A farm of boards on this machine's loopback: an sshd for each, and labgrid's coordinator and exporter before them.

A session on such a board begins with nothing of ours in its environment: codriver is there only if it was copied and
installed. `shared` are folders of packages that it finds all the same, so that a test need not install NumPy again.
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
needs_sshd = pytest.mark.skipif(SSHD is None, reason="openssh-server is not installed: .ci/run gets it")
CONFIG = """
ListenAddress {address}
HostKey {folder}/host
AuthorizedKeysFile {folder}/key.pub
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
SetEnv HOME={home} PATH={python}:/usr/bin:/bin PIP_CACHE_DIR={cache}{shared}
"""


@contextmanager
def farm(folder: Path, boards: Sequence[str], shared: Sequence[str] = ()) -> Iterator[dict[str, str]]:
    """The environment in which `labgrid-client` finds the boards as places. All ends with the block."""
    for name in ("host", "key"):
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name)
    addresses = {board: f"127.0.0.{11 + number}:{_free_port()}" for number, board in enumerate(boards)}
    coordinator = f"127.0.0.1:{_free_port()}"
    environment = os.environ | {
        "LG_COORDINATOR": coordinator,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(folder),
    }
    with ExitStack() as stack:

        def start(*words: object) -> None:
            stack.enter_context(_started(words, folder, environment))

        for board, address in addresses.items():
            start(*_sshd(folder, board, address, shared))
        environment["SSH_AUTH_SOCK"] = f"{folder}/agent"
        start("ssh-agent", "-D", "-a", f"{folder}/agent")
        start("labgrid-coordinator", "-l", coordinator)
        for address in (*addresses.values(), coordinator):
            _until(lambda where=address: _answers(where), f"{address} to answer")
        _until(Path(f"{folder}/agent").exists, "ssh-agent")
        _run("ssh-add", "-q", folder / "key", env=environment)
        (folder / "exporter.yaml").write_text("".join(_resource(board, where) for board, where in addresses.items()))
        start("labgrid-exporter", "-n", "bench", "-c", coordinator, folder / "exporter.yaml")
        client = "labgrid-client"
        _until(
            lambda: _run(client, "resources", env=environment).count("NetworkService") == len(boards), "the exporter"
        )
        for board in boards:
            _run(client, "-p", board, "create", env=environment)
            _run(client, "-p", board, "add-match", f"bench/{board}/NetworkService", env=environment)
        yield environment


def _sshd(folder: Path, board: str, address: str, shared: Sequence[str]) -> list[object]:
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # Debian's sshd wants it of root
    python = Path(sys.base_prefix) / "bin"
    paths = f" PYTHONPATH={':'.join(shared)}" if shared else ""
    config = folder / f"{board}.conf"
    home, cache = folder / board, Path.home() / ".cache" / "pip"
    home.mkdir()
    config.write_text(
        CONFIG.format(address=address, folder=folder, python=python, home=home, cache=cache, shared=paths)
    )
    return [SSHD, "-D", "-e", "-f", config]


def _resource(board: str, address: str) -> str:
    host, port = address.split(":")
    return f"{board}:\n  NetworkService: {{address: {host}, port: {port}, username: {getpass.getuser()}}}\n"


@contextmanager
def _started(words: Sequence[object], folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """The coordinator keeps its state in the folder that it is started in."""
    with (folder / f"{re.sub('.*/', '', str(words[0]))}.log").open("a") as log:
        process = subprocess.Popen([*map(str, words)], cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=30)


def _run(*words: object, **named: Any) -> str:
    return subprocess.run([*map(str, words)], check=True, stdout=subprocess.PIPE, text=True, timeout=60, **named).stdout


def _free_port() -> int:
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        return int(some.getsockname()[1])


def _answers(address: str) -> bool:
    host, port = address.split(":")
    with socket.socket() as some:
        return some.connect_ex((host, int(port))) == 0


def _until(done: Callable[[], bool], what: str, at_most_s: float = 60.0) -> None:
    end_s = time.monotonic() + at_most_s
    while not done():
        assert time.monotonic() < end_s, f"waited {at_most_s:g} s for {what}"
        time.sleep(0.1)
