"""Run a plan: what is missing, seed by seed, each row written as it comes; and how long that will take."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from codriver.device.machine import describe_machine
from codriver.errors import ConfigError
from training.ablation.footage import Footage, plan_footage, spoilt
from training.ablation.plan import AblationPlan, read_plan
from training.ablation.report import report
from training.ablation.variant import Ablation, run_variant
from training.ablation.verdict import power_statement
from workshop.artifacts import add_line, git_commit, write_text

RUNS, TABLE = "runs.jsonl", "table.md"
KERNELS = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA")  # who sets them makes torch round as another processor does
Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """How to run a plan, as far as no row depends on it."""

    data: Path | None = None  # of a plan that reads its footage
    cache: Path | None = None  # folder of decoded clips: nothing is decoded again
    seeds: Sequence[int] = ()  # instead of the plan's: further ones, for example
    arms: Sequence[str] = ()  # of these alone; all if empty
    minutes: float = math.inf  # no run begins after so many; 0: only the table anew, and no footage is drawn
    dry: bool = False  # only say what is there, what is missing and how long it will take


def run_plan(path: Path, options: PlanOptions) -> str:
    """Run what is missing and return the report; whatever was run stays, however this ends."""
    plan, here = read_plan(path), machine()
    footage = plan_footage(plan.footage, options.data, plan.model)
    rows = read_rows(path.with_name(RUNS), footage.digest, plan.digests)
    todo = missing(chosen(plan.arms, options.arms), options.seeds or plan.seeds, rows, here)
    tqdm.write(f"{power_statement(plan)}\n{len(todo)} runs to go, {forecast(plan, rows, todo, here)}", sys.stderr)
    if options.dry:
        return report(plan, rows)
    if todo and options.minutes > 0:
        _run(todo, plan, footage, path, options)
        rows = read_rows(path.with_name(RUNS), footage.digest, plan.digests)  # with those of a process beside this one
    text = report(plan, rows)
    write_text(path.with_name(TABLE), text + "\n")
    return text


def _run(
    todo: Sequence[tuple[Ablation, int]], plan: AblationPlan, footage: Footage, path: Path, options: PlanOptions
) -> None:
    """Each row is added as it comes."""
    started = time.monotonic()
    bars = lambda kind, items: tqdm(items, desc=kind, total=footage.counts[kind], unit="clip", disable=None)  # noqa: E731
    clips = footage.clips(options.cache, bars)
    clips["train"] = spoilt(clips["train"], plan.footage)
    about = {"machine": machine(), "clips": footage.digest, "git_commit": git_commit()}
    for number, (arm, seed) in enumerate(todo, start=1):
        if time.monotonic() - started > 60 * options.minutes:
            tqdm.write(f"stopped after {options.minutes:g} minutes; the same command goes on", sys.stderr)
            break
        tqdm.write(f"{number}/{len(todo)} {arm.name}, seed {seed}", sys.stderr)
        run = run_variant(arm, seed, clips, plan.train, plan.model, plan.augment)
        add_line(path.with_name(RUNS), run | about | {"settings": plan.digests[arm.name]})


def machine() -> str:
    """Runs pair within one: elsewhere, and by other kernels, the same seed rounds otherwise and is another run."""
    known = describe_machine()
    forced = [f"{name}={os.environ[name]}" for name in KERNELS if name in os.environ]
    return ", ".join([str(known["cpu"]), str(known["system"]), f"torch {torch.__version__}", *forced])


def read_rows(path: Path, clips: str, settings: Mapping[str, str]) -> list[Row]:
    """Runs done before; other clips than these, or an arm that was run otherwise, are an error: they do not compare."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    rows = [json.loads(line) for line in text.splitlines()]
    if any(row["clips"] != clips for row in rows):
        raise ConfigError(
            f"{path}: its runs saw other clips than these; make the data set as the plan says, or draw with the code "
            "that drew them"
        )
    changed = {row["variant"] for row in rows if row.get("settings") != settings.get(row["variant"])}
    if changed:
        raise ConfigError(
            f"{path}: the plan says otherwise now of {', '.join(sorted(changed))}; put it back, or begin anew"
        )
    return rows


def chosen(arms: Sequence[Ablation], names: Sequence[str]) -> list[Ablation]:
    known = [arm.name for arm in arms]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(f"the plan has no arm {', '.join(unknown)}; expected one of {', '.join(known)}")
    return [arm for arm in arms if not names or arm.name in names]


def missing(
    arms: Sequence[Ablation], seeds: Sequence[int], rows: Sequence[Row], here: str
) -> list[tuple[Ablation, int]]:
    """(arm, seed) still to run, seed by seed, so that a stop leaves whole seeds. Whole on any one machine is done."""
    done = {(row["machine"], row["seed"], row["variant"]) for row in rows}
    machines = {machine for machine, _, _ in done}
    whole = {s for s in seeds if any(all((m, s, arm.name) in done for arm in arms) for m in machines)}
    return [(arm, s) for s in seeds if s not in whole for arm in arms if (here, s, arm.name) not in done]


def forecast(plan: AblationPlan, rows: Sequence[Row], todo: Sequence[tuple[Ablation, int]], here: str) -> str:
    """From this machine's own runs of each arm; before there are any, from the plan's pilot."""
    own = [row for row in rows if row["machine"] == here]
    slowed = float(np.median([row["seconds"] / row["busy_s"] for row in own])) if own else 1.0
    cost: dict[str, float] = {
        arm.name: float(np.median([r["busy_s"] for r in own if r["variant"] == arm.name] or [plan.busy_s]))
        for arm in plan.arms
    }
    busy = sum(cost[arm.name] for arm, _ in todo)
    return (
        f"about {busy / 60:.0f} minutes of one core, {slowed * busy / 60:.0f} on the clock as busy as the machine was"
    )
