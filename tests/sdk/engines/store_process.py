"""What test_store.py runs in processes of their own: writers to be killed, and several that open at once.

python store_process.py kill FOLDER COUNT SEED     COUNT times: start a writer, kill it, look at what it left
python store_process.py open FOLDER COUNT          COUNT processes at once, each opens a store and gets entries 25 times
python store_process.py hold FOLDER                begin to build and never end
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from codriver.engines.trt.store import EngineStore

FACTS = {"graph": "g", "device": "d"}
SIZE = 300_000


def store_in(folder: Path) -> EngineStore:
    return EngineStore(folder / "cache", key_file=folder / "state" / "engines.key")


def version(number: int) -> bytes:
    return bytes([number % 256]) * SIZE


def write_for_ever(folder: Path, number: int, begun: int) -> None:
    store = store_in(folder)
    os.write(begun, b".")
    while True:
        store.put(FACTS, version(number))


def kill(folder: Path, count: int, seed: int) -> None:
    """Prints how many writers had made a file, how many files there were before a start and after it, what was read."""
    dice, found, orphans, left, torn = random.Random(seed), 0, 0, 0, 0
    here, there = os.pipe()
    for number in range(count):
        writer = os.fork()
        if writer == 0:
            write_for_ever(folder, number, there)
        os.read(here, 1)  # on a busy machine it would be killed before it wrote
        time.sleep(dice.uniform(0, 0.012))
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
        orphans += len(list(folder.glob("cache/.*.tmp")))
        content = store_in(folder).get(FACTS)
        left += len(list(folder.glob("cache/.*.tmp")))
        found += content is not None
        torn += content is not None and (len(content) != SIZE or content != content[:1] * SIZE)
        torn += content is None and bool(list(folder.glob("cache/*.entry")))
    sys.stdout.write(json.dumps({"found": found, "orphans": orphans, "left": left, "torn": torn}))


def open_together(folder: Path, count: int) -> None:
    """Forked: importing takes far longer than all the rest, and would spread them in time."""
    children = []
    for number in range(count):
        child = os.fork()
        if child == 0:
            get_often(folder, number)
            os._exit(0)
        children.append(child)
    (folder / "go").touch()
    statuses = [os.waitpid(child, 0)[1] for child in children]
    sys.stdout.write(json.dumps(statuses))


def get_often(folder: Path, number: int) -> None:
    def build() -> bytes:
        (folder / f"built-{place}-by-{number}").touch()
        time.sleep(0.1)
        return version(place)

    while not (folder / "go").exists():
        time.sleep(0.001)
    store = store_in(folder)
    for turn in range(25):
        place = turn % 3
        if store.get_or_build(FACTS | {"place": str(place)}, build) != version(place):
            os._exit(1)


def hold(folder: Path) -> None:
    def build() -> bytes:
        (folder / "holding").touch()
        time.sleep(60)
        return b""

    store_in(folder).get_or_build(FACTS, build)


if __name__ == "__main__":
    what, where, *rest = sys.argv[1:]
    {"kill": kill, "open": open_together, "hold": hold}[what](Path(where), *map(int, rest))
