"""Peers that stop reading in the middle of a drive: no step waits for them, and they have the newest once they wake."""

from __future__ import annotations

import time

import can
import numpy as np

from codriver.buses.buses import Buses
from codriver.buses.config import BusesConfig, CanConfig, Ros2Config, VssConfig
from codriver.buses.dbc import CanEncoder
from codriver.mapping.alerts import AlertState, advance, read_alerts
from codriver.mapping.fields import Moment
from codriver.mapping.signals import read_map
from tests.bus_peers import peers
from tests.clips import percept
from tests.sdk.buses.test_publisher import until

NOISE = np.random.default_rng(3).integers(0, 255, (720, 1280, 3), np.uint8)  # 0.9 MB as a JPEG


def test_no_step_waits_for_a_broker_and_a_router_that_stop_reading_in_the_middle_of_a_drive():
    told = []
    with peers() as them:
        config = BusesConfig(
            can=CanConfig(interface="virtual", channel="nobody reads"),
            vss=VssConfig(address=them.broker, stale_s=30.0),
            ros2=Ros2Config(router=them.router, images=True, stale_s=30.0),
        )
        with Buses(config, tell=told.append) as buses:
            until(lambda: buses.add(percept(0), frames={"front": NOISE}) and min(them.counts()) > 100)
            them.stop()
            longest_s, ends_s, number = 0.0, time.monotonic() + 2.5, 0
            while time.monotonic() < ends_s:  # pictures of 100 MB and more, and sockets hold a few
                began_s = time.perf_counter()
                buses.add(percept(number := number + 1, winner=number % 2), frames={"front": NOISE})
                longest_s = max(longest_s, time.perf_counter() - began_s)
                time.sleep(0.01)
            them.wake()
            before = them.counts()
            until(lambda: buses.add(percept(0, winner=2)) and all(map(int.__gt__, them.counts(), before)))
    assert longest_s < 0.5 and number > 30  # whoever waits for a peer waits for a second, or for ever
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
