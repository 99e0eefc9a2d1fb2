"""What each part of the method is worth: the same data and seeds, one part changed at a time.

    python -m training.ablate docs/ablation/afd/plan.toml --cache CACHE
    python -m training.ablate --data DATA --out docs/ablation --size tiny --epochs 12 --seeds 0 1 2 --cache CACHE

A plan says what its seeds can show, runs, goes on where it stopped, and judges. Its rows lie beside it and are
committed, so that others add seeds: `--seeds 12 13 14`. Without a plan every run adds a line to OUT/runs.jsonl; started
again, the command goes on where it stopped. OUT/table.md compares the variants of each family with its reference, seed
by seed.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from codriver.device.machine import describe_machine
from codriver.errors import ConfigError
from codriver.tasks import AIDE, JOINTS, VIEWS
from training.ablation.planned import PlanOptions, run_plan
from training.ablation.variant import Ablation, run_variant
from training.data.clips import load_clips
from training.losses.afd import AFD
from training.model.uvm3tl import SIZES
from training.trainer.config import TrainConfig
from workshop.aide_splits import read_split, split_digest
from workshop.artifacts import add_line, provenance, write_text
from workshop.command import command
from workshop.statistics import student_half

RUNS, TABLE = "runs.jsonl", "table.md"
SINGLE = "single"  # variants "single <task>" are one row of the table: each task's accuracy from its own model
PLAIN: dict[str, Any] = {"weighting": "equal", "beta": 0.0}


def variant(family: str, name: str, *, loss: Any = None, dbscme: Any = None, model: Any = None) -> Ablation:
    return Ablation(name=name, family=family, loss=loss or {}, dbscme=dbscme or {}, model=model or {})


# In each family the first is what the others are compared with. AFD: the default when these ran.
VARIANTS = (
    variant("loss", "equal weights", loss=PLAIN),
    variant("loss", "AFD", loss=AFD),
    variant("loss", "DWA = AFD without decoupling", loss=AFD | {"beta": 0.0}),
    variant("loss", "equal weights and decoupling", loss=AFD | {"weighting": "equal"}),
    variant("loss", "AFD, Gram decoupling", loss=AFD | {"decoupling": "gram"}),
    variant("loss", "AFD, difference decoupling", loss=AFD | {"decoupling": "difference"}),
    variant("loss", "uncertainty", loss={"weighting": "uncertainty", "beta": 0.0}),
    variant("loss", "GradNorm", loss={"weighting": "gradnorm", "beta": 0.0}),
    variant("loss", "FAMO", loss={"weighting": "famo", "beta": 0.0}),
    variant("loss", "GLS", loss={"weighting": "gls", "beta": 0.0}),
    variant("joint or single", "AFD", loss=AFD),
    *(variant("joint or single", f"{SINGLE} {task}", loss=PLAIN | {"tasks": (task,)}) for task in AIDE.names),
    variant("DB-SCME", "AFD", loss=AFD),
    variant("DB-SCME", "shared branch only", loss=AFD, dbscme={"branches": "shared"}),
    variant("DB-SCME", "specific branches only", loss=AFD, dbscme={"branches": "specific"}),
    variant("DB-SCME", "off", loss=AFD, dbscme={"branches": "none"}),
    variant("streams", "AFD", loss=AFD),
    *(variant("streams", f"without {view}", loss=AFD, model={"streams_off": (view,)}) for view in VIEWS),
    variant("streams", "without face and body", loss=AFD, model={"streams_off": ("face", "body")}),
    variant("streams", "without joints", loss=AFD, model={"streams_off": JOINTS}),
)
FAMILIES = tuple(dict.fromkeys(some.family for some in VARIANTS))


def missing(variants: Iterable[Ablation], seeds: Sequence[int], rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    """(variant, seed) still to run, seed by seed, so that a stop leaves whole seeds. A name is run once."""
    done = {(row["variant"], row["seed"]) for row in rows}
    once = {some.name: some for some in variants}
    return [(some, seed) for seed in seeds for some in once.values() if (some.name, seed) not in done]


def collected(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[int, dict[str, float]]]:
    """Row of the table -> seed -> task -> accuracy; single-task models become one row."""
    found: dict[str, dict[int, dict[str, float]]] = {}
    for row in rows:
        name = SINGLE if row["variant"].startswith(f"{SINGLE} ") else row["variant"]
        found.setdefault(name, {}).setdefault(row["seed"], {}).update(row["accuracy"])
    whole = {
        name: {seed: tasks for seed, tasks in seeds.items() if len(tasks) == len(AIDE.names)}
        for name, seeds in found.items()
    }
    return {name: seeds for name, seeds in whole.items() if seeds}


def difference(these: Mapping[int, float], those: Mapping[int, float]) -> tuple[float, float] | None:
    """Mean of these - those over common seeds, and half of its 95 % interval (Student's t, paired by seed)."""
    seeds = sorted(these.keys() & those.keys())
    if len(seeds) < 2:
        return None
    gaps = [these[seed] - those[seed] for seed in seeds]
    return float(np.mean(gaps)), student_half(gaps)


def verdict(gap: tuple[float, float] | None) -> str:
    if gap is None:
        return "one seed only"
    mean, half = gap
    if abs(mean) <= half:
        return "no difference shown"
    return "better" if mean > 0 else "worse"


def tables(rows: Sequence[Mapping[str, Any]]) -> str:
    """The comparison for people, in Markdown: percent, mean +- standard deviation over seeds."""
    found, parts = collected(rows), []
    for family in FAMILIES:
        names = list(dict.fromkeys(_row(some.name) for some in VARIANTS if some.family == family))
        names = [name for name in names if name in found]
        if len(names) < 2:
            continue
        titles = [AIDE[task].title for task in AIDE.names]
        parts += [
            f"### {family}",
            "",
            f"| variant | seeds | {' | '.join(titles)} | mean | against {names[0]} | verdict |",
        ]
        parts.append("|---" * (len(titles) + 5) + "|")
        reference = {seed: mean_of(tasks) for seed, tasks in found[names[0]].items()}
        for name in names:
            means = {seed: mean_of(tasks) for seed, tasks in found[name].items()}
            gap = difference(means, reference) if name != names[0] else None
            cells = [spread([tasks[task] for tasks in found[name].values()]) for task in AIDE.names]
            against = "" if gap is None else f"{100 * gap[0]:+.1f} +- {100 * gap[1]:.1f}"
            said = "reference" if name == names[0] else verdict(gap)
            columns = [name, str(len(means)), *cells, spread(list(means.values())), against, said]
            parts.append(f"| {' | '.join(columns)} |")
        parts.append("")
    return "\n".join(parts)


def _row(name: str) -> str:
    return SINGLE if name.startswith(f"{SINGLE} ") else name


def mean_of(tasks: Mapping[str, float]) -> float:
    return sum(tasks.values()) / len(tasks)


def spread(values: Sequence[float]) -> str:
    deviation = f" +- {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):.1f}{deviation}"


def read_rows(path: Path, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Runs done before. The first line says on what: other settings are an error, for they would not compare."""
    if not path.is_file():
        return []
    head, *rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    different = [name for name, value in settings.items() if head["settings"].get(name) != value]
    if different:
        raise ConfigError(f"{path} was made with another {', '.join(different)}; give --out another folder")
    return rows


def ablate(
    data: Path,
    out: Path,
    config: TrainConfig,
    seeds: Sequence[int],
    families: Sequence[str],
    say: Callable[[str], None],
    cache: Path | None = None,
    train_clips: int | None = None,
    names: Sequence[str] = (),
) -> str:
    """Run what is missing, and return the tables. Whatever was run stays, however this ends.

    cache: folder of `training.data cache`. train_clips: learn from the first so many of the training split; None: all.
    names: of variants, where not all of the families are wanted.
    """
    if train_clips is not None and train_clips < 1:
        raise ConfigError(f"--train-clips {train_clips}: expected 1 or more")
    variants = [some for some in VARIANTS if some.family in families and (not names or some.name in names)]
    refs = {"train": read_split(data, "train")[:train_clips], "test": read_split(data, "test")}
    settings = {
        "size": config.size,
        "epochs": config.epochs,
        "clips": {split: len(some) for split, some in refs.items()},
        "clips_sha256": {split: split_digest(some) for split, some in refs.items()},
    }
    out.mkdir(parents=True, exist_ok=True)
    rows = read_rows(out / RUNS, settings)
    todo = missing(variants, seeds, rows)
    if todo:
        sizes, task_set = SIZES[config.size], AIDE
        bars = {s: lambda items, s=s: tqdm(items, total=len(refs[s]), desc=f"decode {s}", disable=None) for s in refs}
        clips = {split: load_clips(some, sizes, task_set, bars[split], cache=cache) for split, some in refs.items()}
    if not (out / RUNS).is_file():
        head = {"settings": settings, "machine": describe_machine(), **provenance(("torch",), None)}
        add_line(out / RUNS, head)
    for number, (some, seed) in enumerate(todo, start=1):
        say(f"{number}/{len(todo)} {some.name}, seed {seed}")
        rows.append(run_variant(some, seed, clips, config, SIZES[config.size]))
        add_line(out / RUNS, rows[-1])
    text = heading(settings, seeds) + tables(rows)
    write_text(out / TABLE, text)
    return text


def heading(settings: Mapping[str, Any], seeds: Sequence[int]) -> str:
    clips = settings["clips"]
    return (
        f"Size {settings['size']}, {settings['epochs']} epochs, {clips['train']} training and {clips['test']} test "
        f"clips of synthetic footage, seeds {', '.join(map(str, seeds))}. Accuracy in percent, mean +- standard "
        "deviation over seeds; the difference with its 95 % interval, paired by seed.\n\n"
    )


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.ablate",
        description="Train variants of the method on several seeds, and compare them.",
        epilog="example: python -m training.ablate docs/ablation/afd/plan.toml --cache out/cache",
    )
    parser.add_argument(
        "plan", type=Path, nargs="?", metavar="PLAN", help="a TOML file; its rows and table lie beside it"
    )
    parser.add_argument(
        "--minutes", type=float, default=math.inf, metavar="M", help="of a plan: no run begins after so many"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="of a plan: only say what is missing and how long it takes"
    )
    parser.add_argument("--arm", action="append", metavar="NAME", help="of a plan: only this one; repeat for several")
    parser.add_argument("--data", type=Path, help="data set in AIDE's layout; a plan that draws its footage needs none")
    parser.add_argument("--out", type=Path, help="without a plan: folder for runs.jsonl and table.md")
    parser.add_argument("--size", choices=SIZES, default="tiny")
    parser.add_argument("--epochs", type=int, default=12)
    known = sorted({some.name for some in VARIANTS})
    parser.add_argument("--variant", action="append", choices=known, metavar="NAME", help=f"repeat: {', '.join(known)}")
    parser.add_argument("--cache", type=Path, help="folder made by `training.data cache`: nothing is decoded again")
    parser.add_argument("--train-clips", type=int, help="learn from the first so many training clips; all if not given")
    parser.add_argument("--seeds", type=int, nargs="+", help="default: the plan's, or 0 1 2")
    parser.add_argument("--family", action="append", choices=FAMILIES, help="repeat for several; all if not given")
    return parser


@command("training.ablate", stopped="the same command goes on: runs that ended stay")
def main(argv: Sequence[str] | None = None) -> int:
    args = make_parser().parse_args(argv)
    if args.plan:
        ways = PlanOptions(
            data=args.data,
            cache=args.cache,
            seeds=args.seeds or (),
            arms=args.arm or (),
            minutes=args.minutes,
            dry=args.dry_run,
        )
        sys.stdout.write(run_plan(args.plan, ways) + "\n")
        return 0
    if not args.out or not args.data:
        raise ConfigError("expected a PLAN, or --data and --out")
    config = TrainConfig(size=args.size, epochs=args.epochs, validate_every=args.epochs)
    text = ablate(
        args.data,
        args.out,
        config,
        args.seeds or [0, 1, 2],
        args.family or FAMILIES,
        lambda line: tqdm.write(line, sys.stderr),
        args.cache,
        args.train_clips,
        args.variant or (),
    )
    sys.stdout.write(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
