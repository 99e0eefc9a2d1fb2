"""A run of any size with random weights: what graphs cost does not depend on what they have learned.

python -m tests.untrained --size edge --data DATA --out RUN
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from codriver.tasks import AIDE
from training.data.augment import AugmentConfig
from training.finder.run import FinderRecord
from training.losses.afd import LossConfig
from training.model.uvm3tl import SIZES, UVM3TL
from training.report.metrics import Scores
from training.trainer.checkpoint import MARKER, Run, save_run
from training.trainer.config import TrainConfig
from training.trainer.record import LearnedFrom, RunRecord
from workshop.aide_splits import read_split, split_digest
from workshop.artifacts import provenance, whole_folder


def write_untrained_run(
    out: Path, size: str, data: Path, seed: int = 0, change: Callable[[UVM3TL], None] = lambda model: None
) -> None:
    """Leave a run folder that quantize.run takes. Its scores are zero, as nothing was scored."""
    torch.manual_seed(seed)
    model = UVM3TL(SIZES[size]).eval()
    change(model)
    splits = {name: read_split(data, name) for name in ("train", "val", "test")}
    data_facts = LearnedFrom(
        kind="synthetic, untrained",
        clips={name: len(refs) for name, refs in splits.items()},
        clips_sha256={name: split_digest(refs) for name, refs in splits.items()},
    )
    with whole_folder(out, marker=MARKER) as folder:
        save_run(folder, Run(model, untrained_record(size, data_facts, seed=seed)))


def untrained_record(
    size: str, data: LearnedFrom, class_counts: Mapping[str, tuple[int, ...]] | None = None, seed: int = 0
) -> RunRecord:
    nothing = Scores(accuracy=0.0, macro_f1=0.0, majority=0.0, balanced_accuracy=0.0, ece=0.0)
    return RunRecord(
        **provenance(("torch",), seed),
        size=size,
        train=TrainConfig(size=size),
        loss=LossConfig(),
        augment=AugmentConfig(),
        processes={"count": 1},
        finder={"id": None},
        kept_epoch=0,
        best_epoch=0,
        data=data,
        class_counts=class_counts or {},
        test={task.name: nothing for task in AIDE.tasks},
        test_clips=0,
    )


def untrained_finder_record(size: str = "tiny", folds: tuple[tuple[str, ...], ...] = ()) -> FinderRecord:
    return FinderRecord(
        **provenance(("torch",), 0),
        size=size,
        train={},
        vary={},
        data={},
        knows_absence=False,
        folds=folds,
        mean_pose=(),
        val={},
        test={},
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A run with random weights, for timing.")
    parser.add_argument("--size", choices=SIZES, default="edge")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    write_untrained_run(args.out, args.size, args.data)
