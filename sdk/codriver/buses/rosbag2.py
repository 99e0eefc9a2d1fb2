"""A recording as rosbag2 (MCAP storage), for tools that know ROS 2: no ROS is needed to write it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codriver.arrays import Image
from codriver.buses.ros2_messages import Message, Ros2Messages
from codriver.device.imports import load, opencv
from codriver.errors import ConfigError
from codriver.mapping.fields import Moment
from codriver.mapping.signals import BusMap

MISSING = "rosbag2 needs the package rosbags: pip install 'codriver[ros]'"


class Rosbag2:
    """`add` each step; in a `with`, so that the bag is complete. folder: must not be there."""

    def __init__(self, folder: Path, bus_map: BusMap) -> None:
        bags = load("rosbags.rosbag2", MISSING, "Writer")
        if folder.exists():
            raise ConfigError(f"{folder}: is there already; give a folder that is not")
        self._messages = Ros2Messages(bus_map)
        self._bag = bags.Writer(folder, version=9, storage_plugin=bags.StoragePlugin.MCAP)
        self._topics: dict[str, Any] = {}

    def add(self, moment: Moment, images: Mapping[str, Image], stamp_ns: int) -> None:
        """images: (H, W, 3) uint8 BGR by view. stamp_ns: of all messages."""
        quick = opencv().IMWRITE_PNG_COMPRESSION
        for message in self._messages.of(moment, stamp_ns):
            self._write(stamp_ns, message)
        for view, image in images.items():
            self._write(stamp_ns, self._messages.picture(view, image, stamp_ns, "png", quick, 1))

    def _write(self, stamp_ns: int, message: Message) -> None:
        topic, kind, _ = message
        if topic not in self._topics:
            self._topics[topic] = self._bag.add_connection(topic, kind, typestore=self._messages.store)
        self._bag.write(self._topics[topic], stamp_ns, self._messages.cdr(message))

    def __enter__(self) -> Rosbag2:
        self._bag.open()
        return self

    def __exit__(self, *error: object) -> None:
        self._bag.close()
