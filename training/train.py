"""Train in full precision.

python -m training.train --data DATA --out RUN --size demo --epochs 18
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from tqdm import tqdm

from codriver.artefact import provenance, whole_folder
from codriver.errors import CodriverError
from codriver.sources.split import ClipRef, read_split, split_digest
from codriver.tasks import TASK_SETS
from training.augment import AugmentConfig
from training.checkpoint import MARKER, save_run
from training.data import Clip, class_counts, load_clips
from training.evaluate import Scores, score, table
from training.loop import predict, training_batches
from training.losses import AFDLoss, LossConfig
from training.model import SIZES, UVM3TL


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    size: str = "demo"
    epochs: int = 18
    sparse: float = 0.7  # share of epochs, the first, that see a few pairs of slots of each clip: cheap lessons
    sparse_pairs: int = 3
    validate_every: int = 3  # epochs
    batch: int = 16
    learning_rate: float = 4e-3  # peak, after warm-up
    warm_up: float = 0.15  # share of all steps
    weight_decay: float = 0.02
    clip_gradient: float = 5.0  # norm
    seed: int = 0


def train(
    data: Path, out: Path, config: TrainConfig, loss_config: LossConfig, augment: AugmentConfig
) -> dict[str, Scores]:
    """Train, evaluate on the validation split after each epoch, and leave a run folder. Returns the test scores."""
    torch.manual_seed(config.seed)
    model = UVM3TL(SIZES[config.size])
    refs = {split: read_split(data, split) for split in ("train", "val", "test")}
    clips = {split: _load(some, model, split) for split, some in refs.items()}
    counts = class_counts(clips["train"], model.task_set)
    loss = AFDLoss(model.task_set, loss_config, counts)
    with whole_folder(out, marker=MARKER) as folder:
        _fit(model, loss, clips, config, augment, folder / "metrics.jsonl")
        scores = score(predict(model, clips["test"], progress=_bar("test")), clips["test"], model.task_set, counts)
        meta = {
            **provenance(("torch", "opencv-python-headless", "safetensors"), config.seed),
            "size": config.size,
            "train": asdict(config),
            "loss": asdict(loss_config),
            "augment": asdict(augment),
            "loss_state": loss.state_for_meta(),
            "data": _describe(data, refs),
            "class_counts": counts,
            "test": {task: asdict(result) for task, result in scores.items()},
            "test_clips": len(clips["test"]),
        }
        save_run(folder, model, meta)
    return scores


def _load(refs: Sequence[ClipRef], model: UVM3TL, split: str) -> list[Clip]:
    bar = tqdm(total=len(refs), desc=f"decode {split:5}", unit="clip", disable=None)
    with bar:

        def counted(clips):  # type: ignore[no-untyped-def]
            for clip in clips:
                bar.update()
                yield clip

        return load_clips(refs, model.config, model.task_set, counted)


def _bar(name: str):  # type: ignore[no-untyped-def]
    return lambda items: tqdm(items, desc=name, leave=False, disable=None)


def _fit(
    model: UVM3TL,
    loss: AFDLoss,
    clips: dict[str, list[Clip]],
    config: TrainConfig,
    augment: AugmentConfig,
    log: Path,
) -> None:
    """Step through all epochs, and write one JSON line for each."""
    steps = math.ceil(len(clips["train"]) / config.batch) * config.epochs
    optimizer = torch.optim.AdamW(_groups(model, config.weight_decay), lr=config.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=steps + 1, pct_start=config.warm_up, cycle_momentum=False
    )
    bar = tqdm(total=steps, desc="train", unit="step", disable=None)
    with bar, log.open("w", encoding="utf-8") as file:
        for epoch in range(config.epochs):
            model.train()
            sparse = epoch < round(config.sparse * config.epochs)
            varied = replace(augment, pairs=config.sparse_pairs if sparse else 0)
            for frames, mask, labels in training_batches(clips["train"], config.batch, config.seed, epoch, varied):
                parts = loss(model(frames, mask), labels, mask)
                optimizer.zero_grad(set_to_none=True)
                parts.total.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_gradient)
                optimizer.step()
                schedule.step()
                bar.update()
                bar.set_postfix(loss=f"{parts.total.item():.2f}", decoupling=f"{parts.decoupling.item():.2f}")
            record = {"epoch": epoch + 1, "sparse": sparse, "task_weights": loss.weights}
            loss.end_epoch()
            record["task_losses"] = loss.history[-1]
            if (epoch + 1) % config.validate_every == 0 or epoch + 1 == config.epochs:
                scores = score(predict(model, clips["val"]), clips["val"], model.task_set)
                record["val"] = {task: asdict(result) for task, result in scores.items()}
                accuracies = "  ".join(f"{task} {100 * result.accuracy:.0f}" for task, result in scores.items())
                tqdm.write(f"epoch {epoch + 1}/{config.epochs}  val accuracy %: {accuracies}", file=sys.stderr)
            file.write(json.dumps(record) + "\n")
            file.flush()


def _groups(model: UVM3TL, weight_decay: float) -> list[dict[str, object]]:
    """Weight decay on matrices and kernels only: biases, norms and scalars are not shrunk."""
    decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    kept = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": kept, "weight_decay": 0.0}]


def _describe(data: Path, refs: dict[str, list[ClipRef]]) -> dict[str, object]:
    """What the model learned from: kind of footage, clips and a digest of each split."""
    described = data / "dataset.json"
    generator = json.loads(described.read_text()).get("generator") if described.is_file() else None
    return {
        "kind": f"synthetic footage ({generator})" if generator else "footage in AIDE's layout",
        "clips": {split: len(some) for split, some in refs.items()},
        "clips_sha256": {split: split_digest(some) for split, some in refs.items()},
    }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.train",
        description="Train UV-M3TL in full precision and leave a run folder.",
        epilog="example: python -m training.train --data out/data --out out/run --size demo --epochs 18",
    )
    defaults = TrainConfig()
    parser.add_argument("--data", type=Path, required=True, help="data set in AIDE's layout")
    parser.add_argument("--out", type=Path, required=True, help="run folder to write")
    parser.add_argument("--size", choices=SIZES, default=defaults.size)
    parser.add_argument("--epochs", type=int, default=defaults.epochs)
    parser.add_argument("--batch", type=int, default=defaults.batch)
    parser.add_argument("--learning-rate", type=float, default=defaults.learning_rate)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--json", action="store_true", help="print the test scores as JSON")
    args = parser.parse_args(argv)
    config = TrainConfig(
        size=args.size, epochs=args.epochs, batch=args.batch, learning_rate=args.learning_rate, seed=args.seed
    )
    try:
        scores = train(args.data, args.out, config, LossConfig(), AugmentConfig())
    except CodriverError as error:
        sys.stderr.write(f"training.train: {error}\n")
        return 2
    sys.stdout.write(
        json.dumps({task: asdict(result) for task, result in scores.items()}) + "\n"
        if args.json
        else table(scores, TASK_SETS["aide"]) + "\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
