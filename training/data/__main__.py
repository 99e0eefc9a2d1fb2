"""Look a data set over, or decode it ahead of training.

python -m training.data check DIR                             every problem of a data set, and its class counts
python -m training.data cache DIR --size demo --out CACHE     decode once, read from then on
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from codriver.dense_tasks import DENSE_TASK_SETS
from codriver.tasks import TASK_SETS
from training.data.check import CheckConfig, check_dataset, to_dict, to_text
from training.data.clips import ClipSet, open_clips
from training.data.sampling import Sampling
from training.dense.benchmarks.check import check_benchmark
from training.dense.train import LOADERS
from training.model.uvm3tl import SIZES
from workshop.aide_splits import SPLITS, read_split
from workshop.command import command

SPEED_CLIPS = 24  # read to tell the speed


@command("training.data", stopped="what a cache holds by now is whole and stays")
def main(argv: Sequence[str] | None = None) -> int:
    args = _parse(argv)
    return int(args.run(args))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.data",
        description="Look after a data set.",
        epilog="example: python -m training.data check out/data",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser(
        "check",
        help="report everything that is wrong with a data set",
        description="Read a whole data set; exit 0 if training can use all of it, 1 if not, 2 if it is none.",
        epilog="example: python -m training.data check out/data --all-frames",
    )
    check.add_argument("data", type=Path, metavar="DIR", help="data set in AIDE's layout, or a benchmark's")
    check.add_argument("--all-frames", action="store_true", help="decode every frame, not only those that fill slots")
    check.set_defaults(run=_check)
    cache = commands.add_parser(
        "cache",
        help="decode a data set once",
        description="Write every clip as the network takes it; run it again to go on after an interruption. Not for "
        "training.train --finder, whose lessons are other ones: it fills its --cache by itself, in other folders.",
        epilog="example: python -m training.data cache out/data --size demo --out out/cache",
    )
    cache.add_argument("data", type=Path, metavar="DIR", help="data set in AIDE's layout")
    cache.add_argument("--size", choices=SIZES, default="demo")
    cache.add_argument("--out", type=Path, required=True, metavar="CACHE", help="folder, made if it is not there")
    cache.set_defaults(run=_cache)
    for some in (check, cache):
        some.add_argument("--sampling", choices=("uniform", "aide16"), default="uniform")
        some.add_argument("--workers", type=int, default=2, metavar="N", help="threads (default 2)")
        some.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(argv)
    if args.workers < 1:
        parser.error(f"--workers: got {args.workers}, expected 1 or more")
    return args


def _check(args: argparse.Namespace) -> int:
    name = next((name for name, loader in LOADERS.items() if loader.is_here(args.data)), None)
    if name:
        benchmark = check_benchmark(DENSE_TASK_SETS[name], LOADERS[name], args.data, partial(_bar, name="check"))
        sys.stdout.write((json.dumps(benchmark.to_json()) if args.json else str(benchmark)) + "\n")
        return 1 if benchmark.problems else 0
    config = CheckConfig(sampling=Sampling(args.sampling), all_frames=args.all_frames, workers=args.workers)
    report = check_dataset(args.data, config, partial(_bar, name="check"))
    sys.stdout.write((json.dumps(to_dict(report)) if args.json else to_text(report)) + "\n")
    return 1 if report.found else 0


def _cache(args: argparse.Namespace) -> int:
    config, task_set = SIZES[args.size], TASK_SETS["aide"]
    kept = {}
    for split in SPLITS:
        refs = read_split(args.data, split)
        kept[split] = open_clips(
            refs,
            config,
            task_set,
            args.out,
            sampling=Sampling(args.sampling),
            progress=partial(_bar, total=len(refs), name=f"cache {split:5}"),
            workers=args.workers,
        )
    result = {"clips": {split: len(clips) for split, clips in kept.items()}, **_speed(kept["train"])}
    result["folder"] = str(kept["train"].files[0].parent)
    text = (
        "{folder} holds {n} clips\nread from the cache {cached:.0f} clips/s, decoded {decoded:.1f} clips/s "
        "(one thread, n = {speed_clips}, just written or read)"
    ).format(n=sum(result["clips"].values()), **result)
    sys.stdout.write((json.dumps(result) if args.json else text) + "\n")
    return 0


def _speed(clips: ClipSet) -> dict[str, Any]:
    """Clips per second by one thread, of the same clips, files warm in the system's own cache."""
    n = min(len(clips), SPEED_CLIPS)
    return {
        "speed_clips": n,
        "cached": _clips_per_s(clips, n),
        "decoded": _clips_per_s(clips.without_cache(), n),
    }


def _clips_per_s(clips: ClipSet, n: int) -> float:
    start = time.perf_counter()
    for index in range(n):
        clips[index]
    return n / (time.perf_counter() - start)


def _bar(items: Any, total: int, name: str) -> Any:
    return tqdm(items, total=total, desc=name, unit="clip", disable=None)


if __name__ == "__main__":
    sys.exit(main())
