"""What a service's file says of buses, or a program."""

from __future__ import annotations

from dataclasses import dataclass

from codriver.files.decode import rule


@dataclass(frozen=True, kw_only=True)
class CanConfig:
    channel: str = rule(filled=True)  # can0
    interface: str = rule("socketcan", absent=True, filled=True)  # of python-can
    map: str = rule("can", absent=True, filled=True)
    bitrate: int | None = rule(None, absent=True, low=1)  # of interfaces that set it; Linux sets it by `ip link`


@dataclass(frozen=True, kw_only=True)
class VssConfig:
    address: str = rule("127.0.0.1:55555", absent=True, filled=True)  # of a KUKSA databroker
    map: str = rule("vss", absent=True, filled=True)
    root_ca: str | None = rule(None, absent=True, filled=True)  # PEM file: TLS; left out: none, on this machine alone
    server_name: str | None = rule(None, absent=True, filled=True)  # in its certificate, if it is not the address
    token: str | None = rule(None, absent=True, filled=True)  # file with a JWT that may provide our signals
    stream: bool = rule(False, absent=True)  # one message for all values: docs/buses.md says what that does to a broker
    stale_s: float = rule(0.3, absent=True, low=0.05, high=60, unit="seconds")  # without a step until all is invalid


@dataclass(frozen=True, kw_only=True)
class Ros2Config:
    router: str = rule("tcp/127.0.0.1:7447", absent=True, filled=True)  # `ros2 run rmw_zenoh_cpp rmw_zenohd`
    zenoh: str | None = rule(None, absent=True, filled=True)  # file with Zenoh's own settings, in place of router: TLS
    domain: int = rule(0, absent=True, low=0, high=232)  # ROS_DOMAIN_ID
    distro: str = rule("jazzy", absent=True, choices=("humble", "jazzy", "kilted", "rolling"))
    node: str = rule("codriver", absent=True, pattern=r"[A-Za-z_][A-Za-z0-9_]*", expected="a node's name")
    map: str = rule("ros2", absent=True, filled=True)
    images: bool = rule(False, absent=True)  # whoever subscribes sees the driver
    stale_s: float = rule(0.3, absent=True, low=0.05, high=60, unit="seconds")  # without a step until all is stale


@dataclass(frozen=True, kw_only=True)
class BusesConfig:
    alerts: str = rule("alerts", absent=True, filled=True)  # a file; "alerts": the examples that are shipped
    can: CanConfig | None = rule(None, absent=True)
    vss: VssConfig | None = rule(None, absent=True)
    ros2: Ros2Config | None = rule(None, absent=True)
