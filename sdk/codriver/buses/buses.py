"""All the buses of a service: the alert is decided once, then each bus has what is due.

A step's thread decides and wakes one thread, which wakes those of the buses: waking costs more than what is handed.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from codriver.arrays import Image
from codriver.buses.can_bus import CanBus
from codriver.buses.config import BusesConfig, CanConfig, Ros2Config, VssConfig
from codriver.buses.dbc import CanEncoder
from codriver.buses.kuksa import VssBroker
from codriver.buses.publisher import Publisher
from codriver.buses.ros2 import Ros2Session
from codriver.buses.ros2_messages import Ros2Messages
from codriver.console import say
from codriver.device.closing import Closing
from codriver.errors import ConfigError
from codriver.mapping.alerts import Alert, AlertState, advance, read_alerts
from codriver.mapping.fields import Moment
from codriver.mapping.signals import BusMap, read_map
from codriver.percept import Frame, Percept

Frames = Mapping[str, Image | Frame]
Step = tuple[Moment, Frames, int]  # and when it was handed over, ns by the wall clock


def told(line: str) -> None:
    say(f"codriver: {line}")


class Buses(Closing):
    """`add` each percept, from one thread. A map that is wrong is a ConfigError now; a bus that is lost is told."""

    def __init__(
        self,
        config: BusesConfig,
        near: Path | None = None,
        tell: Callable[[str], object] = told,
        also: Callable[[Percept], object] | None = None,
    ) -> None:
        """near: where relative paths begin. also: takes each percept at once, in the thread that hands them on."""
        self._policy, self._state = read_alerts(config.alerts, near), AlertState()
        self._near, self._tell, self._also = near, tell, also
        self._publishers: list[Publisher] = []
        self._sinks: list[Callable[[Moment, Frames, int], None]] = []
        self._steps: queue.SimpleQueue[Step | None] = queue.SimpleQueue()
        if config.can:
            self._add_can(config.can)
        if config.vss:
            self._add_vss(config.vss)
        self._shows = config.ros2 is not None and config.ros2.images
        if config.ros2:
            self._add_ros2(config.ros2)
        self._thread = threading.Thread(target=self._hand_on, name="codriver buses", daemon=True)
        self._thread.start()

    def _map(self, bus: str, name: str) -> BusMap:
        bus_map = read_map(name, self._policy, self._near)
        if bus_map.config.bus != bus:
            raise ConfigError(f"{bus_map.path}: bus is {bus_map.config.bus}, expected {bus}, whose map it is to be")
        return bus_map

    def _add_can(self, config: CanConfig) -> None:
        bus = CanBus(config, CanEncoder(self._map("can", config.map)))
        publisher = Publisher(f"{config.interface} {config.channel}", lambda: bus, self._tell)
        self._publishers.append(publisher)
        self._sinks.append(lambda moment, *_: publisher.add(moment))  # all of them: what is due follows from each

    def _add_vss(self, config: VssConfig) -> None:
        bus_map, refused = self._map("vss", config.map), set[str]()
        publisher = Publisher(
            f"vss {config.address}",
            lambda: VssBroker(config, bus_map, self._near, refused, self._tell),
            self._tell,
            stale={"moment": None},
            stale_s=config.stale_s,
        )
        self._publishers.append(publisher)
        self._sinks.append(lambda moment, *_: publisher.put({"moment": moment}))  # the newest: all of it is a state

    def _add_ros2(self, config: Ros2Config) -> None:
        messages = Ros2Messages(self._map("ros2", config.map))
        publisher = Publisher(
            f"ros2 {config.zenoh or config.router}",
            lambda: Ros2Session(config, messages, self._near),
            self._tell,
            stale={"step": None},
            stale_s=config.stale_s,
        )
        self._publishers.append(publisher)

        def sink(moment: Moment, frames: Frames, now_ns: int) -> None:
            pictures = {v: (f.image if isinstance(f, Frame) else f, now_ns) for v, f in frames.items()}
            publisher.put({"step": (moment, now_ns), **pictures})

        self._sinks.append(sink)

    def add(self, percept: Percept, speed_kmh: float | None = None, frames: Frames | None = None) -> Alert:
        """speed_kmh None: nobody knows. frames: of this step, BGR, for buses that show them; not to be written to."""
        self._state = advance(self._policy, self._state, percept, speed_kmh)
        shown = dict(frames) if frames and self._shows else {}  # whose dict that is may fill it anew
        self._steps.put((Moment(percept, self._state.alert), shown, time.time_ns()))  # ROS's time is the wall clock
        return self._state.alert

    def _hand_on(self) -> None:
        """Every step in order, to mailboxes that take it at once: nothing piles up here."""
        while (step := self._steps.get()) is not None:
            moment, frames, now_ns = step
            if self._also:
                self._also(moment.percept)
            if moment.percept.dense:  # no map names its arrays, which would wait too
                moment = moment._replace(percept=replace(moment.percept, dense={}))
            for sink in self._sinks:
                sink(moment, frames, now_ns)

    def close(self) -> None:
        """What was added is handed on first."""
        self._steps.put(None)
        self._thread.join()
        for publisher in self._publishers:
            publisher.close()
