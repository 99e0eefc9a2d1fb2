"""`codriver bench`: how long a step takes here, stage by stage."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from codriver.bundle.manifest import Manifest
from codriver.cli.shared import Commands, add_bundle, add_command, open_perceiver, positive
from codriver.console import Progress, put_result, table
from codriver.device.cpu import default_threads
from codriver.device.machine import PERCENTILES, describe_machine, runtime_version, summarise_ms
from codriver.errors import ConfigError
from codriver.perceiver import Perceiver
from codriver.percept import Driver, Percept
from codriver.verify.timed_stream import RATE_HZ, Step, StepFloor, random_steps

EXAMPLE = """example:
  codriver bench demo.bundle --steps 500 --size 1920x1080 --threads 2"""
OVERHEAD_STEPS = 200
OVERHEAD = 1.25  # a step takes at most this times its engines and its resizing


def add(commands: Commands) -> None:
    parser = add_command(commands, "bench", "measure how long a step takes on this machine", EXAMPLE, run)
    add_bundle(parser)
    parser.add_argument("--steps", type=positive, default=200, metavar="N", help="measured ones (200)")
    parser.add_argument("--size", type=_size, default=(1280, 720), metavar="WxH", help="of a frame")
    parser.add_argument("--views", metavar="A,B", help="cameras that deliver; default: all of the bundle's")
    parser.add_argument("--json", action="store_true", help="the result as JSON")


def run(args: argparse.Namespace) -> int:
    with open_perceiver(args) as perceiver:
        manifest = perceiver.manifest
        views = _views(args.views, manifest)
        warm_up = math.ceil(manifest.context.span_s * RATE_HZ) + 5
        steps = random_steps(views, args.size, found=perceiver.bundle.finder is not None)
        with Progress("bench", warm_up + args.steps) as progress:
            for _ in range(warm_up):
                _step(perceiver, steps, progress)
            started_s = time.perf_counter()
            percepts = [_step(perceiver, steps, progress) for _ in range(args.steps)]
            took_s = time.perf_counter() - started_s
        result = _setting(args, perceiver, views) | {"warm_up_steps": warm_up} | _measured(percepts, took_s)
        few = min(args.steps, OVERHEAD_STEPS)
        result["overhead"] = _overhead(perceiver, steps, few)
        known = next(random_steps(views, args.size))[2]
        result["finder"] = (
            _finder(perceiver, steps, known, few) if perceiver.bundle.finder and "incar" in views else None
        )
    put_result(result, _lines(result), args.json)
    return 0


def _step(perceiver: Perceiver, steps: Iterator[Step], progress: Progress) -> Percept:
    percept = perceiver.step(*next(steps))
    progress.step()
    return percept


def _views(text: str | None, manifest: Manifest) -> tuple[str, ...]:
    views = tuple(text.split(",")) if text else manifest.views
    for view in views:
        if view not in manifest.views:
            known = ", ".join(manifest.views)
            raise ConfigError(f"--views: {view!r} is not in this bundle; expected some of {known}")
    return views


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and min(int(width), int(height)) >= 16):
        raise argparse.ArgumentTypeError(f"{text!r}: expected WIDTHxHEIGHT from 16x16 on, such as 1280x720")
    return int(width), int(height)


def _setting(args: argparse.Namespace, perceiver: Perceiver, views: tuple[str, ...]) -> dict[str, Any]:
    """All that a number depends on."""
    manifest = perceiver.manifest
    engine = perceiver.engine
    return {
        "bundle": manifest.id,
        "target": manifest.target,
        "variant": perceiver.variant,
        "engine": engine,
        "engine_version": runtime_version(engine),
        "threads": args.threads or default_threads(),
        "machine": describe_machine(),
        "frame_px": list(args.size),
        "views": list(views),
    }


def _measured(percepts: list[Percept], took_s: float) -> dict[str, Any]:
    times_ms = {stage: [step.latency_ms[stage] for step in percepts] for stage in percepts[0].latency_ms}
    return {
        "steps": len(percepts),
        "context": percepts[-1].context,
        "latency_ms": {stage: summarise_ms(values) for stage, values in times_ms.items()},
        "steps_per_s": round(len(percepts) / took_s, 2),
    }


def _overhead(perceiver: Perceiver, steps: Iterator[Step], count: int) -> dict[str, Any]:
    """The median step against the medians of its parts, in turns with it and on other frames, so that both find theirs
    in no cache."""
    totals_ms, parts_ms, floor = [], [], StepFloor(perceiver.bundle)
    for _ in range(count):
        frames, t, driver = next(steps)
        totals_ms.append(perceiver.step(frames, t, driver).latency_ms["total"])
        others, _, driver = next(steps)
        parts_ms.append(floor.ms(others, driver))
    medians = {name: float(np.median([parts[name] for parts in parts_ms])) for name in parts_ms[0]}
    total, ratio = float(np.median(totals_ms)), float(np.median(totals_ms)) / sum(medians.values())
    rounded = {name: round(value, 3) for name, value in medians.items()}
    verdict = {"ratio": round(ratio, 3), "at_most": OVERHEAD, "ok": ratio <= OVERHEAD}
    return {"step_ms": round(total, 3), "parts_ms": rounded, **verdict}


def _finder(perceiver: Perceiver, steps: Iterator[Step], known: Driver, count: int) -> dict[str, Any]:
    """Median steps that look for the driver and that are told where one is, in turns; what looking adds on average."""
    every_s = perceiver.manifest.finder.every_s if perceiver.manifest.finder else 0.0
    looking_ms, told_ms, looked_s = list[float](), list[float](), -math.inf
    while len(looking_ms) < count:
        frames, t, driver = next(steps)
        due = t - looked_s >= every_s and len(told_ms) > len(looking_ms)
        looked_s = t if due else looked_s
        times_ms = looking_ms if due else told_ms
        times_ms.append(perceiver.step(frames, t, driver if due else known).latency_ms["total"])
    looking, told = float(np.median(looking_ms)), float(np.median(told_ms))
    added = (looking - told) / max(RATE_HZ * every_s, 1.0) / told
    step_ms = {"looking": round(looking, 3), "told": round(told, 3)}
    return {"step_ms": step_ms, "ratio": round(looking / told, 3), "every_s": every_s, "added": round(added, 3)}


def _lines(result: dict[str, Any]) -> list[str]:
    machine, context = result["machine"], f"context {result['context']:.0%} full"
    system = f"{machine['system']}, Python {machine['python']}"
    width, height = result["frame_px"]
    facts = [
        ["bundle", f"{result['bundle']}  variant {result['variant']}"],
        ["runtime", f"{result['engine']} {result['engine_version'] or ''}  {result['threads']} threads"],
        ["machine", f"{machine['cpu']}, {machine['cores']} cores, {system}"],
        ["frames", f"{', '.join(result['views'])} at {width}x{height}; decoding them is not in the times"],
        ["steps", f"{result['steps']} after {result['warm_up_steps']} of warm-up, {context}"],
    ]
    head = ["ms", *PERCENTILES]
    rows = [[stage, *(f"{ms:.2f}" for ms in times.values())] for stage, times in result["latency_ms"].items()]
    rate = f"{result['steps_per_s']:.1f} steps per second"
    overhead = result["overhead"]
    parts = " + ".join(f"{name} {ms:.2f}" for name, ms in overhead["parts_ms"].items())
    verdict = "ok" if overhead["ok"] else "over"
    ratio = f"{overhead['ratio']:.2f} times {parts} ms, in turns; at most {overhead['at_most']:g}: {verdict}"
    looks = [_looks(result["finder"])] if result["finder"] else []
    return [*table(facts), "", *table([head, *rows], numbers_from=1), "", rate, f"a step takes {ratio}", *looks]


def _looks(finder: dict[str, Any]) -> str:
    looking, told = finder["step_ms"]["looking"], finder["step_ms"]["told"]
    often = f"a look every {finder['every_s']:g} s adds {finder['added']:.0%} of a step on average"
    return f"a step that looks for the driver takes {looking:.2f} ms, one that is told {told:.2f}, in turns; {often}"
