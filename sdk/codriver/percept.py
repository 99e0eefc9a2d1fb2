"""What goes in beside the frames, and what comes out: frozen values, JSON-ready."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

TOTALS = ("steps", "resets", "misses", "swaps")

SCHEMA = 3  # of to_dict(); raised when a field changes its meaning

STATES = ("init", "ok", "degraded", "invalid")
CAMERA = "camera"
EVENTS = (
    CAMERA,  # one failed or came back, its times are of another clock, or it lost frames
    "swapped",  # another bundle, variant or engine answers from this step on, because somebody asked for it
    "replaced",  # so does a new engine of the same bundle, because the old one failed or hung
    "failed",  # the engine failed on this step
    "hangs",  # the engine has not answered by its deadline, and still does not
    "refused",  # a better engine was to take over, and did not prove itself
    "not_closed",  # the engine of before did not let go of everything
)
CLOCKS = (
    "capture",  # when the picture was taken, by the camera's driver
    "container",  # by the file that it lies in
    "nominal",  # a file's number at the rate it should have been taken at
    "arrival",  # when it came: later than it was taken, by how much nobody knows
    "",  # nobody said
)
DRIVER_PARTS = ("face", "body", "posture", "gesture")
NOT_LOOKED_FOR = "this bundle's finder does not look for it"  # by design: said of the driver, no warning of a step
UNKNOWN = "unknown"  # label of a valid answer that no class is likely enough for


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture with the time it was taken at, where the cameras of a set do not share one."""

    image: NDArray[np.uint8]  # (H, W, 3)
    t: float | None = None  # capture time, seconds, on the clock of the steps; None: the step's
    clock: str = ""  # of CLOCKS: what kind of time t is


@dataclass(frozen=True, kw_only=True)
class Driver:
    """Where the driver is in the in-car frame, by your detector or pose estimator; each optional."""

    face_px: Sequence[float] | None = None  # x, y, width, height
    body_px: Sequence[float] | None = None  # x, y, width, height
    keypoints: NDArray[np.float32] | None = None  # (136, 3) Halpe-136: x, y in pixels, score 0..1


@dataclass(frozen=True, kw_only=True)
class DriverSight:
    """Where the driver is at a step, how sure that is, and who says so: the bundle's finder, or the caller."""

    present: bool | None = None  # whether there is a driver; None: nobody can say
    reason: str = ""  # why there is no driver to answer about; "" while there is one
    sources: Mapping[str, str] = field(default_factory=lambda: dict.fromkeys(DRIVER_PARTS, "none"))  # or found, given
    reasons: Mapping[str, str] = field(default_factory=dict)  # of parts that the finder left out
    certainty: Mapping[str, float] = field(default_factory=dict)  # 0..1, of parts that the finder looked for
    presence: Mapping[str, float] = field(default_factory=dict)  # probabilities: driver, face, usable camera
    face_px: Sequence[float] | None = None  # x, y, width, height
    body_px: Sequence[float] | None = None
    # (136, 3) Halpe-136; zeros: not looked for, or left out. An array is not compared; to_dict() tells it all.
    keypoints: NDArray[np.float32] | None = field(default=None, compare=False)

    @property
    def notes(self) -> list[str]:
        """What to say of parts that are not looked at although there is a driver, but for those never looked for."""
        return [f"{part} is left out: {why}" for part, why in self.reasons.items() if why != NOT_LOOKED_FOR]

    @property
    def driver(self) -> Driver:
        """What the streams are cut from."""
        return Driver(face_px=self.face_px, body_px=self.body_px, keypoints=self.keypoints)

    def to_dict(self) -> dict[str, Any]:
        found = self.keypoints is not None and "found" in (self.sources["posture"], self.sources["gesture"])
        keypoints = np.asarray(self.keypoints, float).tolist() if found else None  # who gave them knows them
        boxes = {"face_px": _box_to_list(self.face_px), "body_px": _box_to_list(self.body_px)}
        return _by_name(self) | boxes | {"keypoints": keypoints}


def _by_name(record: object) -> dict[str, Any]:
    """The fields of a dataclass, its mappings as new dicts."""
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in vars(record).items()}


def _box_to_list(box: Sequence[float] | None) -> list[float] | None:
    """None too for a box with a number that is not finite: no stream is cut from it, and JSON has no such number."""
    numbers = [] if box is None else [float(x) for x in box]
    return numbers if numbers and all(map(math.isfinite, numbers)) else None


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """One task's answer. While invalid there is no label: never a class that nobody can vouch for.

    A valid answer may be "unknown", without an index: the likeliest class is below the task's `unknown_below`.
    """

    label: str | None
    index: int | None
    probability: float | None  # of the likeliest class, even if it is not likely enough to be named
    probabilities: Mapping[str, float]  # by label, in class order; empty while invalid
    valid: bool
    reason: str  # why it is invalid or unknown; "" otherwise
    steady: str | None = None  # the label that smoothing gives, which does not flicker; None while it is off

    def to_dict(self) -> dict[str, Any]:
        return _by_name(self)


