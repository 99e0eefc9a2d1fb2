"""Peers that stop reading in the middle of a drive: the thread of the steps calls none of them, so no step waits.

How long a step takes is no matter of these tests: `python -m tests.measure_buses` measures it.
"""

from __future__ import annotations

import array
import fcntl
import gc
import json
import os
import sys
import termios
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import can
import numpy as np
import pytest

from codriver.buses.buses import Buses
from codriver.buses.config import BusesConfig, CanConfig, Ros2Config, VssConfig
from codriver.buses.dbc import CanEncoder
from codriver.buses.publisher import MOST, Publisher
from codriver.mapping.alerts import AlertState, advance, read_alerts
from codriver.mapping.fields import Moment
from codriver.mapping.signals import read_map
from codriver.serve.lines import PerceptLines
from tests.bus_peers import peers
from tests.clips import percept
from tests.sdk.buses.test_publisher import until

NOISE = np.random.default_rng(3).integers(0, 255, (720, 1280, 3), np.uint8)  # 0.9 MB as a JPEG
STEPS = 250


@pytest.fixture
def pipe(tmp_path):
    """A named pipe for JSON lines, and its reader, which reads what and when the test says."""
    path = tmp_path / "percepts.jsonl"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield path, reader
    os.close(reader)


def waiting(reader):
    """Bytes in the pipe that nobody read."""
    count = array.array("i", [0])
    fcntl.ioctl(reader, termios.FIONREAD, count)
    return count[0]


def newest(reader, text):
    """The sequence of the last line that is whole, of `text` and what is read now."""
    with suppress(BlockingIOError):
        while True:
            text += os.read(reader, 1 << 16)
    rows = text.rpartition(b"\n")[0].splitlines()
    return json.loads(rows[-1])["sequence"] if rows else None


def all_of_them(them):
    return BusesConfig(
        can=CanConfig(interface="virtual", channel="nobody reads"),
        vss=VssConfig(address=them.broker, stale_s=30.0),
        ros2=Ros2Config(router=them.router, images=True, stale_s=30.0),
    )


def test_a_steps_thread_decides_the_alert_and_hands_over_and_calls_nothing_of_any_sink(pipe):
    files, functions, lines = set(), set(), PerceptLines(pipe[0], 100)

    def note(frame, event, what):
        if event == "call":
            files.add(Path(frame.f_code.co_filename).name)
        elif event == "c_call":
            functions.add(what.__qualname__)

    with peers() as them, closing(Publisher("percepts", lambda: lines, print)) as percepts:
        with Buses(all_of_them(them), also=percepts.add) as buses:
            drive = [percept(number, winner=number % 3) for number in range(STEPS)]
            gc.collect()
            gc.disable()  # whose finalizers are no part of a step
            sys.setprofile(note)
            for at in drive:
                buses.add(at, frames={"front": NOISE})
            sys.setprofile(None)
            gc.enable()
            # It is handed to them nevertheless: to who was slow to come, what follows.
            until(lambda: buses.add(drive[-1], frames={"front": NOISE}) and min(them.counts()) > 0 and waiting(pipe[1]))
    values = ("dict.", "mappingproxy.", "tuple.")
    assert {file for file in files if file.endswith(".py")} == {"buses.py", "alerts.py"}
    assert {of for of in functions if "." in of and not of.startswith(values)} == {"SimpleQueue.put"}


def test_a_pipe_that_nobody_reads_yet_keeps_nobody_waiting(tmp_path):
    os.mkfifo(path := tmp_path / "percepts.jsonl")
    made = []
    thread = threading.Thread(
        target=lambda: made.append(PerceptLines(path, 100)) or made[0].add(percept(3)), daemon=True
    )
    thread.start()
    until(lambda: not thread.is_alive())
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    assert newest(reader, bytearray()) == 3
    os.close(reader)
    made[0].close()


def test_steps_go_on_while_broker_router_and_reader_of_json_lines_are_stopped_and_then_these_have_the_newest(pipe):
    path, reader = pipe
    told, lines, number = [], PerceptLines(path, 100), 0
    with peers() as them, closing(Publisher("percepts", lambda: lines, told.append)) as percepts:
        with Buses(all_of_them(them), tell=told.append, also=percepts.add) as buses:
            until(lambda: buses.add(percept(0), frames={"front": NOISE}) and min(them.counts()) > 100)
            them.stop()
            while told == [] or number < STEPS:  # 225 MB of pictures for a stopped process: sockets hold a few
                buses.add(percept(number := number + 1, winner=number % 2), frames={"front": NOISE})
                time.sleep(0.01)
            full = waiting(reader)
            for _ in range(MOST + STEPS):
                buses.add(percept(number := number + 1))
            assert waiting(reader) == full > 40_000  # whoever writes waits, and has done all the while
            them.wake()
            before = them.counts()
            until(lambda: buses.add(percept(number, winner=2)) and all(map(int.__gt__, them.counts(), before)))
            text = bytearray()
            until(lambda: buses.add(percept(number)) and newest(reader, text) == number)
    assert percepts.lost > STEPS - MOST  # and not kept in memory
    assert any(line.startswith("vss") and "DEADLINE_EXCEEDED" in line for line in told)


def test_frames_count_on_while_a_can_bus_is_not_there(monkeypatch):
    there, opened = [], can.Bus
    drive = [percept(number, winner=number // 5 % 3) for number in range(40)]

    def bus(**settings):
        if not there:
            raise OSError(19, "No such device")
        return opened(**settings)

    monkeypatch.setattr(can, "Bus", bus)
    encoder, state, made, told = CanEncoder(read_map("can", read_alerts())), AlertState(), [], []
    for at in drive:
        state = advance(read_alerts(), state, at)
        made += encoder.frames(Moment(at, state.alert))
    with opened(interface="virtual", channel="later") as reader:
        with Buses(BusesConfig(can=CanConfig(interface="virtual", channel="later")), tell=told.append) as buses:
            for at in drive[:-1]:
                buses.add(at)
            until(lambda: told)
            there.append(True)
            buses.add(drive[-1])
            until(lambda: len(told) == 2)
        last = {frame.id: frame.data for frame in made}
        got = {message.arbitration_id: bytes(message.data) for message in iter(lambda: reader.recv(0), None)}
    assert got and got == {number: last[number] for number in got}  # the newest of each, counted as if none were lost
