"""What a recording holds: topics and their JSON schemas, as docs/recording.md shows them.

Pictures are in Foxglove's form, so that its viewer shows them; all else is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codriver.files.decode import rule
from codriver.percept import CLOCKS

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


_TIME = {"type": "object", "properties": {"sec": {"type": "integer"}, "nsec": {"type": "integer"}}}
_NUMBERS = {"type": ["array", "null"], "items": {"type": "number"}}


def _schema(title: str, required: dict[str, Any]) -> dict[str, Any]:
    return {"title": title, "type": "object", "properties": required, "required": list(required)}


IMAGE_SCHEMA = _schema(
    "foxglove.CompressedImage",
    {
        "timestamp": _TIME,  # capture time of the step
        "frame_id": {"type": "string"},  # the view
        "data": {"type": "string", "contentEncoding": "base64"},
        "format": {"enum": ["png", "jpeg"]},
    },
)
STEP_SCHEMA = _schema(
    "codriver.Step",
    {
        "t": {"type": "number", "description": "capture time, seconds, as the step was given it"},
        "views": {"type": "array", "items": {"type": "string"}, "description": "whose pictures belong to the step"},
        "times": {"type": "object", "description": "view -> capture time of its own, where it has one"},
        "clocks": {"type": "object", "description": "view -> what kind of time that is: capture, container, arrival"},
        "face_px": _NUMBERS,  # x, y, width, height in the in-car picture as it is recorded
        "body_px": _NUMBERS,
        "keypoints": {"type": ["array", "null"], "items": {"type": "array", "items": {"type": ["number", "null"]}}},
    },
)
PERCEPT_SCHEMA = _schema(
    "codriver.Percept",
    {
        "schema": {"type": "integer", "description": "of Percept.to_dict()"},
        "t": {"type": "number"},
        "sequence": {"type": "integer"},
        "state": {"type": "string"},
        "events": {"type": "array", "description": "kind, text: what happened to the engine or a camera"},
        "tasks": {"type": "object", "description": "name -> label, index, probability, probabilities, valid, reason"},
        "dense": {"type": "object", "description": "name -> kind, valid, reason, t; boxes, and maps in a few numbers"},
        "views": {"type": "object", "description": "name -> status, age_s, reason, clock"},
        "context": {"type": "number"},
        "latency_ms": {"type": "object"},
        "model": {"type": "string"},
    },
)
HEALTH_SCHEMA = _schema(
    "codriver.Health",
    {
        "t": {"type": "number"},
        "state": {"type": "string"},
        "views": {"type": "object", "description": "name -> status"},
        "stats": {"type": "object", "description": "of Stats.to_dict(): what became of every frame"},
        "recorded": {"type": "integer", "description": "steps so far"},
        "dropped_files": {"type": "integer", "description": "removed so far, because the folder is bounded"},
    },
)


def schema_of(topic: str) -> dict[str, Any]:
    """Whatever is not one of ours is a picture's."""
    return {STEP: STEP_SCHEMA, PERCEPT: PERCEPT_SCHEMA, HEALTH: HEALTH_SCHEMA}.get(topic, IMAGE_SCHEMA)
