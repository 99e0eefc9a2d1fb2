"""Answers on vcan0 while its link goes down, comes up, and the interface is deleted and made anew. In the guest alone.

    python -m tests.vehicle.can_links > told.jsonl

A line for each thing that was done or told, with its time on the wall clock, as candump has it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import datetime, timezone

from codriver.buses.buses import Buses
from codriver.buses.config import BusesConfig, CanConfig
from tests.clips import percept

RATE_HZ = 15
DONE = (  # at which second
    (3.0, "down", "ip link set vcan0 down"),
    (6.0, "up", "ip link set vcan0 up"),
    (10.0, "deleted", "ip link delete vcan0"),
    (13.0, "made anew", "ip link add dev vcan0 type vcan && ip link set vcan0 up"),
)
END_S = 17.0


def main() -> None:
    started_s = time.monotonic()

    def say(kind: str, text: str) -> None:
        sys.stdout.write(
            json.dumps({"at_s": datetime.now(timezone.utc).timestamp(), "kind": kind, "text": text}) + "\n"
        )
        sys.stdout.flush()

    left, longest_s = list(DONE), 0.0
    with Buses(BusesConfig(can=CanConfig(channel="vcan0")), tell=lambda text: say("told", text)) as buses:
        number = 0
        while (passed_s := time.monotonic() - started_s) < END_S:
            if left and passed_s >= left[0][0]:
                _, what, command = left.pop(0)
                say("done", what)
                subprocess.run(command, shell=True, check=True)
            at_s = time.monotonic()
            buses.add(percept(number := number + 1))
            longest_s = max(longest_s, time.monotonic() - at_s)
            time.sleep(1 / RATE_HZ)
    say("longest", f"{longest_s:.4f}")


if __name__ == "__main__":
    main()
