"""What a viewer of the live page costs that stops reading: python -m tests.measure_slow_viewer [--minutes 10]

Four views of noise at 15 Hz, a viewer that reads all and one that reads nothing. Each minute: memory of the process,
and what the kernel holds for those who do not read.
"""

from __future__ import annotations

import argparse
import fcntl
import socket
import struct
import sys
import termios
import threading
import time
from pathlib import Path

import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin

from codriver.live.feed import Feed
from codriver.live.server import LivePage
from codriver.tasks import VIEWS
from tests.clips import percept

RATE_HZ = 15


def silent_viewer(port: int) -> socket.socket:
    """Asks for the stream, and reads nothing of it."""
    viewer = socket.create_connection(("127.0.0.1", port))
    viewer.sendall(
        f"GET /socket HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    return viewer


def queued_bytes(page: LivePage) -> int:
    """That the kernel holds for all viewers, and they have not taken."""
    total = 0
    for viewer in tuple(page._viewers):
        (waiting,) = struct.unpack("i", fcntl.ioctl(viewer.socket, termios.TIOCOUTQ, b"\0" * 4))
        total += waiting
    return total


def _watch(port: int) -> None:
    with connect(
        f"ws://127.0.0.1:{port}/socket", origin=Origin(f"http://127.0.0.1:{port}"), compression=None
    ) as viewer:
        try:
            while viewer.recv():
                pass
        except ConnectionClosed:
            pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=10)
    minutes = parser.parse_args().minutes
    noise = {view: np.random.default_rng(0).integers(0, 256, (135, 240, 3), np.uint8) for view in VIEWS}
    with LivePage(Feed({})) as page, silent_viewer(page.port):
        threading.Thread(target=_watch, args=[page.port], daemon=True).start()
        began_s = time.monotonic()
        for number in range(60 * RATE_HZ * minutes + 1):
            page.feed.publish(noise, percept(number))
            if number % (60 * RATE_HZ) == 0 or number == 10 * RATE_HZ:
                resident_mb = int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6
                waits_mb = queued_bytes(page) / 1e6
                sys.stdout.write(
                    f"{time.monotonic() - began_s:5.0f} s  {number:5} steps  {page.viewers} viewers  "
                    f"process {resident_mb:.1f} MB  waiting in the kernel {waits_mb:.2f} MB\n"
                )
                sys.stdout.flush()
            time.sleep(max(began_s + (number + 1) / RATE_HZ - time.monotonic(), 0.0))


if __name__ == "__main__":
    main()
