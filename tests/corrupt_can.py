"""A thousand messages DMS_DriverState, of which a hundred have a bit or two turned over.

python -m tests.corrupt_can INTERFACE CHANNEL
"""

from __future__ import annotations

import random
import sys
import time

import can

from codriver.buses.e2e import Protection

MESSAGES, CORRUPTED = 1000, 100
ID = 0x3A0
APART_S = 0.006  # a reader that waits for a processor must not lose what the kernel holds for it


def main(interface: str, channel: str) -> None:
    chance, state = random.Random(11), Protection("P11C", b"\x03\xa0")
    corrupted = set(chance.sample(range(MESSAGES), CORRUPTED))
    with can.Bus(interface=interface, channel=channel) as bus:
        for number in range(MESSAGES):
            data = bytearray(state.protected(bytes(2) + bytes(chance.randrange(256) for _ in range(6)), number))
            for bit in chance.sample(range(64), chance.randint(1, 2)) if number in corrupted else ():
                data[bit // 8] ^= 1 << bit % 8
            bus.send(can.Message(arbitration_id=ID, data=data, is_extended_id=False))
            time.sleep(APART_S)


if __name__ == "__main__":
    main(*sys.argv[1:])
