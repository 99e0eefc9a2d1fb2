"""AIDE's annotation of a clip: four labels, and where the driver is in each in-car frame."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from codriver.errors import SourceError
from codriver.percept import Driver
from codriver.tasks import AIDE, KEYPOINTS, Task

ALIASES = {"Forward": "Forward Moving"}  # some of AIDE's files say so; its own loader would stop there


@dataclass(frozen=True)
class Annotation:
    truth: Mapping[str, str] = field(default_factory=dict)  # task -> label
    drivers: Mapping[str, Driver] = field(default_factory=dict)  # image name -> where the driver is
    problems: tuple[str, ...] = ()  # parts that could not be used


def read_annotation(path: Path) -> Annotation:
    """Read a clip's JSON. A broken part becomes a problem; a file that is no JSON object is a SourceError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SourceError(f"annotation {path}: {error}; expected AIDE's JSON, copy it again") from error
    if not isinstance(content, dict):
        got = type(content).__name__
        raise SourceError(f"annotation {path}: got a JSON {got}, expected an object with pose_list")
    problems: list[str] = []
    truth = {}
    for task in AIDE.tasks:
        label = _label(task, content.get(task.annotation_key))
        if label is not None:
            truth[task.name] = label
        elif task.annotation_key in content:
            got = content[task.annotation_key]
            problems.append(f"{path.name}: {task.annotation_key} is {got!r}, no class of it")
    drivers: dict[str, Driver] = {}
    entries = content.get("pose_list") or []
    for entry in entries if isinstance(entries, list) else []:
        try:
            drivers[str(entry["imgname"])] = _driver(entry["result"][0])
        except (KeyError, IndexError, TypeError, ValueError):
            problems.append(f"{path.name}: no usable driver for {_name_of(entry)}")
    return Annotation(truth, drivers, tuple(problems))


def _label(task: Task, text: object) -> str | None:
    """AIDE writes emotions in lower case, and one class of the vehicle in two ways."""
    if not isinstance(text, str):
        return None
    by_lower = {label.lower(): label for label in task.labels}
    return by_lower.get(ALIASES.get(text.strip(), text.strip()).lower())


def _driver(person: Mapping[str, Any]) -> Driver:
    numbers = person.get("keypoints")
    keypoints = None if numbers is None else np.asarray(numbers, dtype=np.float32).reshape(KEYPOINTS, 3)
    face_px, body_px = _box(person.get("face_bbox")), _box(person.get("bbox"))
    return Driver(face_px=face_px, body_px=body_px, keypoints=keypoints)


def _box(numbers: Sequence[float] | None) -> tuple[float, ...] | None:
    if numbers is None:
        return None
    x, y, width, height = (float(number) for number in numbers)
    if not all(map(math.isfinite, (x, y, width, height))):
        raise ValueError("a box that is not finite")
    return x, y, width, height


def _name_of(entry: object) -> str:
    return str(entry.get("imgname", "an entry without imgname")) if isinstance(entry, dict) else "an entry"
