"""What samples/ros2_node.py calls of rclpy, played: messages with the fields of rosbags' definitions, a node, a clock.

It knows nothing of ROS that rosbags does not: calls of rclpy itself, QoS and threads are as we read them.
"""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

from rosbags.interfaces import Nodetype

from codriver.buses.ros2_messages import Ros2Messages
from codriver.mapping.alerts import read_alerts
from codriver.mapping.signals import read_map

STORE = Ros2Messages(read_map("ros2", read_alerts())).store
TIME = "builtin_interfaces/msg/Time"


def message_type(kind):
    fields = dict(STORE.fielddefs[kind][1])

    class Message:
        __slots__ = tuple(fields)  # a field that is none cannot be set, as in ROS

        def __init__(self, **given):
            for name, value in {name: empty(*of) for name, of in fields.items()}.items():
                setattr(self, name, given.pop(name, value))
            assert not given, f"{kind} has no field {', '.join(given)}"

        def plain(self):
            """As rosbags has it."""
            return STORE.types[kind](**{name: plain(getattr(self, name)) for name in fields})

    return Message


def empty(node, of):
    if node == Nodetype.NAME:
        return message_type(of)()
    return [] if node != Nodetype.BASE else {"string": "", "float64": 0.0}.get(of[0], 0)


def plain(value):
    return value.plain() if hasattr(value, "plain") else [*map(plain, value)] if isinstance(value, list) else value


class Node:
    now_ns = 0

    def __init__(self, name):
        self.taken, self.sent, self.timers = {}, {}, []

    def create_subscription(self, kind, topic, callback, qos):
        self.taken[topic] = (kind, callback)

    def create_publisher(self, kind, topic, depth):
        sent = self.sent[topic] = []

        def publish(message):
            assert isinstance(message, kind)
            ros = "vision_msgs/msg/Classification"
            sent.append(STORE.deserialize_cdr(STORE.serialize_cdr(message.plain(), ros), ros))

        return SimpleNamespace(publish=publish)

    def create_timer(self, period_s, callback):
        self.timers.append(callback)

    def get_clock(self):
        time = message_type(TIME)(sec=self.now_ns // 10**9, nanosec=self.now_ns % 10**9)
        return SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=self.now_ns, to_msg=lambda: time))


def stand_in(monkeypatch):
    """Modules of ROS, as the sample imports them."""
    vision = {name: message_type(f"vision_msgs/msg/{name}") for name in ("Classification", "ObjectHypothesis")}
    for name, content in {
        "rclpy": {},
        "rclpy.node": {"Node": Node},
        "rclpy.qos": {"qos_profile_sensor_data": None},
        "sensor_msgs": {},
        "sensor_msgs.msg": {"CompressedImage": message_type("sensor_msgs/msg/CompressedImage")},
        "vision_msgs": {},
        "vision_msgs.msg": vision,
    }.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
