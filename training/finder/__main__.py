"""Train the finder: where the driver is, from the in-car frame alone.

python -m training.finder --data DATA --scenes SCENES --out RUN --size demo
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from codriver.files.decode import decode, encode
from codriver.finder_graph import points_of
from training.data.clips import footage_kind
from training.finder.learn import FinderTrainConfig, Learner, fit, identity
from training.finder.model import SIZES, Finder
from training.finder.pictures import FinderVaryConfig, Pictures, drive_pictures, scene_pictures, together
from training.finder.run import FinderRecord, fold_weights, save_finder
from training.finder.scores import evaluate, mean_pose, sights_of
from training.trainer import checkpoint
from training.trainer.checkpoint import LAST, MARKER, METRICS, partial_folder, save_weights
from workshop.aide_splits import ClipRef, read_split, split_digest
from workshop.artifacts import provenance, whole_folder
from workshop.command import command

EXAMPLES = """examples:
  python -m training.scenes out/scenes --each 60 --seed 2
  python -m training.finder --data out/data --scenes out/scenes --out out/finder --size demo
  go on after a stop: the same with --resume

The classifier is trained after it, and on what it sees: training.train --finder RUN.

Without --scenes the finder only ever sees a driver, and what it says of presence means nothing: meta.json says so.
"""
TEST_FRAMES = 15  # of each held-out clip: 0.2 s apart, as a device looks


def train_finder(
    data: Path, scenes: Path | None, out: Path, config: FinderTrainConfig, *, resume: bool = False, anew: bool = False
) -> dict[str, Any]:
    """Train, score on the test split, and leave a run folder. Returns the scores. Raises Stopped after a signal."""
    partial = partial_folder(out)
    checkpoint.check_start(partial, resume, anew)
    refs = {split: read_split(data, split) for split in ("train", "val", "test")}
    digests = {split: split_digest(some) for split, some in refs.items()}
    began = identity(config, FinderVaryConfig(), digests | {"scenes": _scenes_id(scenes)})
    with whole_folder(out, marker=MARKER) as folder:
        drives = drive_pictures(refs["train"], config.frames_per_clip, _bar("decode train"))
        staged = [scene_pictures(scenes, config.frames_per_clip, _bar("decode scenes"))] if scenes else []
        pictures = together(drives, *staged)
        learner = _fitted(config, pictures, partial, began, resume)
        folds = [tuple(ref.id for ref in refs["train"][k :: config.folds]) for k in range(config.folds)]
        for k, left_out in enumerate(folds):
            fold = _fitted(config, pictures.without(left_out), partial / f"fold-{k}", began, resume)
            save_weights(folder / fold_weights(k), fold.kept)
        mean = mean_pose(drives.of(points_of(gesture=config.gesture)))
        scores = {split: _scored(learner.kept, refs[split], mean) for split in ("val", "test")}
        shutil.copy2(partial / METRICS, folder / METRICS)
        about = {
            **provenance(("torch", "opencv-python-headless", "safetensors"), config.seed),
            **{group: began[group] for group in ("train", "vary")},
            "size": config.size,
            "data": {"kind": footage_kind(data), "clips_sha256": began["data"], "frames": _counts(pictures)},
            "knows_absence": scenes is not None,
            "folds": folds,
            "mean_pose": np.round(mean, 5).tolist(),
        }
        save_finder(folder, learner.kept, decode(FinderRecord, encode(about | scores)))
    checkpoint.clear(partial)
    return scores["test"]


def _fitted(
    config: FinderTrainConfig, pictures: Pictures, partial: Path, began: dict[str, Any], resume: bool
) -> Learner:
    """Train on these pictures to the end, from the checkpoint in `partial` if there is one to go on from."""
    saved = checkpoint.load_checkpoint(partial) if resume and (partial / LAST).is_file() else None
    learner = Learner(config, FinderVaryConfig(), pictures)
    if saved:
        checkpoint.check_same(saved["began"], began, partial)
        learner.load_state(saved)
    checkpoint.prepare(partial, learner.records, keep=saved is not None)
    fit(learner, partial, began)
    return learner


def _scored(model: Finder, refs: Sequence[ClipRef], mean: np.ndarray) -> dict[str, Any]:
    pictures = drive_pictures(refs, TEST_FRAMES, _bar("decode"))
    return evaluate(sights_of(model, pictures, progress=_bar("score")), pictures, mean)


def _scenes_id(scenes: Path | None) -> str:
    """What tells one set of scenes from another; their bytes follow from it."""
    if scenes is None:
        return ""
    scene_facts = json.loads((scenes / "scenes.json").read_text(encoding="utf-8")) if scenes.is_dir() else {}
    return f"{scene_facts.get('each')} of each, seed {scene_facts.get('seed')}"


def _counts(pictures: Pictures) -> dict[str, int]:
    return {scene: pictures.scenes.count(scene) for scene in dict.fromkeys(pictures.scenes)}


def _bar(name: str):  # type: ignore[no-untyped-def]
    return lambda items: tqdm(items, desc=name, leave=False, disable=None)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.finder",
        description="Train the finder on a data set's own boxes and keypoints, and leave a run folder.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    defaults = FinderTrainConfig()
    parser.add_argument("--data", type=Path, required=True, help="data set in AIDE's layout")
    parser.add_argument("--scenes", type=Path, help="what training.scenes wrote: cabins without a driver")
    parser.add_argument("--out", type=Path, required=True, help="run folder to write; OUT.partial until it is whole")
    parser.add_argument("--size", choices=SIZES, default=defaults.size)
    parser.add_argument(
        "--gesture",
        action="store_true",
        help="also look for the hands' 42 keypoints, which without it no bundle gets from frames alone; measure with "
        "targets.validate --streams what they are worth on your footage (drawn: under a point)",
    )
    parser.add_argument(
        "--folds",
        type=int,
        default=defaults.folds,
        metavar="K",
        help="also train K finders, each without every Kth clip: training.train --finder then shows each clip as one "
        "sees it that never learned from it; K more trainings",
    )
    for name in ("epochs", "batch", "frames_per_clip", "seed"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(defaults, name))
    parser.add_argument("--learning-rate", type=float, default=defaults.learning_rate, help="at its peak")
    parser.add_argument("--ema", type=float, default=defaults.ema, help="decay of the weights' average")
    parser.add_argument("--resume", action="store_true", help="go on with OUT.partial if it is there")
    parser.add_argument("--overwrite", action="store_true", help="start anew over OUT.partial")
    parser.add_argument("--json", action="store_true", help="print the test scores as JSON")
    return parser


@command("training.finder")
def main(argv: Sequence[str] | None = None) -> int:
    args = make_parser().parse_args(argv)
    shaped = ("size", "gesture", "epochs", "folds", "batch", "frames_per_clip", "seed", "learning_rate", "ema")
    config = FinderTrainConfig(**{name: getattr(args, name) for name in shaped})
    scores = train_finder(args.data, args.scenes, args.out, config, resume=args.resume, anew=args.overwrite)
    sys.stdout.write((json.dumps(scores) if args.json else table(scores)) + "\n")
    return 0


def table(scores: dict[str, Any]) -> str:
    """One line a figure, one column each for the finder and what it must beat."""
    ways = [way for way in ("finder", "mean_pose", "frame_before") if way in scores]
    lines = [f"{'%':18}" + "".join(f"{way:>14}" for way in ways)]
    lines += [f"{name:18}" + "".join(f"{100 * scores[way][name]:14.1f}" for way in ways) for name in scores[ways[0]]]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
