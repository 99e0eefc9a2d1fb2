"""A CAN interface by python-can, as a connection of a Publisher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codriver.buses.dbc import CanFrame
from codriver.device.imports import load
from codriver.files.decode import rule

MISSING = "CAN needs the package python-can: pip install 'codriver[can]'"
SEND_S = 0.2  # for the controller to take a frame


@dataclass(frozen=True, kw_only=True)
class CanConfig:
    channel: str = rule(filled=True)  # can0
    interface: str = rule("socketcan", absent=True, filled=True)  # of python-can
    map: str = rule("can", absent=True, filled=True)
    bitrate: int | None = rule(None, absent=True, low=1)  # of interfaces that set it; Linux sets it by `ip link`


class CanBus:
    def __init__(self, config: CanConfig, *, fd: bool = False) -> None:
        self._can = load("can", MISSING, "Bus")
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
