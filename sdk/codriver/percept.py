"""What goes in beside the frames, and what comes out: frozen values, JSON-ready."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SCHEMA = 1  # of to_dict(); raised when a field changes its meaning

STATES = ("init", "ok", "degraded", "invalid")


@dataclass(frozen=True, kw_only=True)
class Driver:
    """Where the driver is in the in-car frame, by your detector or pose estimator; each optional."""

    face_px: Sequence[float] | None = None  # x, y, width, height
    body_px: Sequence[float] | None = None  # x, y, width, height
    keypoints: NDArray[np.float32] | None = None  # (136, 3) Halpe-136: x, y in pixels, score 0..1


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """One task's answer. While invalid there is no label: never a class that nobody can vouch for."""

    label: str | None
    index: int | None
    probability: float | None
    probabilities: Mapping[str, float]  # by label, in class order; empty while invalid
    valid: bool
    reason: str  # why it is invalid; "" while valid

    def to_dict(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "index": self.index,
            "probability": self.probability,
            "probabilities": dict(self.probabilities),
            "valid": self.valid,
            "reason": self.reason,
        }


@dataclass(frozen=True, kw_only=True)
class ViewStatus:
    """What became of one camera: `ok` (seen in this step), `late` (seen recently), `lost` or `never` seen."""

    status: str
    age_s: float | None  # since its newest frame; None if it was never seen
    reason: str  # "" while ok

    def to_dict(self) -> dict[str, Any]:
        return {"status": self.status, "age_s": self.age_s, "reason": self.reason}


@dataclass(frozen=True, kw_only=True)
class Percept:
    """Everything known after one step. Tasks are attributes too: `percept.driver_emotion.label`."""

    t: float  # capture time of this step, seconds
    sequence: int  # steps since open, from 0; goes on through reset()
    state: str  # one of STATES
    tasks: Mapping[str, TaskResult]
    views: Mapping[str, ViewStatus]
    context: float  # share of the context's slots that hold a view
    latency_ms: Mapping[str, float]  # preprocess, encode, fuse, total
    model: str  # bundle id

    def __getattr__(self, name: str) -> TaskResult:
        tasks: Mapping[str, TaskResult] = self.__dict__.get("tasks", {})  # not there yet while being copied
        if name not in tasks:
            raise AttributeError(f"percept has no {name!r}; its tasks are {', '.join(tasks)}")
        return tasks[name]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.tasks]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `schema` is raised when a field changes its meaning."""
        return {
            "schema": SCHEMA,
            "t": self.t,
            "sequence": self.sequence,
            "state": self.state,
            "tasks": {name: result.to_dict() for name, result in self.tasks.items()},
            "views": {name: view.to_dict() for name, view in self.views.items()},
            "context": self.context,
            "latency_ms": dict(self.latency_ms),
            "model": self.model,
        }
