"""Write a procedural data set in AIDE's layout.

    python -m training.synth build/data --clips 600 --seed 1

OUT must be empty or not exist. The same arguments and seed give the same bytes, whatever --workers is.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import platform
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from tqdm import tqdm

from codriver.errors import ConfigError
from codriver.tasks import AIDE
from training.dense.synth import LAYOUTS
from training.dense.synth import jobs as picture_jobs
from training.dense.synth import write_clip as write_pictures
from training.footage.labels import SPLITS, annotated, plan
from training.footage.layout import ROOT, RenderJob, remove_partial, write_clip
from training.footage.spec import ClipSpec
from workshop.artifacts import git_commit, write_text
from workshop.command import command

SCHEMA = 1
Job = TypeVar("Job")
Written = TypeVar("Written")
Plan = list[tuple[str, dict[str, str]]]


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.synth",
        description="Write procedural four-camera footage with labels, in AIDE's layout.",
        epilog="example: python -m training.synth build/data --clips 600 --seed 1 --videos test",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write; must be empty or not exist")
    parser.add_argument("--clips", type=int, required=True, metavar="N", help="clips of 3 s, 1 to 9999")
    parser.add_argument("--seed", type=int, required=True, metavar="S", help="everything drawn at random follows it")
    parser.add_argument("--width", type=int, default=320, metavar="PX", help="frame width, even (default 320)")
    parser.add_argument("--height", type=int, default=180, metavar="PX", help="frame height, even (default 180)")
    parser.add_argument("--jpeg-quality", type=int, default=90, metavar="Q", help="1 to 100 (default 90)")
    parser.add_argument(
        "--videos",
        choices=("all", "test", "none"),
        default="all",
        help="clips that get MP4s too; encoding costs about a fifth of the time (default all)",
    )
    parser.add_argument(
        "--workers", type=int, default=2, metavar="W", help="processes (default 2); never changes a byte"
    )
    parser.add_argument(
        "--layout",
        choices=("aide", *LAYOUTS),
        default="aide",
        help="aide: clips of four cameras. Else the benchmark's own files, three pictures of each clip or room",
    )
    harder = parser.add_argument_group("a harder lesson (training and validation clips alone; test clips stay true)")
    harder.add_argument("--label-noise", type=float, default=0.0, metavar="P", help="share of labels that are wrong")
    harder.add_argument(
        "--coupling", type=float, default=1.0, metavar="C", help="how strongly labels of different tasks go together"
    )
    parser.add_argument("--json", action="store_true", help="print dataset.json's content instead of a sentence")
    return parser.parse_args(arguments)


def check(args: argparse.Namespace) -> None:
    limits = {
        "clips": (1, 9999),
        "seed": (0, 2**63 - 1),
        "width": (64, 7680),
        "height": (64, 4320),
        "jpeg_quality": (1, 100),
        "workers": (1, 256),
        "label_noise": (0.0, 0.9),
        "coupling": (0.0, 5.0),
    }
    for name, (low, high) in limits.items():
        value = getattr(args, name)
        if not low <= value <= high:
            raise ConfigError(f"--{name.replace('_', '-')}: got {value}, expected {low} to {high}")
    if args.width % 2 or args.height % 2:
        raise ConfigError(f"--width, --height: got {args.width}x{args.height}, expected even numbers; MP4 needs them")
    least = 1.4 if args.layout == "aide" else 1.2  # NYUD-v2's pictures are 4:3
    if not least <= args.width / args.height <= 2.4:
        raise ConfigError(f"--width, --height: got {args.width}x{args.height}, expected {least} to 2.4 times as wide")
    if args.layout != "aide" and (args.label_noise or args.coupling != 1.0):
        raise ConfigError(f"--label-noise, --coupling: expected none with --layout {args.layout}; they are aide's")
    if args.out.exists() and (not args.out.is_dir() or any(args.out.iterdir())):
        raise ConfigError(f"{args.out} exists and is not an empty folder; name another one, or remove it first")


def jobs_for(args: argparse.Namespace, clips: Plan, written: list[dict[str, str]]) -> list[RenderJob]:
    jobs = []
    for number, (split, labels) in enumerate(clips, start=1):
        video = args.videos == "all" or (args.videos == "test" and split == "testing")
        spec = ClipSpec(args.seed, number, labels, args.width, args.height)
        jobs.append(RenderJob(spec, str(args.out), args.jpeg_quality, video, written[number - 1]))
    return jobs


def start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent alone answers Ctrl-C
    cv2.setNumThreads(1)


def write_all(write: Callable[[Job], Written], jobs: Sequence[Job], workers: int) -> Iterator[Written]:
    """What `write` gives, in the order of the jobs. One worker is this process: another takes seconds to start."""
    if workers == 1:
        yield from map(write, jobs)
        return
    with multiprocessing.get_context("spawn").Pool(min(workers, len(jobs)), start_worker) as pool:
        yield from pool.imap(write, jobs)


def write_lists(out: Path, clips: Plan) -> None:
    """AIDE's three CSVs; their header is literally 0,1."""
    for split in SPLITS:
        rows = [f"{ROOT}/{k:04d}/,{ROOT}/annotation/{k:04d}.json" for k, (s, _) in enumerate(clips, 1) if s == split]
        write_text(out / f"{split}.csv", "\n".join(["0,1", *rows]) + "\n")


