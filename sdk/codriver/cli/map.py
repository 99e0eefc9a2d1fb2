"""`codriver map`: which answer goes to which signal, whether that is right, and what a drive would send."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from shutil import copy

from codriver.buses.dbc import CanEncoder, CanFrame
from codriver.cli.shared import Commands, add_command
from codriver.console import put, table
from codriver.errors import ConfigError
from codriver.mapping.alerts import AlertState, advance, read_alerts
from codriver.mapping.fields import Moment, percept_fields
from codriver.mapping.recorded import percept_of
from codriver.mapping.signals import BUSES, BusMap, read_map
from codriver.mapping.toml_file import found
from codriver.recording.reader import RecordedStep, Recording

EXAMPLE = """examples:
  codriver map can                        the table; also vss, ros2, android, or a file of yours: docs/buses.md
  codriver map can --copy mine            a copy to change, with its DBC
  codriver map mine/can.toml --check      is it right? if not, exit code 2, file, key and what may stand there
  codriver map can --drive drive          what the bus would see of a recording, as candump writes it
  codriver map --fields                   all that a map may name"""


def add(commands: Commands) -> None:
    parser = add_command(commands, "map", "show or check how answers go to a bus", EXAMPLE, run)
    parser.add_argument("map", nargs="?", metavar="MAP", help=f"a TOML file, or one of {', '.join(BUSES)}")
    parser.add_argument("--check", action="store_true", help="only say whether it is right")
    parser.add_argument("--copy", type=Path, metavar="DIR", help="write the map, the alerts and the files beside them")
    parser.add_argument("--alerts", default="alerts", metavar="FILE", help="when to alert; default: our examples")
    parser.add_argument("--drive", type=Path, metavar="RECORDING", help="print what its percepts would send")
    parser.add_argument("--speed-kmh", type=float, metavar="V", help="of that drive; default: nobody knows it")
    parser.add_argument("--fields", action="store_true", help="what a map may name")


def run(args: argparse.Namespace) -> int:
    policy = read_alerts(args.alerts)
    if args.fields or args.map is None:
        fields = percept_fields(policy).items()
        put("\n".join(table([[path, field.kind, ", ".join(field.texts)] for path, field in fields])))
        return 0
    bus_map = read_map(args.map, policy)
    encoder = CanEncoder(bus_map) if bus_map.config.bus == "can" else None
    if args.copy:
        _copy(bus_map, args.copy)
    elif args.drive:
        for step, moment in moments(bus_map, Recording(args.drive), args.speed_kmh):
            for line in _lines(bus_map, encoder, moment, step.stamp_ns(step.t) / 1e9):
                put(line)
    elif args.check:
        put(f"{bus_map.path}: right; {len(bus_map.signals)} signals of bus {bus_map.config.bus}")
    else:
        put("\n".join(table([_row(name, bus_map) for name in bus_map.config.signals])))
    return 0


def _copy(bus_map: BusMap, folder: Path) -> None:
    beside = [bus_map.path.parent / name for name in filter(None, (bus_map.config.dbc, bus_map.config.overlay))]
    for path in (bus_map.path, *beside, found("alerts")):
        if (folder / path.name).exists():
            raise ConfigError(f"{folder / path.name} is there already; give another folder")
        folder.mkdir(parents=True, exist_ok=True)
        put(str(copy(path, folder)))


def _row(name: str, bus_map: BusMap) -> list[str]:
    spec = bus_map.config.signals[name]
    invalid = "no value" if spec.invalid is None else json.dumps(spec.invalid)
    return [name, " + ".join(spec.source), spec.type or "", f"invalid: {invalid}", spec.doc]


def moments(bus_map: BusMap, drive: Recording, speed_kmh: float | None) -> Iterator[tuple[RecordedStep, Moment]]:
    """Each step of a recording, and what it means now."""
    state = AlertState()
    for step in drive.steps():
        percept = percept_of(step.percept)
        state = advance(bus_map.policy, state, percept, speed_kmh)
        yield step, Moment(percept, state.alert)


def _lines(bus_map: BusMap, encoder: CanEncoder | None, moment: Moment, t: float) -> Iterator[str]:
    if encoder is None:
        yield json.dumps({"t": t, **bus_map.values(moment)}, allow_nan=False)
    else:
        yield from (candump_line(t, frame) for frame in encoder.frames(moment))


def candump_line(t: float, frame: CanFrame) -> str:
    """As `candump -L` writes it, and `cantools decode` and `canplayer` read it."""
    digits, mark = 8 if frame.extended else 3, "##0" if frame.fd else "#"
    return f"({t:017.6f}) can0 {frame.id:0{digits}X}{mark}{frame.data.hex().upper()}"
