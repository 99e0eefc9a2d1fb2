"""A recording as rosbag2 (MCAP storage), for tools that know ROS 2: no ROS is needed to write it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from codriver.arrays import Image
from codriver.device.imports import load, opencv
from codriver.errors import ConfigError
from codriver.mapping.fields import Moment
from codriver.mapping.signals import WHOLE, BusMap

MISSING = "rosbag2 needs the package rosbags: pip install 'codriver[ros]'"
STD = {"boolean": "Bool", "string": "String", "float": "Float32", "double": "Float64"}
STD |= {kind: f"{'UI' if kind.startswith('u') else 'I'}nt{bits}" for kind, bits in WHOLE.items()}
IMAGE, DIAGNOSTICS = "sensor_msgs/msg/CompressedImage", "diagnostic_msgs/msg/DiagnosticArray"
DIAGNOSTICS_S = 1.0
OK, WARN, ERROR, STALE = range(4)  # of diagnostic_msgs/DiagnosticStatus
VIEW_LEVELS = {
    "ok": OK,
    "late": WARN,
    "lost": STALE,
    "never": STALE,
}  # any other is an error: what comes is not the world
STATE_LEVELS = {"ok": OK, "init": WARN, "degraded": WARN, "invalid": ERROR}


class Rosbag2:
    """`add` each step; in a `with`, so that the bag is complete. folder: must not be there."""

    def __init__(self, folder: Path, bus_map: BusMap) -> None:
        bags, types = load("rosbags.rosbag2", MISSING, "Writer"), load("rosbags.typesys", MISSING, "Stores")
        if folder.exists():
            raise ConfigError(f"{folder}: is there already; give a folder that is not")
        self._map, self._store = bus_map, types.get_typestore(types.Stores.ROS2_HUMBLE)
        self._bag = bags.Writer(folder, version=9, storage_plugin=bags.StoragePlugin.MCAP)
        self._topics: dict[str, Any] = {}
        self._told: tuple[float, Any] = (float("-inf"), None)  # when diagnostics were last written, and their levels

    def add(self, moment: Moment, images: Mapping[str, Image]) -> None:
        """images: (H, W, 3) uint8 BGR by view."""
        t = moment.percept.t
        for name, value in self._map.values(moment).items():
            if value is not None:
                kind = f"std_msgs/msg/{STD[str(self._map.config.signals[name].type)]}"
                self._write(name, kind, t, self._of(kind, data=value))
        for view, image in images.items():
            done, data = opencv().imencode(".png", image, [opencv().IMWRITE_PNG_COMPRESSION, 1])
            assert done, image.shape
            picture = self._of(
                IMAGE, header=self._header(t, view), format="png", data=np.asarray(data, np.uint8).ravel()
            )
            self._write(f"/codriver/{view}/image/compressed", IMAGE, t, picture)
        statuses = list(self._statuses(moment))
        levels = [status.level for status in statuses]
        if levels != self._told[1] or t - self._told[0] >= DIAGNOSTICS_S or t < self._told[0]:
            self._told = t, levels
            self._write("/diagnostics", DIAGNOSTICS, t, self._of(DIAGNOSTICS, header=self._header(t), status=statuses))

    def _statuses(self, moment: Moment) -> Iterator[Any]:
        percept = moment.percept
        rows = [("codriver: answers", STATE_LEVELS[percept.state], percept.state, percept.reasons)]
        for view, of in percept.views.items():
            rows.append((f"codriver: camera {view}", VIEW_LEVELS.get(of.status, ERROR), of.status, (of.reason,)))
        for name, level, word, reasons in rows:
            message = "; ".join(filter(None, (word, *reasons)))
            kind = "diagnostic_msgs/msg/DiagnosticStatus"
            yield self._of(kind, level=level, name=name, message=message, hardware_id=percept.model, values=[])

    def _header(self, t: float, frame: str = "") -> Any:
        stamp = self._of("builtin_interfaces/msg/Time", sec=_ns(t) // 10**9, nanosec=_ns(t) % 10**9)
        return self._of("std_msgs/msg/Header", stamp=stamp, frame_id=frame)

    def _of(self, kind: str, **fields: Any) -> Any:
        return self._store.types[kind](**fields)

    def _write(self, topic: str, kind: str, t: float, message: Any) -> None:
        if topic not in self._topics:
            self._topics[topic] = self._bag.add_connection(topic, kind, typestore=self._store)
        self._bag.write(self._topics[topic], _ns(t), self._store.serialize_cdr(message, kind))

    def __enter__(self) -> Rosbag2:
        self._bag.open()
        return self

    def __exit__(self, *error: object) -> None:
        self._bag.close()


def _ns(t: float) -> int:
    return max(round(t * 1e9), 0)
