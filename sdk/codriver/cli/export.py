"""`codriver export`: a recording in a form that others open."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from codriver.buses.rosbag2 import Rosbag2
from codriver.cli.map import moments
from codriver.cli.shared import Commands, add_command, add_engine, open_perceiver
from codriver.console import Progress, put, say
from codriver.dense.results import DenseResult
from codriver.errors import ConfigError, SourceError
from codriver.files.atomic import check_output, whole_folder
from codriver.mapping.alerts import read_alerts
from codriver.mapping.signals import read_map
from codriver.recording.foxglove import to_foxglove
from codriver.recording.reader import RecordedStep, Recording

EXAMPLE = """examples:
  codriver export drive --to foxglove --out drive.mcap     pictures, what was found drawn over them: docs/recording.md
  codriver export drive --to foxglove --out drive.mcap --bundle road.bundle     and with its maps
  codriver export drive --to rosbag2 --out drive-ros2      rosbags, Foxglove and Rerun open it: docs/buses.md
times are the wall clock's if the drive was recorded live, else its own. What is there is never written over"""


def add(commands: Commands) -> None:
    parser = add_command(commands, "export", "write a recording in a form that others open", EXAMPLE, run)
    parser.add_argument("recording", type=Path, metavar="RECORDING", help="an .mcap file, or the folder of several")
    parser.add_argument("--to", required=True, choices=("foxglove", "rosbag2"), help="both are MCAP, one in a folder")
    parser.add_argument("--out", type=Path, required=True, metavar="NEW", help="foxglove: a file; rosbag2: a folder")
    parser.add_argument(
        "--bundle", type=Path, metavar="BUNDLE", help="foxglove: with its maps of the recorded pictures"
    )
    add_engine(parser)
    parser.add_argument("--map", default="ros2", metavar="MAP", help="rosbag2: which answer is which topic")
    parser.add_argument("--alerts", default="alerts", metavar="FILE", help="rosbag2: when to alert; default: examples")
    parser.add_argument("--speed-kmh", type=float, metavar="V", help="rosbag2: of that drive; default: nobody knows it")


def run(args: argparse.Namespace) -> int:
    if args.out.exists():
        raise ConfigError(f"{args.out}: is there already; give a name that is not")
    check_output(args.out, (".mcap",) if args.to == "foxglove" else ())
    recording = Recording(args.recording)
    steps = (_foxglove if args.to == "foxglove" else _rosbag2)(args, recording)
    for what in recording.cut:
        say(f"codriver: {what}: exported up to there")
    assert recording.about is not None
    if recording.about.images == "none":
        say("codriver: recorded without pictures: answers and events alone")
    own = recording.about.wall_offset_ns is None
    put(f"{args.out}: {steps} steps, times are {'its own: no live recording' if own else 'of the wall clock'}")
    return 0


def _foxglove(args: argparse.Namespace, recording: Recording) -> int:
    with ExitStack() as stack:
        if args.bundle is None:
            steps, placed = to_foxglove(recording, args.out)
        else:
            perceiver = stack.enter_context(open_perceiver(args, recording.color))
            if perceiver.manifest.dense is None:
                raise ConfigError(f"{args.bundle}: has no maps; leave --bundle out, or give one that has: docs/road.md")

            def maps_of(step: RecordedStep) -> Mapping[str, DenseResult]:
                if not step.complete:
                    raise SourceError(f"{recording.path}: recorded without pictures, so there are no maps of them")
                return perceiver.step(step.frames, step.t, step.driver).dense

            steps, placed = to_foxglove(recording, args.out, maps_of)
    if not placed:
        say("codriver: recorded with loss before codriver told how large its pictures were: nothing is drawn over them")
    return steps


def _rosbag2(args: argparse.Namespace, recording: Recording) -> int:
    if args.bundle is not None:
        raise ConfigError("--bundle is for --to foxglove: a rosbag2 holds what was recorded; leave it out")
    bus_map = read_map(args.map, read_alerts(args.alerts))
    if bus_map.config.bus != "ros2":
        raise ConfigError(f"{bus_map.path}: bus is {bus_map.config.bus}, expected ros2")
    steps = 0
    with (
        whole_folder(args.out) as part,
        Rosbag2(part, bus_map) as bag,
        Progress(str(args.recording), None) as progress,
    ):
        for step, moment in moments(bus_map, recording, args.speed_kmh):
            bag.add(moment, {view: step.bgr(view) for view in step.frames}, step.stamp_ns(step.t))
            progress.step()
            steps += 1
        if not steps:
            raise SourceError(f"{recording.path}: no whole step is in it; {'; '.join(recording.cut)}")
    return steps
