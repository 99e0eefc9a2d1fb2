"""A run of any size with random weights: what graphs cost does not depend on what they have learned.

python -m tests.untrained --size edge --data DATA --out RUN
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch

from training.model.uvm3tl import SIZES, UVM3TL
from training.trainer.checkpoint import MARKER, save_run
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
    nothing = {task.name: {"accuracy": 0.0, "macro_f1": 0.0, "majority": 0.0} for task in model.task_set.tasks}
    meta = {
        "size": size,
        "data": {
            "kind": "synthetic, untrained",
            "clips": {name: len(refs) for name, refs in splits.items()},
            "clips_sha256": {name: split_digest(refs) for name, refs in splits.items()},
        },
        "class_counts": {},
        "train": {},
        "test": nothing,
        "test_clips": 0,
        **provenance(("torch",), seed),
    }
    with whole_folder(out, marker=MARKER) as folder:
        save_run(folder, model, meta)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A run with random weights, for timing.")
    parser.add_argument("--size", choices=SIZES, default="edge")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    write_untrained_run(args.out, args.size, args.data)