def describe(args: argparse.Namespace, clips: Plan, hashes: dict[str, str]) -> dict[str, object]:
    """What dataset.json says; classes as annotated. Neither OUT nor --workers is in it: they change no byte."""
    counts = {
        split: {
            task.name: {
                label: Counter(row[task.name] for s, row in clips if s == split)[label] for label in task.labels
            }
            for task in AIDE.tasks
        }
        for split in SPLITS
    }
    harder = {"label_noise": (args.label_noise, 0.0), "coupling": (args.coupling, 1.0)}
    listed = "".join(f"{hashes[name]}  {name}.json\n" for name in sorted(hashes))
    return {
        "schema": SCHEMA,
        "kind": "dataset",
        "generator": "training.synth",
        "seed": args.seed,
        "arguments": {name: getattr(args, name) for name in ("clips", "width", "height", "jpeg_quality", "videos")}
        | {name: value for name, (value, usual) in harder.items() if value != usual},
        "tools": {"python": platform.python_version(), "numpy": np.__version__, "opencv": cv2.__version__},
        "git_commit": git_commit(),
        "splits": {s: sum(split == s for split, _ in clips) for s in SPLITS},
        "classes": counts,
        "annotations_sha256": hashlib.sha256(listed.encode()).hexdigest(),
    }


def generate(args: argparse.Namespace) -> dict[str, object]:
    check(args)
    if args.layout != "aide":
        return generate_pictures(args)
    clips = plan(args.clips, args.seed, args.coupling)
    written = annotated(clips, args.seed, args.label_noise)
    (args.out / ROOT / "annotation").mkdir(parents=True)
    cv2.setNumThreads(1)
    try:
        done = write_all(write_clip, jobs_for(args, clips, written), args.workers)
        hashes = dict(tqdm(done, total=args.clips, unit="clip", disable=not sys.stderr.isatty()))
    finally:
        remove_partial(args.out)
    write_lists(args.out, clips)
    summary = describe(args, [(split, said) for (split, _), said in zip(clips, written, strict=True)], hashes)
    write_text(args.out / "dataset.json", json.dumps(summary, indent=2) + "\n")
    return summary


def generate_pictures(args: argparse.Namespace) -> dict[str, object]:
    """Pictures in a benchmark's layout."""
    cv2.setNumThreads(1)
    size = (args.width, args.height)
    todo = list(picture_jobs(args.layout, args.out, args.clips, args.seed, size, args.jpeg_quality))
    frames: dict[str, list[dict[str, object]]] = {job.split: [] for job in todo}
    make = partial(write_pictures, args.layout)
    done = write_all(make, todo, args.workers)
    bar = tqdm(done, total=len(todo), unit="clip", disable=not sys.stderr.isatty())
    for job, some in zip(todo, bar, strict=True):
        frames[job.split] += some
    LAYOUTS[args.layout].lists(args.out, frames)
    summary: dict[str, object] = {
        "schema": SCHEMA,
        "kind": "dataset",
        "layout": args.layout,
        "generator": "training.synth",
        "seed": args.seed,
        "arguments": {name: getattr(args, name) for name in ("clips", "width", "height", "jpeg_quality")},
        "git_commit": git_commit(),
        "splits": {split: len(some) for split, some in frames.items()},
    }
    (args.out / "dataset.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8", newline="\n")
    return summary


@command("training.synth", stopped="the folder holds whole clips but no lists: remove it")
def main(arguments: list[str] | None = None) -> int:
    args = parse(arguments)
    summary = generate(args)
    text = json.dumps(summary) if args.json else f"{args.clips} clips written to {args.out}"
    sys.stdout.write(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
