"""What buses cost the thread of the steps: alerts, maps, frames and handing over, with CAN and VSS at once.

python -m tests.measure_buses [STEPS]     both peers are here and read; wall time on a busy machine is not the code's
"""

from __future__ import annotations

import sys
import time

import can

from codriver.buses.buses import Buses
from codriver.buses.config import BusesConfig, CanConfig, VssConfig
from codriver.device.machine import summarise_ms
from tests.clips import percept
from tests.kuksa_peer import Databroker


def measured(buses: Buses, steps: int, pause_s: float) -> str:
    wall_ms, cpu_ms = [], []
    for number in range(steps):
        at = percept(number, winner=number // 7 % 3)
        cpu_s, wall_s = time.thread_time(), time.perf_counter()
        buses.add(at)
        wall_ms.append(1e3 * (time.perf_counter() - wall_s))
        cpu_ms.append(1e3 * (time.thread_time() - cpu_s))
        time.sleep(pause_s)
    return f"CPU {summarise_ms(cpu_ms)}; wall {summarise_ms(wall_ms)}"


def main(steps: int = 1000) -> int:
    broker = Databroker()
    config = BusesConfig(
        can=CanConfig(interface="virtual", channel="measure"), vss=VssConfig(address=broker.serve(), stale_s=10.0)
    )
    with can.Bus(interface="virtual", channel="measure") as reader, Buses(config) as buses:
        buses.add(percept(0))
        time.sleep(2.0)  # connecting imports packages
        sys.stdout.write(f"{steps} steps, 5 ms apart: {measured(buses, steps, 0.005)}\n")
        sys.stdout.write(f"{steps} steps, back to back: {measured(buses, steps, 0.0)}\n")
        while reader.recv(0) is not None:
            pass
    broker.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
