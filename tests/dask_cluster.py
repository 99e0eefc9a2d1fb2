"""A Dask cluster on this machine's loopback, as people start one; no nannies, so a worker that is killed stays dead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distributed import Client

from tests import ROOT


@contextmanager
def cluster(folder: Path, workers: int) -> Iterator[Client]:
    """A client of so many workers of one thread, in processes of their own; all end with the block."""
    told = folder / "scheduler.json"
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'sdk'}:{ROOT}", "OMP_NUM_THREADS": "1"}
    dask = [sys.executable, "-m", "dask"]
    shared = ["--no-dashboard", "--scheduler-file", str(told)]
    scheduler = [*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", *shared]
    worker = [*dask, "worker", "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", "--death-timeout", "60", *shared]
    with (folder / "cluster.log").open("a") as log:
        options = {"env": environment, "cwd": folder, "stdout": log, "stderr": log}
        started = [subprocess.Popen(command, **options) for command in (scheduler, *[worker] * workers)]
        try:
            with Client(scheduler_file=str(told), timeout=60, set_as_default=False) as client:
                client.wait_for_workers(workers, timeout=60)
                yield client
        finally:
            for process in reversed(started):
                process.kill()
                process.wait(timeout=30)


def kill_one_in_the_middle(client: Client, tasks: int) -> int:
    """Kill a worker that has work, by SIGKILL, once a third of `tasks` are done; how many were done."""
    end_s = time.monotonic() + 60
    while time.monotonic() < end_s:
        done, busy = client.run_on_scheduler(_state)
        if done >= tasks / 3 and busy:
            os.kill(busy[0], signal.SIGKILL)
            return int(done)
        time.sleep(0.01)
    raise AssertionError("a minute went by, and a third of the tasks were never done")


def _state(dask_scheduler: Any) -> tuple[int, list[int]]:
    """On the scheduler: how many tasks are done, and the processes of workers that have some left."""
    done = sum(task.state == "memory" for task in dask_scheduler.tasks.values())
    return done, [some.pid for some in dask_scheduler.workers.values() if some.processing]
