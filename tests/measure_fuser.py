"""How much faster the fuser is than that of another checkout of before: in blocks of its own, and call by call.

    git worktree add out/before ade870c             # the last commit whose fuser computed every moment anew, in FP32
    python -m tests.measure_fuser out/quantized --against out/before --threads 1 --out fuser.json

Blocks: each fuser runs again and again, and the blocks take turns. Call by call: the two alternate, and each finds the
caches as the other left them. Edge, random weights there, ONNX Runtime for both.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from codriver.console import Progress
from codriver.device.machine import describe_machine
from codriver.errors import ConfigError
from tests.measure_peers import session
from workshop.artifacts import provenance, write_json
from workshop.command import command
from workshop.quantized_report import QuantizedReport

SCHEMA, BLOCKS, CALLS, WARM = 1, 30, 20, 5  # BLOCKS in turns, of CALLS each behind WARM untimed ones
EXPORT = """
import sys, torch
from quantize.graphs import FUSER_INPUTS, FuserGraph, example_context
from training.model import SIZES, UVM3TL
torch.manual_seed(0)
model = UVM3TL(SIZES["edge"]).eval()
given = example_context(model.config)
torch.onnx.export(FuserGraph(model), given, sys.argv[1], input_names=FUSER_INPUTS, opset_version=17, dynamo=False)
"""  # as that checkout spells it
Way = Callable[[], Any]


def fuser_of(checkout: Path) -> bytes:
    """The other checkout's fuser, exported by its own code."""
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "fuser.onnx"
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(checkout / "sdk"), str(checkout)])}
        done = subprocess.run(
            [sys.executable, "-c", EXPORT, graph], cwd=checkout, env=environment, capture_output=True, text=True
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["nothing said"])[-1]
            raise ConfigError(f"--against {checkout}: its fuser cannot be exported ({last}); expected ade870c or older")
        return graph.read_bytes()


def way_of(graph: bytes, threads: int) -> Way:
    """The graph on random slots that all count."""
    opened, random = session(graph, threads), np.random.default_rng(0)
    given = {
        some.name: np.ones(some.shape, np.float32) if some.name == "mask" else random.random(some.shape, np.float32)
        for some in opened.get_inputs()
    }
    return lambda: opened.run(None, given)


def took_ms(way: Way, calls: int) -> float:
    """Of one of these calls. Many: what the other way left in the caches goes first, untimed."""
    for _ in range(WARM if calls > 1 else 0):
        way()
    started = time.perf_counter()
    for _ in range(calls):
        way()
    return (time.perf_counter() - started) * 1e3 / calls


def in_turns(now: Way, before: Way, calls: int) -> dict[str, Any]:
    """Milliseconds a call of both, and before over now, turn by turn: the median with its quartiles."""
    turns = []
    with Progress("blocks" if calls > 1 else "calls", total=BLOCKS * CALLS // calls) as progress:
        for turn in range(BLOCKS * CALLS // calls):
            first, second = (now, before) if turn % 2 else (before, now)
            times = took_ms(first, calls), took_ms(second, calls)
            turns.append(times if turn % 2 else times[::-1])
            progress.step()
    ours, theirs = np.array(turns).T
    low, middle, high = np.percentile(theirs / ours, (25, 50, 75)).tolist()
    return {
        "turns": len(turns),
        "calls_a_turn": calls,
        "now_ms": float(np.median(ours)),
        "before_ms": float(np.median(theirs)),
        "ratio": middle,
        "ratio_quartiles": [low, high],
    }


@command("tests.measure_fuser")
def main(argv: Sequence[str] | None = None) -> int:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m tests.measure_fuser", description=__doc__, formatter_class=formatter)
    parser.add_argument("quantized", type=Path, help="folder of quantize.run")
    parser.add_argument("--against", type=Path, required=True, metavar="OTHER", help="checkout of ade870c")
    parser.add_argument("--dialect", default="ort-x86", help="of ONNX Runtime (ort-x86)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the figures as JSON")
    args = parser.parse_args(argv)
    fuser = QuantizedReport.read(args.quantized).dialect(args.dialect).fuser
    now = way_of((args.quantized / fuser.path).read_bytes(), args.threads)
    before = way_of(fuser_of(args.against.resolve()), args.threads)
    for way in (now, before):
        took_ms(way, CALLS)
    found = {"blocks": in_turns(now, before, CALLS), "call by call": in_turns(now, before, 1)}
    for name, row in found.items():
        low, high = row["ratio_quartiles"]
        sys.stdout.write(
            f"{name}: {row['before_ms']:.2f} ms before, {row['now_ms']:.2f} now, "
            f"{row['ratio']:.1f} times [quartiles {low:.1f}, {high:.1f}], {row['turns']} turns\n"
        )
    if args.out:
        own = {"dialect": args.dialect, "threads": args.threads, "machine": describe_machine()}
        write_json(args.out, {"schema": SCHEMA, "kind": "fuser", **provenance(("onnxruntime",), 0), **own, **found})
    return 0


if __name__ == "__main__":
    sys.exit(main())
