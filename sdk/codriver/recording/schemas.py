"""What a recording holds: topics and their JSON schemas, as docs/recording.md shows them.

Pictures are in Foxglove's form, so that its viewer shows them; all else is ours. Its reader of schemas wants one type
for each property, items for each list and properties for each object, or it shows nothing of a channel: what may be
null, and lists of lists, are required without being a property.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codriver.files.decode import rule
from codriver.percept import CLOCKS
from codriver.tasks import AIDE, VIEWS

INPUT = "/codriver/input/"  # and the name of the view
STEP = "/codriver/step"
PERCEPT = "/codriver/percept"
HEALTH = "/codriver/health"
META = "codriver"  # name of the metadata record at the head of each file
RECORDING_SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class RecordingMetadata:
    """At the head of each file, by whom and how it was recorded. MCAP keeps texts alone."""

    schema: str = str(RECORDING_SCHEMA)
    codriver: str  # version
    bundle: str  # id
    variant: str
    engine: str
    color: str
    policy: str  # JSON
    images: str  # of IMAGES
    lossless: str  # "true" or "false"
    file: str  # its number, from 0
    dense_view: str = rule("front", absent=True, choices=VIEWS)  # that maps and boxes are of
    # The wall clock's time (CLOCK_REALTIME) less the steps', as the file was begun. Footage, whose times are its own,
    # has none, nor have recordings of before.
    wall_offset_ns: str | None = rule(
        None, absent=True, pattern=r"-?[0-9]{1,19}", expected="nanoseconds, a whole number"
    )


@dataclass(frozen=True, kw_only=True)
class StepInput:
    """A step as it was given, without its pictures."""

    t: float
    views: tuple[str, ...]
    times: Mapping[str, float]
    face_px: tuple[float, ...] | None
    body_px: tuple[float, ...] | None
    keypoints: tuple[tuple[float | None, ...], ...] | None
    clocks: Mapping[str, str] | None = rule(None, absent=True, choices=CLOCKS)  # recordings of before have none
    # view -> width, height of the picture as it was given; so percepts' boxes can be placed in a smaller one
    sizes_px: Mapping[str, tuple[int, ...]] | None = rule(None, absent=True, low=1, high=1 << 16)


NUMBER, WHOLE, TEXT = {"type": "number"}, {"type": "integer"}, {"type": "string"}


def listed(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def having(**properties: dict[str, Any]) -> dict[str, Any]:
    """An object with these, and perhaps others."""
    return {"type": "object", "properties": properties}


def schema(title: str, properties: dict[str, Any], *untyped: str) -> dict[str, Any]:
    """All of it is required. untyped: names of what may be null."""
    return {"title": title, **having(**properties), "required": [*properties, *untyped]}


TIME = having(sec=WHOLE, nsec=WHOLE)
BYTES = {"type": "string", "contentEncoding": "base64"}
_TASKS = {
    task.name: having(
        valid={"type": "boolean"}, reason=TEXT, probabilities=having(**dict.fromkeys(task.labels, NUMBER))
    )
    for task in AIDE.tasks
}
IMAGE_SCHEMA = schema(
    "foxglove.CompressedImage",
    {"timestamp": TIME, "frame_id": TEXT, "data": BYTES, "format": TEXT},  # capture time; the view; png or jpeg
)
STEP_SCHEMA = schema(
    "codriver.Step",
    {
        "t": NUMBER | {"description": "capture time, seconds, as the step was given it"},
        "views": listed(TEXT) | {"description": "whose pictures belong to the step"},
        "times": having(**dict.fromkeys(VIEWS, NUMBER)) | {"description": "capture times of their own, where known"},
        "clocks": having(**dict.fromkeys(VIEWS, TEXT)) | {"description": "what kind: capture, container, arrival"},
        "sizes_px": having(**dict.fromkeys(VIEWS, listed(WHOLE))) | {"description": "width, height as they were given"},
    },
    *("face_px", "body_px", "keypoints"),  # x, y, width, height in the in-car picture as it is recorded
)
PERCEPT_SCHEMA = schema(
    "codriver.Percept",
    {
        "schema": WHOLE | {"description": "of Percept.to_dict()"},
        "t": NUMBER,
        "sequence": WHOLE,
        "state": TEXT,
        "events": listed(having(kind=TEXT, text=TEXT)) | {"description": "what happened to the engine or a camera"},
        "tasks": having(**_TASKS) | {"description": "name -> label, index, probability, probabilities, valid, reason"},
        "dense": having() | {"description": "name -> kind, valid, reason, t; boxes, and maps in a few numbers"},
        "views": having(**dict.fromkeys(VIEWS, having(status=TEXT, reason=TEXT, clock=TEXT))),
        "context": NUMBER,
        "latency_ms": having(total=NUMBER),
        "model": TEXT,
    },
)
HEALTH_SCHEMA = schema(
    "codriver.Health",
    {
        "t": NUMBER,
        "state": TEXT,
        "views": having(**dict.fromkeys(VIEWS, TEXT)) | {"description": "name -> status"},
        "stats": having(steps=WHOLE, misses=WHOLE) | {"description": "of Stats.to_dict(): what became of every frame"},
        "recorded": WHOLE | {"description": "steps so far"},
        "dropped_files": WHOLE | {"description": "removed so far, because the folder is bounded"},
    },
)


def stamp(at_ns: int) -> dict[str, int]:
    """As Foxglove's schemas have it."""
    return {"sec": at_ns // 10**9, "nsec": at_ns % 10**9}


def picture(at_ns: int, view: str, data: bytes, kind: str) -> dict[str, Any]:
    """A foxglove.CompressedImage. kind: png or jpeg."""
    return {"timestamp": stamp(at_ns), "frame_id": view, "data": b64encode(data).decode(), "format": kind}


def schema_of(topic: str) -> dict[str, Any]:
    """Whatever is not one of ours is a picture's."""
    return {STEP: STEP_SCHEMA, PERCEPT: PERCEPT_SCHEMA, HEALTH: HEALTH_SCHEMA}.get(topic, IMAGE_SCHEMA)
