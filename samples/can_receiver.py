"""A control unit that reads our messages by the DBC alone: checksum, counter and silence are the reader's to check.

python samples/can_receiver.py codriver.dbc [INTERFACE CHANNEL]
"""

import sys
import time
from collections import Counter

import can
import cantools


class Receiver:
    """One message's state: `take` says what a frame is, `trusted` whether what was read last may be used now."""

    def __init__(self, message):
        self.data_id = int(message.dbc.attributes["E2EDataID"].value, 16)
        self.stale_s, self.counter, self.bad, self.good_s = 3 * message.cycle_time / 1000, None, 0, float("-inf")

    def take(self, data: bytes, t: float) -> str:
        crc = 0  # AUTOSAR's profile 11C: 0x1D from 0 over the low byte of the data id, 0, and all but the checksum
        for byte in (self.data_id & 0xFF, 0, *data[1:]):
            crc ^= byte
            for _ in range(8):
                crc = (crc << 1 ^ (0x1D if crc & 0x80 else 0)) & 0xFF
        result = "corrupted"
        if len(data) > 1 and crc == data[0] and data[1] >> 4 == self.data_id >> 8 and data[1] % 16 < 15:
            step = 1 if self.counter is None else (data[1] % 16 - self.counter) % 15
            self.counter = data[1] % 16
            result = "ok" if step == 1 else "repeated" if step == 0 else "some lost" if step <= 3 else "out of order"
        good = result in ("ok", "some lost")
        self.bad, self.good_s = (max(self.bad - 1, 0), t) if good else (min(self.bad + 1, 5), self.good_s)
        return result

    def trusted(self, t: float) -> bool:
        return self.bad < 5 and t - self.good_s <= self.stale_s


def main(dbc: str, interface: str = "socketcan", channel: str = "can0") -> None:
    messages = {message.frame_id: (message, Receiver(message)) for message in cantools.database.load_file(dbc).messages}
    counts = Counter()
    with can.Bus(interface=interface, channel=channel) as bus:
        print("listening", flush=True)
        while frame := bus.recv(5.0 if counts else None):  # then so much silence is the end; a control unit goes on
            message, receiver = messages[frame.arbitration_id]
            result = receiver.take(bytes(frame.data), now := time.monotonic())
            counts[f"{message.name} {result}"] += 1
            if result in ("ok", "some lost") and receiver.trusted(now):
                print(message.name, *(f"{name}={value}" for name, value in message.decode(frame.data).items()))
    print(*(f"{what}: {count}" for what, count in sorted(counts.items())), sep="\n")


if __name__ == "__main__":
    main(*sys.argv[1:]) if len(sys.argv) > 1 else sys.exit(__doc__)
