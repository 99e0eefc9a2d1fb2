"""AIDE's annotation of a clip: four labels, and where the driver is in each in-car frame."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from codriver.errors import SourceError
from codriver.percept import Driver
from codriver.tasks import AIDE, KEYPOINTS, Task

ALIASES = {"Forward": "Forward Moving"}  # some of AIDE's files say so; its own loader would stop there


@dataclass(frozen=True)
class Defect:
    """A part of an annotation that cannot be used. Somebody has to mend the file."""

    part: str  # emotion_label, keypoints, ...
    got: str
    expected: str
    image: str = ""  # the frame that it belongs to, if it belongs to one

    def __str__(self) -> str:
        return f"{self.part}{self.image and ' of ' + self.image} is {self.got}; expected {self.expected}"


@dataclass(frozen=True)
class Annotation:
    truth: Mapping[str, str] = field(default_factory=dict)  # task -> label
    drivers: Mapping[str, Driver] = field(default_factory=dict)  # image name -> where the driver is
    defects: tuple[Defect, ...] = ()
    nobody: tuple[str, ...] = ()  # names of images in which no person was found
    crowded: tuple[str, ...] = ()  # names of images with several persons, of whom the first is taken
    problems: tuple[str, ...] = ()  # defects and images without a driver, one sentence each


class _Unusable(Exception):
    """Raised with a Defect."""


def read_annotation(path: Path) -> Annotation:
    """Read a clip's JSON. A broken part becomes a defect; a file that is no JSON object is a SourceError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SourceError(f"annotation {path}: {error}; expected AIDE's JSON, copy it again") from error
    if not isinstance(content, dict):
        got = type(content).__name__
        raise SourceError(f"annotation {path}: got a JSON {got}, expected an object with pose_list")
    truth, defects = _truth(content)
    poses = _Poses()
    poses.read(content.get("pose_list"))
    defects += poses.defects
    said = [*map(str, defects), *(f"no person in {image}" for image in poses.nobody)]
    problems = tuple(f"{path.name}: {sentence}" for sentence in said)
    return Annotation(truth, poses.drivers, tuple(defects), tuple(poses.nobody), tuple(poses.crowded), problems)


def _truth(content: Mapping[str, Any]) -> tuple[dict[str, str], list[Defect]]:
    """A label that is not there is no defect: footage need not be labelled."""
    truth: dict[str, str] = {}
    defects = []
    for task in AIDE.tasks:
        key = task.annotation_key
        label = _label(task, content.get(key))
        if label is not None:
            truth[task.name] = label
        elif key in content:
            defects.append(Defect(key, repr(content[key]), f"one of {', '.join(task.labels)}"))
    return truth, defects


def _label(task: Task, text: object) -> str | None:
    """AIDE writes emotions in lower case, and one class of the vehicle in two ways."""
    if not isinstance(text, str):
        return None
    by_lower = {label.lower(): label for label in task.labels}
    return by_lower.get(ALIASES.get(text.strip(), text.strip()).lower())


@dataclass
class _Poses:
    """What pose_list holds, by the name of the image: AIDE's entries need not be in order, or complete."""

    drivers: dict[str, Driver] = field(default_factory=dict)
    defects: list[Defect] = field(default_factory=list)
    nobody: list[str] = field(default_factory=list)
    crowded: list[str] = field(default_factory=list)

    def read(self, entries: object) -> None:
        if entries is None:
            return
        if not isinstance(entries, list):
            self.defects.append(Defect("pose_list", f"a JSON {type(entries).__name__}", "a list"))
            return
        for position, entry in enumerate(entries):
            try:
                self._read_entry(position, entry)
            except _Unusable as error:
                self.defects.append(error.args[0])

    def _read_entry(self, position: int, entry: object) -> None:
        image = entry.get("imgname") if isinstance(entry, dict) else None
        if not isinstance(entry, dict) or not isinstance(image, str):
            raise _Unusable(Defect(f"pose_list[{position}]", "without imgname", "an object with imgname and result"))
        if image in self.drivers or image in self.nobody:
            raise _Unusable(Defect("pose_list entry", "there twice", "one entry for each frame", image))
        persons = entry.get("result")
        if not isinstance(persons, list):
            raise _Unusable(Defect("result", _kind(persons), "a list of persons", image))
        if not persons:
            self.nobody.append(image)
            return
        if len(persons) > 1:
            self.crowded.append(image)
        # The first person is the driver: so AIDE's files are read by every loader we know, and no other field says who.
        self.drivers[image] = _driver(persons[0], image)


def _driver(person: object, image: str) -> Driver:
    if not isinstance(person, dict):
        raise _Unusable(Defect("result[0]", _kind(person), "an object with keypoints, bbox and face_bbox", image))
    numbers = person.get("keypoints")
    keypoints = None if numbers is None else np.array(_numbers(numbers, 3 * KEYPOINTS, "keypoints", image), np.float32)
    boxes = {key: person.get(key) for key in ("face_bbox", "bbox")}
    face_px, body_px = (None if box is None else _box(box, key, image) for key, box in boxes.items())
    return Driver(
        face_px=face_px, body_px=body_px, keypoints=None if keypoints is None else keypoints.reshape(KEYPOINTS, 3)
    )


def _box(numbers: object, part: str, image: str) -> tuple[float, ...]:
    box = tuple(_numbers(numbers, 4, part, image))
    if not all(map(math.isfinite, box)):
        raise _Unusable(Defect(part, str(list(box)), "four finite numbers: x, y, width, height", image))
    return box


def _numbers(values: object, count: int, part: str, image: str) -> list[float]:
    if not isinstance(values, list) or len(values) != count:
        got = f"{len(values)} numbers" if isinstance(values, list) else _kind(values)
        raise _Unusable(Defect(part, got, f"{count} numbers", image))
    try:
        return [float(value) for value in values]
    except (TypeError, ValueError, OverflowError) as error:
        raise _Unusable(Defect(part, f"not all numbers ({error})", f"{count} numbers", image)) from error


def _kind(value: object) -> str:
    return "missing" if value is None else f"a JSON {type(value).__name__}"
