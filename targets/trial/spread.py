"""Clips over the workers of a Dask cluster: the same numbers as from one machine, in less time.

Each clip is a task of its own, so a worker that dies costs the clips it was at, which another one runs again. A worker
has to be this machine over again: bundle and clips under the same paths, the same processor, runtime and commit; one
that is not is an error, since its floating-point numbers could be others.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from codriver.console import Progress
from codriver.device.machine import describe_machine, runtime_version
from codriver.errors import BackendMissing, CodriverError, ConfigError
from codriver.perceiver import Perceiver
from codriver.version import VERSION
from targets.trial.clips import ClipScores, score_clips
from workshop.aide_splits import ClipRef, split_digest
from workshop.artifacts import git_commit

CONNECT_S = 20  # for the scheduler to answer, and then for a first worker to be there
Opening = tuple[Path, str, int, str]  # bundle, variant, threads; and its id: a worker may have opened an older one
_ONE_AT_A_TIME = threading.Lock()  # a worker of several threads has one perceiver all the same


@dataclass(frozen=True)
class Answer:
    """Of a worker, to one clip."""

    scores: ClipScores
    worker: str  # its address
    about: Mapping[str, Any]  # what it is


class UnlikeWorker(ConfigError):
    """A worker is not this machine over again."""


def spread(
    address: str, perceiver: Perceiver, opening: Opening, refs: Sequence[ClipRef], *, parts: bool, every: int
) -> tuple[list[ClipScores], int]:
    """Scores of every clip, in order, and how many workers ran them.

    address: of the scheduler, "tcp://HOST:PORT". perceiver: this machine's, of the same opening. Paths are absolute.
    """
    found: dict[int, Answer] = {}
    here = [_about(perceiver, ref) for ref in refs]  # before hours of work, in which this checkout may change
    try:
        from distributed import Client, KilledWorker, as_completed
    except ImportError as error:
        raise BackendMissing("Dask is not installed: pip install 'codriver[dask]'") from error

    try:
        with Client(address, timeout=CONNECT_S, set_as_default=False) as client:
            client.wait_for_workers(1, timeout=CONNECT_S)
            tasks = [client.submit(run_clip, opening, ref, parts, every, pure=False) for ref in refs]
            places = {task.key: at for at, task in enumerate(tasks)}
            with Progress(f"{opening[1]}: clips on {address}", total=len(refs)) as progress:
                for task, answer in as_completed(tasks, loop=client.loop, with_results=True):
                    at = places[task.key]
                    _check_same(answer, here[at])
                    found[at] = answer
                    progress.step()
    except ImportError as error:
        raise ConfigError(
            f"a worker of {address}: {error}; start it in this checkout, with PYTHONPATH=sdk:."
        ) from error
    except KilledWorker as error:
        raise ConfigError(f"{address}: the same clip took several workers down, so it was given up: {error}") from error
    except UnlikeWorker:
        raise
    except CodriverError as error:
        raise ConfigError(f"a worker of {address}: {error}; bundle and clips have to lie there as here") from error
    except (OSError, TimeoutError, CancelledError) as error:
        raise ConfigError(
            f"no Dask cluster at {address} ({error}); start `dask scheduler` and `dask worker`"
        ) from error
    return [found[at].scores for at in range(len(refs))], len({answer.worker for answer in found.values()})


def run_clip(opening: Opening, ref: ClipRef, parts: bool, every: int) -> Answer:
    """On a worker."""
    from distributed import get_worker

    with _ONE_AT_A_TIME:
        perceiver = _opened(opening)
        scores = score_clips(perceiver, [ref], parts=parts, every=every)
        return Answer(scores, str(get_worker().address), _about(perceiver, ref))


@lru_cache(maxsize=1)
def _opened(opening: Opening) -> Perceiver:
    bundle, variant, threads, _ = opening
    return Perceiver.open(bundle, variant=variant, threads=threads)


def _about(perceiver: Perceiver, ref: ClipRef) -> dict[str, Any]:
    """What has to be the same here and there."""
    return {**_machine(perceiver.engine), "bundle": perceiver.manifest.id, "labels": split_digest([ref])}


@lru_cache(maxsize=4)
def _machine(engine: str) -> dict[str, Any]:
    """Asked for once: a worker goes on with the code that it began with, whatever is checked out since."""
    runtime = f"{engine} {runtime_version(engine)}"
    return {"cpu": describe_machine()["cpu"], "runtime": runtime, "codriver": VERSION, "commit": git_commit()}


def _check_same(answer: Answer, here: Mapping[str, Any]) -> None:
    for what, value in here.items():
        if answer.about[what] != value:
            raise UnlikeWorker(
                f"worker {answer.worker} has another {what}, {answer.about[what]}, and this machine {value}: numbers "
                "could differ in their last bits; take workers like this machine, and start them anew after a change"
            )
