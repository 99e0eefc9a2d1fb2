"""A farm and a cluster on this machine's loopback: each claim a line with `ok` or `FAILED`.

    python -m tests.farm OUT --data DATA FP32.bundle INT8.bundle

Two boards behind labgrid, each an sshd with an environment of its own, into which pip installs the copied wheel and
what the system's Python lacks. The second is judged by a product that allows 64 MB of memory: two boards on one
processor keep each other too busy for a budget of latency. Then samples/try's bundle on three workers of Dask, of which
one is killed while the clips run, held against the same command on this machine alone. Exit code 1 if a claim failed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from codriver.console import put
from codriver.device.machine import describe_machine
from targets.profiles.profile import FOLDER
from tests import ROOT
from tests.dask_cluster import cluster, kill_one_in_the_middle
from tests.loopback_farm import farm
from workshop.aide_splits import read_split
from workshop.artifacts import git_commit

BOARDS, STEPS, PRODUCT = ("board-1", "board-2"), 1000, "my-product"


def boards(bundles: list[Path], data: Path, out: Path) -> bool:
    """Write OUT/farm.html, and hold what came of both boards."""
    (out / "profiles").mkdir()
    text = (FOLDER / "x86-ort.toml").read_text().replace("memory_budget_mb = 1000\n", "memory_budget_mb = 64\n")
    (out / "profiles" / f"{PRODUCT}.toml").write_text(text)
    (out / "bench").mkdir()
    packed = ["--data", data, "--profiles", out / "profiles", "--out", out / "kit.tar"]
    put(said(sys.executable, "-m", "targets.kit", *bundles, *packed).stdout)
    asked = ["board-1", f"board-2={PRODUCT}", "--out", out / "boards", "--folder", out / "on"]
    with farm(out / "bench", BOARDS) as environment:
        start_s = time.perf_counter()
        sample = [
            ROOT / "samples/farm/farm.py",
            out / "kit.tar",
            *asked,
            f"--validate=--steps {STEPS} --threads 1 --every 3",
        ]
        done = said(sys.executable, *sample, env=environment)
        took_s = time.perf_counter() - start_s
        put(f"{done.stdout}{done.stderr}farm.py took {took_s:.0f} s and ended with {done.returncode}")
    page = (out / "boards" / "farm.html").read_text()
    named = all(f" · {board}" in page for board in BOARDS) and "(2)" not in page
    evidence = [json.loads((out / "boards" / board / "found/evidence.json").read_text()) for board in BOARDS]
    answers = [[subject["tasks"] for subject in some["subjects"]] for some in evidence]
    missed = " · board-2: may not ship" in done.stdout and done.returncode == 1
    own = all(f"/on-{board}/env/" in done.stdout for board in BOARDS)
    return all(
        [
            claim("each board ran the wheel that was copied to it, in its own environment", own),
            claim("the page has both boards by name", named),
            claim("board-2 misses its budget and is on the page", missed),
            claim("board-1 misses none", "board-1: may not ship" not in done.stdout),
            claim("both boards give the same answers", answers[0] == answers[1]),
        ]
    )


def dask(bundle: Path, data: Path, out: Path) -> bool:
    """The same command alone and with three workers, one of them killed."""
    clips = len(read_split(data, "test"))
    validate = [sys.executable, "-m", "targets.validate", bundle, "--data", data, "--threads", "1", "--steps", "20"]
    said(*validate, "--out", out / "alone.json")
    (out / "dask").mkdir()
    with cluster(out / "dask", workers=3) as client, ThreadPoolExecutor(1) as pool:
        killing = pool.submit(kill_one_in_the_middle, client, clips - 1)
        said(*validate, "--out", out / "shared.json", "--dask", client.scheduler.address)
        done = killing.result()
        left = len(client.scheduler_info(n_workers=-1)["workers"])
    alone, shared = (subject_of(out / f"{name}.json") for name in ("alone", "shared"))
    put(f"one of three workers was killed when {done} of {clips - 1} clips were done; {left} are left")
    right = {task: f"{100 * row['accuracy']:.0f} %" for task, row in shared["tasks"].items()}
    put(f"clips run by {shared['clips_by']}, with annotations and with frames alone; right: {right}")
    same = all(shared[key] == alone[key] for key in ("tasks", "driver"))
    return all(
        [
            claim("a worker was killed in the middle and the command ended well", 0 < done < clips - 1 and left == 2),
            claim("labels, answers and probabilities of every clip are those of one machine", same),
        ]
    )


def subject_of(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text())["subjects"][0])


def said(*words: object, **named: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=1800, **named)


def claim(what: str, holds: bool) -> bool:
    put(f"{'ok    ' if holds else 'FAILED'}  {what}")
    return holds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="a folder that is made anew")
    parser.add_argument("bundle", type=Path, nargs=2, help="in full precision, and in INT8 for x86-ort")
    parser.add_argument("--data", type=Path, required=True, help="labelled clips in AIDE's layout")
    args = parser.parse_args()
    out = args.out.resolve()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    machine = describe_machine()
    put(f"== {machine['cpu']}, {machine['cores']} cores, Python {machine['python']}, commit {git_commit()}")
    put("== two boards behind labgrid")
    farmed = boards(args.bundle, args.data, out)
    put("== three workers of Dask")
    held = dask(ROOT / "samples" / "try" / "demo.bundle", args.data, out) and farmed
    put("== all of it held" if held else "== NOT all of it held")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
