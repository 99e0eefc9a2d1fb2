"""What all that a step's answer goes to costs the thread of the steps: alerts, maps, CAN, VSS, ROS 2 and JSON lines.

python -m tests.measure_buses [STEPS]     600 take six minutes; tests/results/buses.txt is its output

Peers take everything, in a process of their own but for CAN's, whose bus is in this one. Between two steps the thread
sleeps and then writes to 64 MB, as a network would, so that caches are cold. CPU is that thread's own time; wall is
what a step waits, with whatever else the machine does. "Nothing" is a sink that does nothing: what the clocks cost
themselves, which is in every other row.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import can
import numpy as np

from codriver.buses.buses import Buses
from codriver.buses.config import BusesConfig, CanConfig, Ros2Config, VssConfig
from codriver.buses.publisher import Publisher
from codriver.device.machine import describe_machine, summarise_ms
from codriver.percept import Percept
from codriver.serve.lines import PerceptLines
from tests.bus_peers import peers
from tests.clips import frame, percept

COLD = np.zeros(1 << 26, np.uint8)
PICTURES = {"front": frame(0, "front")}


def measured(sink: Callable[[Percept], object], steps: int, pause_s: float) -> str:
    wall_ms, cpu_ms = [], []
    for number in range(steps):
        time.sleep(pause_s)
        if pause_s:
            COLD[:] = number % 256
        at = percept(number, winner=number // 7 % 3)
        cpu_s, wall_s = time.thread_time(), time.perf_counter()
        sink(at)
        wall_ms.append(1e3 * (time.perf_counter() - wall_s))
        cpu_ms.append(1e3 * (time.thread_time() - cpu_s))
    return "   ".join(
        f"{name} {of['p50']:.3f} / {of['p99']:.3f} / {of['worst']:.3f}"
        for name, of in (("CPU", summarise_ms(cpu_ms[steps // 10 :])), ("wall", summarise_ms(wall_ms[steps // 10 :])))
    )


def row(name: str, config: BusesConfig | None, json_lines: bool, steps: int, pause_s: float) -> None:
    """As `codriver serve` joins them: JSON lines are handed over with what goes to the buses."""
    with ExitStack() as stack:
        sink: Callable[[Percept], object] | None = None
        if json_lines:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            lines = PerceptLines(folder / "percepts.jsonl", 100)
            sink = stack.enter_context(closing(Publisher("percepts", lambda: lines, print))).add
        if config:
            if config.can:
                stack.enter_context(can.Bus(interface="virtual", channel="measure"))
            buses = stack.enter_context(Buses(config, also=sink))
            buses.add(percept(0))
            time.sleep(3.0)  # connecting imports packages
            sink = partial(buses.add, frames=PICTURES)
        told = measured(sink or nothing, steps, pause_s)
        sys.stdout.write(f"{name:22} {1e3 * pause_s:3.0f} ms   {told}\n")
        sys.stdout.flush()


def nothing(_: Percept) -> None:
    """What is measured of a step that hands nothing over: the clocks."""


def main(steps: int = 600) -> int:
    put = sys.stdout.write
    put(f"{describe_machine()}, load {os.getloadavg()[0]:.1f}; {steps} steps a row, the first tenth left out\n")
    put("ms: p50 / p99 / worst of the thread of the steps. CPU: its own time; wall: with what it waits for\n")
    with peers() as them:
        bus = CanConfig(interface="virtual", channel="measure")
        vss, ros2 = (
            VssConfig(address=them.broker, stale_s=10.0),
            Ros2Config(router=them.router, images=True, stale_s=10.0),
        )
        all_three = BusesConfig(can=bus, vss=vss, ros2=ros2)
        for pause_s in (0.1, 0.066, 0.033, 0.0):
            row("all and JSON lines", all_three, True, steps, pause_s)
        row("nothing", None, False, steps, 0.066)
        for name, config in (("CAN", BusesConfig(can=bus)), ("VSS", BusesConfig(vss=vss))):
            row(f"alerts and {name}", config, False, steps // 2, 0.066)
        row("alerts and ROS 2", BusesConfig(ros2=ros2), False, steps // 2, 0.066)
        row("JSON lines", None, True, steps // 2, 0.066)
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
