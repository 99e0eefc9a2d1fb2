"""A recording as Foxglove's viewer shows it without a plug-in: its own well-known schemas, as JSON in MCAP.

Pictures as they were recorded, the driver and boxes drawn over them in pixels of the recorded pictures, what happened
as a log, maps as a bundle answers them now; percepts and health as they were recorded, to be plotted.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from codriver.console import Progress
from codriver.dense.results import DenseResult, Map
from codriver.device.imports import opencv
from codriver.errors import CodriverError, SourceError
from codriver.files.atomic import whole_file
from codriver.files.images import PNG
from codriver.recording.drawing import LOG_SCHEMA, OVER_SCHEMA, RAW_SCHEMA, Drawing, drawn_boxes, drawn_driver
from codriver.recording.mcap_file import McapFile
from codriver.recording.reader import RecordedStep, Recording
from codriver.recording.schemas import HEALTH, INPUT, PERCEPT, picture, stamp
from codriver.version import VERSION
from codriver.view.dense import colored, overlaid

OVER, OVERLAY, MAP, LOG = "/codriver/over/", "/codriver/overlay/", "/codriver/map/", "/codriver/log"
CHUNK_BYTES = 1 << 20
INFO, WARNING, ERROR = 2, 3, 4  # of foxglove.Log
LEVELS = {"swapped": INFO, "failed": ERROR, "hangs": ERROR}  # of events; the others warn
STATE_LEVELS = {"ok": INFO, "init": INFO, "degraded": WARNING, "invalid": ERROR}
MapsOf = Callable[[RecordedStep], Mapping[str, DenseResult]]


class FoxgloveMessage(NamedTuple):
    topic: str
    content: Mapping[str, Any]
    schema: Mapping[str, Any] | None = None  # of a topic that recordings do not have


def to_foxglove(recording: Recording, out: Path, maps_of: MapsOf | None = None) -> tuple[int, bool]:
    """Write the file, whole or not at all. Returns how many steps, and whether all boxes could be placed.

    maps_of: what a bundle answers on a step's pictures; a recording keeps of maps a few numbers alone.
    """
    steps, placed, state, health = 0, True, "", None
    about = {"codriver": VERSION, "recording": recording.path.name}
    with (
        whole_file(out) as part,
        McapFile(part, "codriver.export", about, chunk_bytes=CHUNK_BYTES) as file,
        Progress(str(recording.path), None) as progress,
    ):
        for step in recording.steps():
            try:
                at_ns = step.stamp_ns(step.t)
                if recording.health is not health:  # of the step before
                    health = recording.health
                    _write_health(file, step, health)
                for topic, content, schema in _messages(step, state, maps_of):
                    file.write(topic, content, at_ns, schema)
                state, placed = step.percept["state"], placed and all(map(step.scale, step.frames))
            except CodriverError:
                raise
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
                what = f"a percept is not what codriver records ({type(error).__name__}: {error})"
                raise SourceError(f"{recording.path}: {what}; record the drive anew") from error
            steps += 1
            progress.step()
        if not steps:
            raise SourceError(f"{recording.path}: no whole step is in it; {'; '.join(recording.cut)}")
        if recording.health is not health:
            _write_health(file, step, recording.health)
    return steps, placed


def _write_health(file: McapFile, step: RecordedStep, health: Any) -> None:
    file.write(HEALTH, health, step.stamp_ns(health["t"]))


def _messages(step: RecordedStep, before: str, maps_of: MapsOf | None) -> Iterator[FoxgloveMessage]:
    """before: the state of the step before."""
    for view in step.frames:
        ending, data = _picture(step, view)
        yield FoxgloveMessage(INPUT + view, picture(step.taken_ns(view), view, data, ending))
    yield FoxgloveMessage(PERCEPT, step.percept)
    yield from _log(step, before)
    if "incar" in step.frames:
        yield _over(step, "incar", drawn_driver)
    view = step.about.dense_view
    if view in step.frames and step.percept.get("dense"):
        yield _over(step, view, drawn_boxes)
    results = {} if maps_of is None else maps_of(step)
    if view in step.frames:
        yield from _maps(step, view, results)


def _picture(step: RecordedStep, view: str) -> tuple[str, bytes]:
    """As it lies in the file, unless its colours were recorded in another order than others read them in."""
    ending, data = "png" if step.pictures[view].startswith(PNG) else "jpeg", step.pictures[view]
    if step.about.color == "rgb":
        data = opencv().imencode(f".{ending}", step.bgr(view))[1].tobytes()
    return ending, data


def _over(step: RecordedStep, view: str, draw: Callable[[Drawing, RecordedStep], None]) -> FoxgloveMessage:
    """What lies over a picture; nothing where nobody knows how large the picture was that the boxes are of."""
    drawing = Drawing(stamp(step.taken_ns(view)), step.frames[view].image.shape[0], step.scale(view) or (0.0, 0.0))
    if all(drawing.scale):
        draw(drawing, step)
    return FoxgloveMessage(OVER + view, drawing.content(), OVER_SCHEMA)


def _log(step: RecordedStep, before: str) -> Iterator[FoxgloveMessage]:
    """Events, and each change of the state with its reasons."""
    percept = step.percept
    lines = [(LEVELS.get(of["kind"], WARNING), of["kind"], of["text"]) for of in percept.get("events", ())]
    if percept["state"] != before:
        text = "; ".join([percept["state"], *percept.get("reasons", ())])
        lines.append((STATE_LEVELS[percept["state"]], "state", text))
    at = stamp(step.stamp_ns(step.t))
    for level, name, text in lines:
        content = {"timestamp": at, "level": level, "message": text, "name": f"codriver.{name}", "file": "", "line": 0}
        yield FoxgloveMessage(LOG, content, LOG_SCHEMA)


def _maps(step: RecordedStep, view: str, results: Mapping[str, DenseResult]) -> Iterator[FoxgloveMessage]:
    """Those about this picture: their values, and the picture with them over it."""
    own = step.frames[view].t
    t, at_ns = step.t if own is None else own, step.taken_ns(view)
    maps = {name: of for name, of in results.items() if isinstance(of, Map) and of.valid and of.t == t}
    if maps:
        data = opencv().imencode(".jpg", overlaid(step.bgr(view), maps))[1].tobytes()
        yield FoxgloveMessage(OVERLAY + view, picture(at_ns, view, data, "jpeg"))
    for name, result in maps.items():
        encoding, values = _values(result)
        about = {"width": values.shape[1], "height": values.shape[0], "step": values.strides[0], "encoding": encoding}
        data = b64encode(values.tobytes()).decode()
        yield FoxgloveMessage(
            MAP + name, {"timestamp": stamp(at_ns), "frame_id": view, **about, "data": data}, RAW_SCHEMA
        )


def _values(result: Map) -> tuple[str, Any]:
    """As many as the graph gives, without its bars: classes' indices, floats in the map's unit; normals as colours."""
    stride = result.box.network[0] // len(result.values)
    height, width = (max(side // stride, 1) for side in result.box.inner)
    if result.kind == "normals":
        return "bgr8", np.ascontiguousarray(colored(result, height, width)[0])
    if result.kind == "segmentation":
        return "mono8", np.ascontiguousarray(result.on(height, width), np.uint8)
    return "32FC1", np.ascontiguousarray(result.on(height, width), "<f4")
