"""Write in-car clips that a data set of drives lacks: an empty seat, a passenger alone, a covered lens.

    python -m training.scenes out/scenes --each 60 --seed 2

OUT/<scene>/0001/incarframes/0.jpg, ... every third of 45 frames (5 Hz), OUT/<scene>/0001.json with AIDE's pose_list,
and OUT/scenes.json, which says what each scene holds. Only training.finder reads them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import cv2
from tqdm import tqdm

from codriver.errors import ConfigError
from training.footage.labels import plan
from training.footage.motion import FRAMES
from training.footage.scenes import SCENES, StagedCabin, poses
from training.footage.spec import ClipSpec
from workshop.artifacts import provenance, whole_folder, write_json
from workshop.command import command

SCHEMA, MARKER = 1, "scenes.json"
EVERY = 3  # of the clip's frames
JPEG_QUALITY = 90


def write_scenes(out: Path, each: int, seed: int, workers: int = 2) -> None:
    """The same arguments give the same bytes, whatever `workers` is."""
    labels = [row for _, row in plan(each * len(SCENES), seed)]
    specs = [ClipSpec(seed, number, row) for number, row in enumerate(labels, start=1)]
    named = list(product(SCENES, range(1, each + 1)))
    with whole_folder(out, marker=MARKER, replace=False) as folder:
        jobs = [(name, number, spec, folder) for (name, number), spec in zip(named, specs, strict=True)]
        for _ in tqdm(_written(jobs, workers), total=len(jobs), unit="clip", disable=None):
            pass
        about = {name: asdict(scene) for name, scene in SCENES.items()}
        facts = {"schema": SCHEMA, "kind": "scenes", "scenes": about, "each": each, "seed": seed}
        write_json(folder / MARKER, facts | {"tools": provenance(("opencv-python-headless",), seed)["tools"]})


Job = tuple[str, int, ClipSpec, Path]


def _written(jobs: Sequence[Job], workers: int) -> Iterator[None]:
    if workers == 1:
        yield from map(_write, jobs)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_write, jobs, chunksize=4)


def _write(job: Job) -> None:
    name, number, spec, folder = job
    cv2.setNumThreads(1)
    frames = folder / name / f"{number:04d}" / "incarframes"
    frames.mkdir(parents=True)
    chosen = range(0, FRAMES, EVERY)
    for index, image in zip(chosen, StagedCabin(name, spec).frames(chosen), strict=True):
        done, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        assert done, (name, index)
        (frames / f"{index}.jpg").write_bytes(jpeg.tobytes())
    content = json.dumps({"pose_list": poses(name, spec)}, separators=(",", ":"))
    (folder / name / f"{number:04d}.json").write_text(content, encoding="utf-8")


@command("training.scenes")
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.scenes",
        description="Draw in-car clips without a driver, with others in the car, and with a covered lens.",
        epilog="example: python -m training.scenes out/scenes --each 60 --seed 2",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write; must be empty or not exist")
    parser.add_argument("--each", type=int, required=True, metavar="N", help="clips of each scene, 1 to 1500")
    parser.add_argument("--seed", type=int, required=True, metavar="S", help="not that of the drives")
    parser.add_argument("--workers", type=int, default=2, metavar="W", help="processes; never changes a byte")
    args = parser.parse_args(argv)
    if not 1 <= args.each <= 1500 or args.seed < 0 or args.workers < 1:
        raise ConfigError(f"--each {args.each}, --seed {args.seed}, --workers {args.workers}: see --help")
    write_scenes(args.out, args.each, args.seed, args.workers)
    sys.stdout.write(f"{args.each} clips of each of {', '.join(SCENES)} written to {args.out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
