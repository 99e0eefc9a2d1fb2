"""`codriver run`: look at footage or cameras, answer, and draw."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from codriver.bundle.loader import COLORS
from codriver.bundle.manifest import tasks_of
from codriver.capture.told import told_of
from codriver.cli.shared import Commands, add_bundle, add_command, open_perceiver, positive
from codriver.cli.steps import steps
from codriver.cli.stopping import KILLED, PIPE, Stop, Stopped
from codriver.cli.watching import add_watching, watchers
from codriver.console import Progress, leave_stdout, put, say, table
from codriver.dense.results import DenseResult
from codriver.device.machine import summarise_ms
from codriver.errors import SourceError
from codriver.files.atomic import check_output, whole_text
from codriver.perceiver import Perceiver
from codriver.percept import Percept
from codriver.recording.writer import IMAGES, Recorder, RecorderConfig
from codriver.sources import FORMS, Cameras, FrameSet, Source, open_source
from codriver.tasks import AIDE
from codriver.view import About, LiveView, Record, draw_sheet
from codriver.view.dense import told
from codriver.view.media import video_file, write_image

EXAMPLE = """examples:
  codriver run demo.bundle --source AIDE_Dataset/0001 --view 0001.mp4 --sheet 0001.png --out 0001.jsonl
  codriver run demo.bundle --source front=a.mp4,incar=b.mp4 | jq .tasks.driver_behavior.label
  codriver run demo.bundle --source incar=0,front=1        until Ctrl-C, SIGTERM or SIGHUP"""
NOT_SEEN = ("masked", "late", "early", "duplicate", "out_of_order", "rejected", "failed")  # of ViewCounts
Sink = Callable[[FrameSet, Percept], object]


def add(commands: Commands) -> None:
    parser = add_command(commands, "run", "answer on footage or live cameras", EXAMPLE, run)
    add_bundle(parser)
    parser.add_argument("--source", required=True, metavar="S", help=FORMS)
    parser.add_argument("--out", default="-", metavar="FILE", help="percepts as JSON lines; default: stdout")
    parser.add_argument("--view", type=Path, metavar="MP4", help="video of the cameras and the answers")
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="one picture of the whole run")
    parser.add_argument("--record", type=Path, metavar="DIR", help="frames and percepts as MCAP; see `codriver replay`")
    parser.add_argument(
        "--record-images", choices=IMAGES, default="png", help="jpeg and none cannot be replayed exactly"
    )
    parser.add_argument("--record-width", type=positive, metavar="PX", help="scale wider pictures down to this")
    parser.add_argument("--record-mb", type=positive, default=1000, metavar="N", help="of DIR; the oldest goes (1000)")
    add_watching(parser)
    parser.add_argument("--limit", type=positive, metavar="N", help="stop after N steps")
    parser.add_argument("--color", choices=COLORS, default="bgr", help="rgb: red and blue are swapped")
    parser.add_argument("--strict", action="store_true", help="stop at a frame of a clip that cannot be read")
    parser.add_argument("--json", action="store_true", help="the summary on stderr as JSON")


def run(args: argparse.Namespace) -> int:
    _check(args)
    opened = open_source(args.source, strict=args.strict)
    # A live run is ended by a signal, with all its files complete. A recording that is stopped leaves none.
    with opened as source, open_perceiver(args, args.color) as perceiver, args.stop.finishing(source.live):
        manifest = perceiver.manifest
        mapped = manifest.dense.view if manifest.dense else None
        record = Record(tasks_of(manifest), manifest.views, args.color == "rgb", mapped)
        with ExitStack() as stack:
            sinks = [record.add, *_sinks(args, source, perceiver, stack)]
            skipped = _run(args, source, perceiver, sinks)
            if record.last is None:
                raise SourceError(f"source {source.name}: all {skipped} instants came without a frame")
        if args.sheet:
            about = About(title=source.name, truth=source.truth, problems=len(source.problems))
            write_image(args.sheet, draw_sheet(record, about))
        summary = _summary(record, source, perceiver)
    say(json.dumps(summary) if args.json else "\n".join(_lines(summary, record.last.dense)))
    return KILLED + PIPE if args.stop.asked == PIPE else 0


def _run(args: argparse.Namespace, source: Source, perceiver: Perceiver, sinks: list[Sink]) -> int:
    """Step through the source, handing each percept to every sink; return how many instants held no frame."""
    skipped, count = 0, 0
    with Progress(source.name, args.limit or source.length) as progress:
        for at, percept in steps(source, perceiver):
            if args.stop.asked:
                break
            if percept is None:
                skipped += 1
                continue
            for sink in sinks:
                sink(at, percept)
            progress.step()
            count += 1
            if count == args.limit:
                break
    if args.stop.asked and not count:
        raise Stopped(args.stop.asked)
    return skipped


def _sinks(args: argparse.Namespace, source: Source, perceiver: Perceiver, stack: ExitStack) -> Iterator[Sink]:
    """Whatever wants each percept; the stack finishes their files, or removes them."""
    if args.out == "-":
        yield lambda at, percept: _put(json.dumps(percept.to_dict(), allow_nan=False), source, args.stop)
    else:
        write = stack.enter_context(whole_text(Path(args.out)))
        yield lambda at, percept: write(json.dumps(percept.to_dict(), allow_nan=False) + "\n")
    if args.record:
        kept: dict[str, Any] = {"images": args.record_images, "width_px": args.record_width, "limit_mb": args.record_mb}
        config = RecorderConfig(**kept, live=source.live)
        recorder = stack.enter_context(Recorder(args.record, perceiver, config))
        views = perceiver.manifest.views
        yield lambda at, percept: recorder.add({v: f for v, f in at.frames.items() if v in views}, at.driver, percept)
    watching = list(watchers(args, perceiver, stack))
    yield lambda at, percept: [watch(percept) for watch in watching]
    if args.view:
        length_s = 10.0 if source.length is None else source.length / source.rate_hz
        history_s = min(max(length_s, 3.0), 10.0)
        manifest = perceiver.manifest
        mapped = manifest.dense.view if manifest.dense else None
        view = LiveView(tasks_of(manifest), manifest.views, history_s, args.color == "rgb", mapped)
        video = stack.enter_context(video_file(args.view, source.rate_hz))
        yield lambda at, percept: video.add(view.render(at, percept))


def _put(line: str, source: Source, stop: Stop) -> None:
    """A reader that goes away ends a live run as a signal does."""
    try:
        put(line)
    except BrokenPipeError:
        if not source.live:
            raise
        leave_stdout()
        stop.asked = PIPE


def _check(args: argparse.Namespace) -> None:
    out = None if args.out == "-" else Path(args.out)
    for path, suffixes in ((args.view, (".mp4",)), (args.sheet, (".png", ".jpg")), (out, ())):
        if path is not None:
            check_output(path, suffixes)


def _summary(record: Record, source: Source, perceiver: Perceiver) -> dict[str, Any]:
    assert record.last is not None
    last = record.last.to_dict()["tasks"]
    return {
        "source": source.name,
        "bundle": perceiver.manifest.id,
        "variant": perceiver.variant,
        "steps": record.steps,
        "span_s": round(record.span_s, 3),
        "states": dict(record.states),
        "tasks": {name: {**result, "truth": source.truth.get(name)} for name, result in last.items()},
        "dense": record.last.to_dict()["dense"],
        "latency_ms": {stage: summarise_ms(values) for stage, values in record.latency_ms.items()},
        "clocks": {view: status.clock for view, status in record.last.views.items() if status.clock},
        "frames": perceiver.stats().to_dict()["views"],
        "cameras": {v: asdict(c) for v, c in source.counts().items()} if isinstance(source, Cameras) else {},
        "problems": list(source.problems),
    }


def _lines(summary: dict[str, Any], dense: Mapping[str, DenseResult]) -> list[str]:
    """The summary for people. dense: the last maps and boxes."""
    states = ", ".join(f"{state} {count}" for state, count in summary["states"].items())
    head = f"{summary['source']}: {summary['steps']} steps, {summary['span_s']:.2f} s ({states})"
    rows = [[f"  {_title(name)}", *_answer(result)] for name, result in summary["tasks"].items()]
    rows += [[f"  {name}", told(result), "", ""] for name, result in dense.items()]
    total = summary["latency_ms"]["total"]
    times = ", ".join(f"{name} {value:.1f}" for name, value in total.items())
    lines = [head, *table(rows), f"  latency ms: {times}   {summary['bundle']} {summary['variant']}"]
    lines += [f"  {line}" for line in told_of(summary["clocks"], summary["cameras"])]
    lines += _lost_frames(summary["frames"])
    problems = summary["problems"]
    lines += [f"  problem: {problem}" for problem in problems[:5]]
    return [*lines, f"  and {len(problems) - 5} more problems"] if len(problems) > 5 else lines


def _lost_frames(views: dict[str, dict[str, int]]) -> list[str]:
    """Of each view whose frames were not all looked at: how many, and why."""
    lines = []
    for view, counts in views.items():
        reasons = [f"{counts[why]} {why}" for why in NOT_SEEN if counts[why]]
        if reasons:
            lines.append(f"  {view}: {counts['processed']} of {counts['input']} frames looked at, {', '.join(reasons)}")
    return lines


def _title(task: str) -> str:
    return AIDE[task].title if task in AIDE.names else task


def _answer(result: dict[str, Any]) -> list[str]:
    if result["index"] is None:  # invalid, or unknown
        return [result["label"] or "-", "", result["reason"]]
    truth = result["truth"]
    said = "" if truth is None else "as labelled" if truth == result["label"] else f"labelled {truth}"
    return [result["label"], f"{result['probability'] * 100:.0f} %", said]
