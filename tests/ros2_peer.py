"""ROS 2's side of Zenoh in tests: a router, and zenoh-ros2-sdk, which was written apart from ours, as the reader.

It computes types' hashes by itself, from the definitions below. All of it stays on 127.0.0.1.
"""

from __future__ import annotations

import json
import os
import socket

import zenoh
from zenoh_ros2_sdk import ROS2Subscriber
from zenoh_ros2_sdk.discovery import get_topic_info, get_topic_names_and_types
from zenoh_ros2_sdk.session import ZenohSession
from zenoh_ros2_sdk.utils import get_type_hash

TIME, HEADER = "int32 sec\nuint32 nanosec\n", "builtin_interfaces/Time stamp\nstring frame_id\n"
STATUS = "byte level\nstring name\nstring message\nstring hardware_id\ndiagnostic_msgs/KeyValue[] values\n"
WITH_HEADER = {"builtin_interfaces/msg/Time": TIME, "std_msgs/msg/Header": HEADER}
TYPES = {  # of a type: its definition, and those that it needs
    "std_msgs/msg/String": ("string data\n", {}),
    "std_msgs/msg/Float32": ("float32 data\n", {}),
    "sensor_msgs/msg/CompressedImage": ("std_msgs/Header header\nstring format\nuint8[] data\n", WITH_HEADER),
    "vision_msgs/msg/Classification": (
        "std_msgs/Header header\nvision_msgs/ObjectHypothesis[] results\n",
        WITH_HEADER | {"vision_msgs/msg/ObjectHypothesis": "string class_id\nfloat64 score\n"},
    ),
    "diagnostic_msgs/msg/DiagnosticArray": (
        "std_msgs/Header header\ndiagnostic_msgs/DiagnosticStatus[] status\n",
        WITH_HEADER
        | {
            "diagnostic_msgs/msg/DiagnosticStatus": STATUS,
            "diagnostic_msgs/msg/KeyValue": "string key\nstring value\n",
        },
    ),
}


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


def session(mode, **settings):
    config = zenoh.Config()
    quiet = {"mode": mode, "scouting/multicast/enabled": False, "scouting/gossip/enabled": False}
    for name, value in (quiet | settings).items():
        config.insert_json5(name, json.dumps(value))
    return zenoh.open(config)


class Ros2Peer:
    def __init__(self) -> None:
        self.port = free_port()
        self.address = f"tcp/127.0.0.1:{self.port}"
        self._readers = []
        os.environ["ZENOH_CONFIG_OVERRIDE"] = 'mode="client";scouting/gossip/enabled=false;listen/endpoints=[]'
        self.start()

    def start(self) -> None:
        self.router = session("router", **{"listen/endpoints": [self.address]})

    def heard(self, topic: str, kind: str, **more):
        """A list to which the topic's messages are added."""
        messages, (text, needed) = [], TYPES[kind]
        separated = "".join(f"{'=' * 80}\nMSG: {name}\n{of}" for name, of in needed.items())
        reader = ROS2Subscriber(
            topic,
            kind,
            messages.append,
            msg_definition=text + separated,
            type_hash=more.pop("type_hash", None) or get_type_hash(kind, text, needed),
            router_port=self.port,
            **more,
        )
        self._readers.append(reader)
        return messages

    def listed(self) -> dict[str, list[str]]:
        return dict(get_topic_names_and_types(router_port=self.port))

    def info(self, topic: str):
        return get_topic_info(topic, router_port=self.port, verbose=True)

    def close(self) -> None:
        for reader in self._readers:
            reader.close()
        if ZenohSession._instance is not None:
            ZenohSession._instance.close()
        self.router.close()
        del os.environ["ZENOH_CONFIG_OVERRIDE"]
