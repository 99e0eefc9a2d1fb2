"""A benchmark's whole line on footage, and a verdict: does the model beat answers that look little, or not at all?

    python -m training.benchmark cityscapes --work out/city --out out/verdicts

Draws footage in the benchmark's own layout, checks it, trains size toy and evaluates, each by its own command. Started
again, it goes on where it stopped. OUT/NAME.json and NAME.md hold each task's score with its 95 % interval over
pictures, beside the constant answer's and the linear probe's. Exit code 1 if there is a task on which the model is not
ahead of both by more than the difference's own interval.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from codriver.device.machine import describe_machine
from training import evaluate, synth, train
from training.data import __main__ as data
from training.dense.evaluate import REPORT
from training.dense.scores import written
from training.trainer.checkpoint import MARKER
from workshop.artifacts import add_line, git_commit, write_json, write_text
from workshop.command import command

STEPS = "steps.jsonl"
OTHERS = {"without_looking": "constant", "linear_probe": "linear probe"}  # of an evaluation's report
LEFT = {
    "synth": "data/dataset.json",
    "train": f"run/{MARKER}",
    "evaluate": f"evaluation/{REPORT}",
}  # by steps that ended
SEED = "3"
LOSS = ["--weighting", "dwa", "--decoupling", "cosine"]  # of the verdicts in docs/training/benchmarks; not the default


@dataclass(frozen=True)
class Recipe:
    """Settings of size toy with which the line takes less than ten minutes of two cores."""

    clips: int
    width: int  # of the footage, as height
    height: int
    epochs: int
    batch: int = 8


RECIPES = {
    "bdd100k": Recipe(clips=250, width=320, height=180, epochs=15),
    "cityscapes": Recipe(clips=250, width=512, height=256, epochs=12),
    "nyudv2": Recipe(clips=80, width=320, height=240, epochs=15),
    "pascal-context": Recipe(clips=250, width=320, height=224, epochs=12),
}


def commands(name: str, work: Path) -> dict[str, tuple[Callable[[Sequence[str]], int], list[str]]]:
    """Step -> its command and arguments."""
    recipe, files, run = RECIPES[name], str(work / "data"), str(work / "run")
    size = ["--width", str(recipe.width), "--height", str(recipe.height)]
    epochs = ["--epochs", str(recipe.epochs), "--batch", str(recipe.batch), "--validate-every", str(recipe.epochs)]
    return {
        "synth": (synth.main, [files, "--layout", name, "--clips", str(recipe.clips), "--seed", SEED, *size]),
        "check": (data.main, ["check", files]),
        "train": (train.main, ["--task-set", name, "--data", files, "--out", run, *epochs, *LOSS, "--resume"]),
        "evaluate": (evaluate.main, [run, "--data", files, "--out", str(work / "evaluation")]),
    }


def spent_s() -> float:
    """Processor seconds of this process and of those that it waited for."""
    return sum(os.times()[:4])


def run_steps(name: str, work: Path) -> list[dict[str, Any]]:
    """Run what is missing; returns a line a step that was run. One that fails ends it with its own exit code."""
    work.mkdir(parents=True, exist_ok=True)
    log = work / STEPS
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []
    for step, (main_of_step, arguments) in commands(name, work).items():
        if (work / LEFT[step]).is_file() if step in LEFT else any(line["step"] == step for line in lines):
            continue
        wall, spent = time.perf_counter(), spent_s()
        code = main_of_step(arguments)
        if code:
            sys.exit(code)
        took = {"wall_s": round(time.perf_counter() - wall, 1), "processor_s": round(spent_s() - spent, 1)}
        lines.append({"step": step, **took, "git_commit": git_commit()})
        add_line(log, lines[-1])
    return lines


def verdict(report: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Task -> its chosen score of model and others, each with its interval, how far ahead the model is, `beats`."""
    found = {}
    for task, mine in report["tasks"].items():
        name = mine["chosen_by"]
        scores = {"model": mine, **{said: report[other][task] for other, said in OTHERS.items()}}
        rows = {who: {"score": some["scores"][name], "interval": some["interval"]} for who, some in scores.items()}
        ahead = {said: report["ahead"][other][task] for other, said in OTHERS.items()}
        beats = all(low > 0 for low, _ in ahead.values())
        found[task] = {"score": name, **rows, "ahead": ahead, "beats": beats}
    return found


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """For people, in Markdown."""
    titles = [
        "task",
        "score",
        "model",
        *OTHERS.values(),
        *(f"ahead of {said}" for said in OTHERS.values()),
        "beats both",
    ]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for task, row in found.items():
        name = row["score"]
        cells = [told(name, row[who]["score"], row[who]["interval"]) for who in ("model", *OTHERS.values())]
        cells += [between(name, row["ahead"][said]) for said in OTHERS.values()]
        lines.append(f"| {' | '.join([task, name, *cells, 'yes' if row['beats'] else 'NO'])} |")
    return "\n".join(lines)


def told(name: str, value: float, interval: Sequence[float]) -> str:
    return f"{written(name, value)} [{between(name, interval)}]"


def between(name: str, interval: Sequence[float]) -> str:
    return " to ".join(written(name, side) for side in interval)


@command("training.benchmark", stopped="the same command goes on: steps that ended stay")
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.benchmark",
        description="Footage, check, training and evaluation of a benchmark, and whether the model beats baselines.",
        epilog="example: python -m training.benchmark cityscapes --work out/city --out out/verdicts",
    )
    parser.add_argument("name", choices=tuple(RECIPES))
    parser.add_argument("--work", type=Path, required=True, help="folder for footage, run and evaluation")
    parser.add_argument("--out", type=Path, required=True, help="folder for NAME.json and NAME.md")
    parser.add_argument("--json", action="store_true", help="print what NAME.json holds")
    args = parser.parse_args(argv)
    steps = run_steps(args.name, args.work)
    report = json.loads((args.work / "evaluation" / REPORT).read_text(encoding="utf-8"))
    found = verdict(report)
    told_of = {key: report[key] for key in ("created", "tools", "split", "pictures")}
    whole = {
        "recipe": asdict(RECIPES[args.name]),
        "machine": describe_machine(),
        **told_of,
        "steps": steps,
        "tasks": found,
    }
    lost = [task for task, row in found.items() if not row["beats"]]
    said = f"not ahead of both: {', '.join(lost)}" if lost else "ahead of both on every task"
    took = ", ".join(f"{line['step']} {line['wall_s']:.0f} ({line['processor_s']:.0f})" for line in steps)
    text = f"{table(found)}\n\n{said}; seconds (of the processor): {took}\n"
    args.out.mkdir(parents=True, exist_ok=True)
    write_json(args.out / f"{args.name}.json", whole)
    write_text(args.out / f"{args.name}.md", text)
    sys.stdout.write(json.dumps(whole) + "\n" if args.json else text)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
