"""All the buses of a service: the alert is decided once, then each bus has what is due."""

from __future__ import annotations

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


def told(line: str) -> None:
    say(f"codriver: {line}")


class Buses(Closing):
    """`add` each percept, from one thread. A map that is wrong is a ConfigError now; a bus that is lost is told."""

    def __init__(self, config: BusesConfig, near: Path | None = None, tell: Callable[[str], object] = told) -> None:
        """near: where relative paths begin."""
        self._policy, self._state = read_alerts(config.alerts, near), AlertState()
        self._near, self._tell = near, tell
        self._publishers: list[Publisher] = []
        self._sinks: list[Callable[[Moment, Frames], None]] = []
        if config.can:
            self._add_can(config.can)
        if config.vss:
            self._add_vss(config.vss)
        if config.ros2:
            self._add_ros2(config.ros2)

    def _map(self, bus: str, name: str) -> BusMap:
        bus_map = read_map(name, self._policy, self._near)
        if bus_map.config.bus != bus:
            raise ConfigError(f"{bus_map.path}: bus is {bus_map.config.bus}, expected {bus}, whose map it is to be")
        return bus_map

    def _add_can(self, config: CanConfig) -> None:
        bus = CanBus(config, CanEncoder(self._map("can", config.map)))
        publisher = Publisher(f"{config.interface} {config.channel}", lambda: bus, self._tell)
        self._publishers.append(publisher)
        self._sinks.append(lambda moment, _: publisher.add(moment))  # all of them: what is due follows from each

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
        self._sinks.append(
            lambda moment, _: publisher.put({"moment": moment})
        )  # what it means is the thread's to find out

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

        def sink(moment: Moment, frames: Frames) -> None:
            now_ns = time.time_ns()  # ROS's time is the wall clock
            shown = frames.items() if config.images else ()
            pictures = {v: (f.image if isinstance(f, Frame) else f, now_ns) for v, f in shown}
            publisher.put({"step": (moment, now_ns), **pictures})

        self._sinks.append(sink)

    def add(self, percept: Percept, speed_kmh: float | None = None, frames: Frames | None = None) -> Alert:
        """speed_kmh None: nobody knows. frames: of this step, BGR, for buses that show them; not to be written to."""
        self._state = advance(self._policy, self._state, percept, speed_kmh)
        told = replace(percept, dense={}) if percept.dense else percept  # no map names its arrays, which would wait too
        moment = Moment(told, self._state.alert)
        for sink in self._sinks:
            sink(moment, frames or {})
        return moment.alert

    def close(self) -> None:
        for publisher in self._publishers:
            publisher.close()
