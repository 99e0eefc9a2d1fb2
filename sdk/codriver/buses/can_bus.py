"""A CAN interface by python-can, as a connection of a Publisher."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from codriver.buses.config import CanConfig
from codriver.buses.dbc import CanFrame
from codriver.device.imports import load

MISSING = "CAN needs the package python-can: pip install 'codriver[can]'"
SEND_S = 0.2  # for the controller to take a frame
QUIET = logging.NullHandler()  # python-can logs each attempt, for hours where no bus is; a Publisher tells once


class CanBus:
    def __init__(self, config: CanConfig, *, fd: bool = False) -> None:
        self._can = load("can", MISSING, "Bus")
        logging.getLogger("can").addHandler(QUIET)
        bitrate = {} if config.bitrate is None else {"bitrate": config.bitrate}
        self._bus = self._can.Bus(interface=config.interface, channel=config.channel, fd=fd, **bitrate)

    def send(self, values: Mapping[int, CanFrame]) -> None:
        for frame in values.values():
            self._bus.send(self._message(frame), timeout=SEND_S)

    def _message(self, frame: CanFrame) -> Any:
        return self._can.Message(
            arbitration_id=frame.id,
            data=frame.data,
            is_extended_id=frame.extended,
            is_fd=frame.fd,
            bitrate_switch=frame.fd,
        )

    def close(self) -> None:
        self._bus.shutdown()