@dataclass(frozen=True, kw_only=True)
class ViewStatus:
    """How one camera is.

    `ok`; `late` or `lost` (nothing came for a while), `never` (nothing ever came); `black`, `saturated`, `frozen` or
    `covered` (what came is not the world: it is masked); `refused` (the time of this step's frame does not fit).
    A fault's name stays until the view has recovered; the reason then counts its good frames.
    """

    status: str
    age_s: float | None  # from its newest frame to the percept's t, below 0 if that is newer; None if never seen
    reason: str  # "" while ok
    clock: str = ""  # of CLOCKS: what kind of time its newest frame has

    def to_dict(self) -> dict[str, Any]:
        return _by_name(self)


class Event(NamedTuple):
    """What happened to the engine or a camera since the last step; `text` is among the percept's reasons too."""

    kind: str  # one of EVENTS
    text: str


@dataclass(frozen=True, kw_only=True)
class Percept:
    """Everything known after one step. Tasks are attributes too: `percept.driver_emotion.label`."""

    t: float  # capture time of this step, seconds
    sequence: int  # steps since open, from 0; goes on through reset()
    state: str  # one of STATES
    reasons: tuple[str, ...]  # why the state is not ok, and warnings; () while there is nothing to say
    tasks: Mapping[str, TaskResult]
    views: Mapping[str, ViewStatus]
    context: float  # share of the context's slots that hold a view
    dense: Mapping[str, Any] = field(default_factory=dict)  # results of codriver.dense.results: maps and boxes
    model: str  # bundle id
    driver: DriverSight = field(default_factory=DriverSight)
    latency_ms: Mapping[str, float] = field(default_factory=dict)  # health, find, preprocess, encode, fuse, total
    deadline_missed: bool = False  # the step took longer than its deadline
    events: tuple[Event, ...] = ()

    def __getattr__(self, name: str) -> Any:  # a TaskResult, or what codriver.dense.results has
        tasks = {**self.__dict__.get("tasks", {}), **self.__dict__.get("dense", {})}  # not there yet while being copied
        if name not in tasks:
            raise AttributeError(f"percept has no {name!r}; its tasks are {', '.join(tasks)}")
        return tasks[name]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.tasks, *self.dense]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `schema` is raised when a field changes its meaning."""
        return {
            "schema": SCHEMA,
            "t": self.t,
            "sequence": self.sequence,
            "events": [event._asdict() for event in self.events],
            "state": self.state,
            "reasons": list(self.reasons),
            "tasks": {name: result.to_dict() for name, result in self.tasks.items()},
            "dense": {name: result.to_dict() for name, result in self.dense.items()},
            "views": {name: view.to_dict() for name, view in self.views.items()},
            "context": self.context,
            "driver": self.driver.to_dict(),
            "latency_ms": dict(self.latency_ms),
            "deadline_missed": self.deadline_missed,
            "model": self.model,
        }


@dataclass(frozen=True, kw_only=True)
class ViewCounts:
    """One view's frames since open. What came in is counted at the door, the results where they happen."""

    input: int = 0
    processed: int = 0  # encoded and remembered
    masked: int = 0  # dropped: the view is not healthy, see its status
    overrun: int = 0  # dropped: a PerceiverWorker had a newer set before it got to this one
    failed: int = 0  # dropped: the encoder failed on it
    late: int = 0  # refused: too far behind its set
    early: int = 0  # refused: too far ahead of its set
    duplicate: int = 0  # refused: the time of the view's last frame again
    out_of_order: int = 0  # refused: a time before the view's last frame
    rejected: int = 0  # refused: its step raised a FrameError

    @property
    def dropped(self) -> int:
        return self.masked + self.overrun + self.failed

    @property
    def refused(self) -> int:
        return self.late + self.early + self.duplicate + self.out_of_order + self.rejected


@dataclass(frozen=True, kw_only=True)
class Stats:
    """Counts since open; neither reset() nor a jump of time clears them."""

    model: str  # bundle id of what answers now, its variant and its engine
    variant: str
    engine: str
    steps: int  # that gave a percept
    resets: int  # of the context, because time jumped or another encoder took over
    misses: int  # steps that took longer than their deadline
    swaps: int  # times that another bundle, variant or engine took over
    views: Mapping[str, ViewCounts]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        counts = {
            view: {**asdict(some), "dropped": some.dropped, "refused": some.refused}
            for view, some in self.views.items()
        }
        return _by_name(self) | {"views": counts}
