"""The latest values go out in a thread of their own: nobody waits, what is lost is told once, and peers come back."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import can

from codriver.buses.buses import Buses
from codriver.buses.config import BusesConfig, CanConfig
from codriver.buses.publisher import MOST, Publisher
from tests import ROOT
from tests.clips import percept


def until(condition):
    """Wait for what another thread does."""
    ends_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ends_s
        time.sleep(0.002)


class Peer:
    """Takes values, hangs while `reading` is not set, fails while `there` is not."""

    def __init__(self):
        self.taken, self.opened, self.closed = [], 0, 0
        self.reading, self.there, self.asked = threading.Event(), threading.Event(), threading.Event()
        self.reading.set()
        self.there.set()

    def connect(self):
        if not self.there.is_set():
            raise OSError(19, "No such device")
        self.opened += 1
        return self

    def send(self, values):
        self.asked.set()
        self.reading.wait()
        if not self.there.is_set():
            raise OSError(100, "Network is down")
        self.taken.append(values)

    def close(self):
        self.closed += 1


def test_a_peer_that_stops_reading_holds_up_nobody_and_then_gets_the_newest():
    peer, told = Peer(), []
    publisher = Publisher("peer", peer.connect, told.append)
    peer.reading.clear()
    publisher.put({"a": 0})
    peer.asked.wait()
    for number in range(1, 1000):  # would stay here for ever if one of them waited
        publisher.put({"a": number, "b": -number})
    peer.reading.set()
    until(lambda: len(peer.taken) == 2)
    assert peer.taken == [{"a": 0}, {"a": 999, "b": -999}]
    publisher.close()
    assert peer.closed == 1 and told == []


def test_what_must_all_be_seen_waits_in_order_and_of_too_much_the_oldest_is_lost():
    peer = Peer()
    publisher = Publisher("peer", peer.connect, print)
    peer.reading.clear()
    publisher.add("first")
    peer.asked.wait()
    for number in range(MOST + 3):
        publisher.add(number)
    peer.reading.set()
    until(lambda: len(peer.taken) == 2)
    assert [*peer.taken[1].values()] == [*range(3, MOST + 3)] and publisher.lost == 3
    publisher.close()


def test_a_peer_that_never_reads_again_is_left_behind_at_the_end():
    peer = Peer()
    publisher = Publisher("peer", peer.connect, print)
    peer.reading.clear()
    publisher.put({"a": 0})
    peer.asked.wait()
    publisher.close()
    peer.reading.set()


def test_what_was_put_before_the_end_is_sent():
    peer = Peer()
    publisher = Publisher("peer", peer.connect, print)
    publisher.put({"a": 1})
    publisher.close()
    assert peer.taken == [{"a": 1}]


def test_a_peer_that_is_lost_is_told_once_opened_anew_and_its_return_told():
    peer, told = Peer(), []
    publisher = Publisher("peer", peer.connect, told.append)
    publisher.put({"a": 0})
    until(lambda: peer.taken)
    peer.there.clear()
    for number in range(3):
        publisher.put({"a": number})
        until(lambda number=number: publisher.lost == number + 1)
    assert told == ["peer is lost ([Errno 100] Network is down); asked for again until it is there"]
    peer.there.set()
    publisher.put({"a": 9})
    until(lambda: peer.taken[-1] == {"a": 9})
    until(lambda: len(told) == 2)
    assert told[1] == "peer is back; 3 values were lost so far" and (peer.opened, peer.closed) == (2, 1)
    publisher.close()


def test_silence_is_told_to_the_peer_once():
    peer = Peer()
    publisher = Publisher("peer", peer.connect, print, stale={"a": None}, stale_s=0.05)
    publisher.put({"a": 1})
    until(lambda: len(peer.taken) == 2)
    time.sleep(0.15)
    publisher.put({"a": 2})
    until(lambda: len(peer.taken) == 4)
    assert peer.taken == [{"a": 1}, {"a": None}, {"a": 2}, {"a": None}]
    publisher.close()


def test_percepts_reach_a_bus_and_a_bus_that_is_not_there_is_told():
    told = []
    with can.Bus(interface="virtual", channel="here") as reader:
        config = BusesConfig(can=CanConfig(interface="virtual", channel="here"))
        with Buses(config, tell=told.append) as buses:
            assert buses.add(percept(0)).available
            ids = {reader.recv(10).arbitration_id for _ in range(4)}
        assert ids == {0x3A0, 0x3A1, 0x3A2, 0x3A3} and told == []
    with Buses(BusesConfig(can=CanConfig(channel="nosuchcan")), tell=told.append) as buses:
        buses.add(percept(0))
        until(lambda: told)
    assert told[0].startswith("socketcan nosuchcan is lost (")


def test_a_bus_that_is_asked_for_again_and_again_is_one_line_in_the_journal():
    program = """
import time
from codriver.buses.buses import Buses
from codriver.buses.config import BusesConfig, CanConfig
from tests import ROOT
from tests.clips import percept
with Buses(BusesConfig(can=CanConfig(channel="nosuchcan"))) as buses:
    for number in range(8):
        buses.add(percept(number))
        time.sleep(0.1)
"""
    path = {"PYTHONPATH": f"{ROOT / 'sdk'}:{ROOT}"}
    done = subprocess.run([sys.executable, "-c", program], env=os.environ | path, capture_output=True, text=True)
    assert done.stderr.count("\n") == 1 and "socketcan nosuchcan is lost" in done.stderr
