"""A CAN interface by python-can, as a connection of a Publisher, which encodes in its thread."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from codriver.buses.config import CanConfig
from codriver.buses.dbc import CanEncoder, CanFrame
from codriver.device.imports import load
from codriver.mapping.fields import Moment

MISSING = "CAN needs the package python-can: pip install 'codriver[can]'"
SEND_S = 0.2  # for the controller to take a frame
QUIET = logging.NullHandler()  # python-can logs each attempt, for hours where no bus is; a Publisher tells once


class CanBus:
    """Opened by the first `send` and by the first one after `close`."""

    def __init__(self, config: CanConfig, encoder: CanEncoder) -> None:
        self._config, self._encoder = config, encoder
        self._bus: Any = None

    def send(self, values: Mapping[Any, Moment]) -> None:
        """Every moment is encoded, whether there is a bus or not, so that counters go on; the newest frames go out."""
        frames = {frame.id: frame for moment in values.values() for frame in self._encoder.frames(moment)}
        self._bus = self._bus or self._opened()
        for frame in frames.values():
            self._bus.send(self._message(frame), timeout=SEND_S)

    def _opened(self) -> Any:
        self._can = load("can", MISSING, "Bus")
        logging.getLogger("can").addHandler(QUIET)
        of = self._config
        bitrate = {} if of.bitrate is None else {"bitrate": of.bitrate}
        return self._can.Bus(interface=of.interface, channel=of.channel, fd=self._encoder.fd, **bitrate)

    def _message(self, frame: CanFrame) -> Any:
        return self._can.Message(
            arbitration_id=frame.id,
            data=frame.data,
            is_extended_id=frame.extended,
            is_fd=frame.fd,
            bitrate_switch=frame.fd,
        )

    def close(self) -> None:
        bus, self._bus = self._bus, None
        if bus is not None:
            bus.shutdown()
