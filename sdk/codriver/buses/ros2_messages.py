"""A moment in the words of ROS 2: std_msgs by the map, classifications, diagnostics, pictures. No ROS is needed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from codriver.arrays import Image
from codriver.device.imports import load, opencv
from codriver.errors import ConfigError
from codriver.mapping.fields import Moment
from codriver.mapping.signals import WHOLE, BusMap

MISSING = "ROS 2's messages need the package rosbags: pip install 'codriver[ros]'"
STD = {"boolean": "Bool", "string": "String", "float": "Float32", "double": "Float64"}
STD |= {kind: f"{'UI' if kind.startswith('u') else 'I'}nt{bits}" for kind, bits in WHOLE.items()}
IMAGE, DIAGNOSTICS = "sensor_msgs/msg/CompressedImage", "diagnostic_msgs/msg/DiagnosticArray"
STATUS, CLASSES = "diagnostic_msgs/msg/DiagnosticStatus", "vision_msgs/msg/Classification"
VISION = {  # what rosbags does not bring: the fields since ROS 2 Humble
    "vision_msgs/msg/ObjectHypothesis": "string class_id\nfloat64 score\n",
    CLASSES: "std_msgs/Header header\nvision_msgs/ObjectHypothesis[] results\n",
}
TOPIC = re.compile(r"(/[A-Za-z_][A-Za-z0-9_]*)+")
DIAGNOSTICS_S = 1.0
OK, WARN, ERROR, STALE = range(4)  # of diagnostic_msgs/DiagnosticStatus
VIEW_LEVELS = {
    "ok": OK,
    "late": WARN,
    "lost": STALE,
    "never": STALE,
}  # any other is an error: what comes is not the world
STATE_LEVELS = {"ok": OK, "init": WARN, "degraded": WARN, "invalid": ERROR}


class Message(NamedTuple):
    topic: str
    kind: str
    content: Any


class Ros2Messages:
    def __init__(self, bus_map: BusMap) -> None:
        types = load("rosbags.typesys", MISSING, "Stores")
        self.store = types.get_typestore(types.Stores.ROS2_HUMBLE)  # of all that is used here, later ones have the same
        for kind, text in VISION.items():
            self.store.register(types.get_types_from_msg(text, kind))
        if bus_map.config.bus != "ros2":
            raise ConfigError(f"{bus_map.path}: bus is {bus_map.config.bus}, expected ros2")
        for name in bus_map.config.signals:
            if not TOPIC.fullmatch(name):
                raise ConfigError(f"{bus_map.path}: signals.{name} is no topic, expected such as /codriver/state")
        self._map = bus_map
        self._told: tuple[float, Any] = (float("-inf"), None)  # when diagnostics were last told, and their levels
        self._names: tuple[str, ...] = ()  # of what they are about

    def of(self, moment: Moment, stamp_ns: int) -> Iterator[Message]:
        """All but pictures; diagnostics if they are due, by the steps' own times."""
        yield from self._std(self._map.values(moment))
        for task, result in moment.percept.tasks.items():  # no hypothesis: no answer
            order = sorted(result.probabilities.items(), key=lambda item: -item[1])
            kind = "vision_msgs/msg/ObjectHypothesis"
            results = [self._of(kind, class_id=label, score=share) for label, share in order]
            header = self._header(stamp_ns)
            yield Message(f"/codriver/{task}/classes", CLASSES, self._of(CLASSES, header=header, results=results))
        t, statuses = moment.percept.t, list(self._statuses(moment))
        self._names = tuple(status.name for status in statuses)
        levels = [status.level for status in statuses]
        if levels != self._told[1] or t - self._told[0] >= DIAGNOSTICS_S or t < self._told[0]:
            self._told = t, levels
            yield self._diagnostics(statuses, stamp_ns)

    def stale(self, silence_s: float, stamp_ns: int) -> Iterator[Message]:
        """Steps have stopped: nothing is known any more."""
        yield from self._std(self._map.invalid)
        why = f"no step for {silence_s:g} s"
        statuses = [self._status(name, STALE, why, "") for name in self._names]
        self._told = float("-inf"), None
        yield self._diagnostics(statuses, stamp_ns)

    def picture(self, view: str, image: Image, stamp_ns: int, ending: str, *options: int) -> Message:
        """image: (H, W, 3) uint8 BGR. ending and options: as OpenCV writes it."""
        done, data = opencv().imencode(f".{ending}", image, options)
        assert done, image.shape
        data = np.asarray(data, np.uint8).ravel()
        header = self._header(stamp_ns, view)
        return Message(image_topic(view), IMAGE, self._of(IMAGE, header=header, format=ending, data=data))

    def cdr(self, message: Message) -> bytes:
        return bytes(self.store.serialize_cdr(message.content, message.kind))

    def _std(self, values: dict[str, Any]) -> Iterator[Message]:
        for name, value in values.items():
            if value is not None:
                kind = f"std_msgs/msg/{STD[str(self._map.config.signals[name].type)]}"
                yield Message(name, kind, self._of(kind, data=value))

    def _statuses(self, moment: Moment) -> Iterator[Any]:
        percept = moment.percept
        rows = [("codriver: answers", STATE_LEVELS[percept.state], percept.state, percept.reasons)]
        for view, of in percept.views.items():
            rows.append((f"codriver: camera {view}", VIEW_LEVELS.get(of.status, ERROR), of.status, (of.reason,)))
        for name, level, word, reasons in rows:
            yield self._status(name, level, "; ".join(filter(None, (word, *reasons))), percept.model)

    def _status(self, name: str, level: int, message: str, model: str) -> Any:
        return self._of(STATUS, level=level, name=name, message=message, hardware_id=model, values=[])

    def _diagnostics(self, statuses: list[Any], stamp_ns: int) -> Message:
        content = self._of(DIAGNOSTICS, header=self._header(stamp_ns), status=statuses)
        return Message("/diagnostics", DIAGNOSTICS, content)

    def _header(self, stamp_ns: int, frame: str = "") -> Any:
        stamp = self._of("builtin_interfaces/msg/Time", sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
        return self._of("std_msgs/msg/Header", stamp=stamp, frame_id=frame)

    def _of(self, kind: str, **fields: Any) -> Any:
        return self.store.types[kind](**fields)


def image_topic(view: str) -> str:
    return f"/codriver/{view}/image/compressed"
