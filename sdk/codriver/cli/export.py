"""`codriver export`: a recording in a form that others open."""

from __future__ import annotations

import argparse
from pathlib import Path

from codriver.buses.rosbag2 import Rosbag2
from codriver.cli.map import moments
from codriver.cli.shared import Commands, add_command
from codriver.console import Progress, put
from codriver.errors import ConfigError
from codriver.mapping.alerts import read_alerts
from codriver.mapping.signals import read_map

EXAMPLE = """example:
  codriver export drive --to rosbag2 --out drive.bag       rosbags, Foxglove and Rerun open it: docs/buses.md"""


def add(commands: Commands) -> None:
    parser = add_command(commands, "export", "write a recording in a form that others open", EXAMPLE, run)
    parser.add_argument("recording", type=Path, metavar="RECORDING", help="an .mcap file, or the folder of several")
    parser.add_argument("--to", required=True, choices=("rosbag2",), help="rosbag2: with MCAP inside")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder that is not there yet")
    parser.add_argument("--map", default="ros2", metavar="MAP", help="which answer is which topic: `codriver map ros2`")
    parser.add_argument("--alerts", default="alerts", metavar="FILE", help="when to alert; default: our examples")
    parser.add_argument("--speed-kmh", type=float, metavar="V", help="of that drive; default: nobody knows it")


def run(args: argparse.Namespace) -> int:
    bus_map = read_map(args.map, read_alerts(args.alerts))
    if bus_map.config.bus != "ros2":
        raise ConfigError(f"{bus_map.path}: bus is {bus_map.config.bus}, expected ros2")
    steps = 0
    with Rosbag2(args.out, bus_map) as bag, Progress(str(args.recording), None) as progress:
        for step, moment in moments(bus_map, args.recording, args.speed_kmh):
            bag.add(moment, {view: frame.image for view, frame in step.frames.items()})
            progress.step()
            steps += 1
    put(f"{args.out}: {steps} steps")
    return 0
