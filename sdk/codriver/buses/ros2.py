"""ROS 2 live, as a connection of a Publisher: what rmw_zenoh says on Zenoh, without ROS.

By rmw_zenoh_cpp's conventions (Humble, Jazzy from 0.2.4, later ones) a topic's key is domain/topic/type/hash, a message
has an attachment (its number, its time, who sent it), and nodes and topics are listed by their liveliness tokens.
"""

from __future__ import annotations

import json
import os
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codriver.buses.config import Ros2Config
from codriver.buses.ros2_messages import IMAGE, Message, Ros2Messages, image_topic
from codriver.device.imports import load, opencv
from codriver.errors import ConfigError

MISSING = "ROS 2 needs the package eclipse-zenoh: pip install 'codriver[ros]'"
QUALITY = 80  # of a picture's JPEG
# Of tokens: reliability, durability, history, deadline, lifespan, liveliness. Empty: rmw_zenoh's default, which is
# reliable, volatile, keep last. Its publishers of such topics drop what a reader does not take, and so do ours.
QOS, IMAGE_QOS = "::,10:,:,:,,", "2::,1:,:,:,,"  # pictures: best effort, the last one
NO_HASH = "TypeHashNotSupported"  # Humble's messages have none


class Ros2Session:
    """Only what somebody subscribes to is written and sent."""

    def __init__(self, config: Ros2Config, messages: Ros2Messages, near: Path | None) -> None:
        self._config, self._messages = config, messages
        self._zenoh = load("zenoh", MISSING, "open")
        self._session = self._zenoh.open(self._settings(near))
        self._topics: dict[str, _Topic] = {}
        self._at = f"@ros2_lv/{config.domain}/{self._session.info.zid()}/0"
        self._tokens = [self._session.liveliness().declare_token(f"{self._at}/0/NN/%/%/{config.node}")]

    def _settings(self, near: Path | None) -> Any:
        if self._config.zenoh is not None:
            path = (near or Path()) / self._config.zenoh
            if not path.is_file():
                raise ConfigError(f"{path}: is not there, expected Zenoh's own configuration")
            return self._zenoh.Config.from_file(str(path))
        settings = self._zenoh.Config()  # a client: it opens no port, and speaks to the router alone
        ours = {"mode": "client", "connect/endpoints": [self._config.router], "scouting/multicast/enabled": False}
        for name, value in (ours | {"scouting/gossip/enabled": False}).items():
            settings.insert_json5(name, json.dumps(value))
        return settings

    def send(self, values: Mapping[str, Any]) -> None:
        """step: a moment and when it was, None: steps have stopped. Views: their pictures and when they were."""
        if not [*self._session.info.routers_zid(), *self._session.info.peers_zid()]:
            raise ConnectionError("nobody is at the other end")
        for key, value in values.items():
            if key != "step":
                self._picture(key, *value)
                continue
            now_ns = time.time_ns()
            for message in self._messages.of(*value) if value else self._messages.stale(self._config.stale_s, now_ns):
                topic = self._topic(message.topic, message.kind)
                if topic.wanted:
                    self._send(topic, message)

    def _picture(self, view: str, image: Any, stamp_ns: int) -> None:
        topic = self._topic(image_topic(view), IMAGE)
        if topic.wanted:
            how = opencv().IMWRITE_JPEG_QUALITY, QUALITY
            self._send(topic, self._messages.picture(view, image, stamp_ns, "jpeg", *how))

    def _send(self, topic: _Topic, message: Message) -> None:
        topic.put(self._messages.cdr(message))

    def _topic(self, name: str, kind: str) -> _Topic:
        if name not in self._topics:
            package, _, word = kind.split("/")
            type_name = f"{package}::msg::dds_::{word}_"
            type_hash = NO_HASH if self._config.distro == "humble" else self._messages.store.hash_rihs01(kind)
            qos, number = IMAGE_QOS if kind == IMAGE else QOS, len(self._topics) + 1
            about = f"{name.replace('/', '%')}/{type_name}/{type_hash}/{qos}"
            token = f"{self._at}/{number}/MP/%/%/{self._config.node}/{about}"
            self._tokens.append(self._session.liveliness().declare_token(token))
            publisher = self._session.declare_publisher(
                f"{self._config.domain}{name}/{type_name}/{type_hash}",
                congestion_control=self._zenoh.CongestionControl.DROP,
            )
            self._topics[name] = _Topic(publisher)
        return self._topics[name]

    def close(self) -> None:
        self._session.close()


class _Topic:
    def __init__(self, publisher: Any) -> None:
        self._publisher, self._sent, self._gid = publisher, 0, os.urandom(16)

    @property
    def wanted(self) -> bool:
        return bool(self._publisher.matching_status.matching)

    def put(self, cdr: bytes) -> None:
        self._sent += 1
        attachment = struct.pack("<qqB", self._sent, time.time_ns(), len(self._gid)) + self._gid
        self._publisher.put(cdr, attachment=attachment)
