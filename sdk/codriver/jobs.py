"""What a PerceiverWorker goes by, and what it is given to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from codriver.errors import CodriverError
from codriver.perceiver import Perceiver
from codriver.percept import Driver, Frame
from codriver.preprocess import Image

Frames = Mapping[str, "Image | Frame"]
Open = Callable[[], Perceiver]


@dataclass(frozen=True, kw_only=True)
class WorkerConfig:
    deadline_ms: float = 100.0  # of one step; the percept says whether it took longer
    grace_ms: float = 50.0  # after the deadline, then the answers are invalid; 100 is promised, for a busy machine
    repeat_s: float = 1.0  # between invalid percepts while the engine hangs
    replace_after_s: float = 2.0  # an engine that hung for longer is replaced once it returns
    overload_share: float = 0.2  # more sets dropped than this within `overload_s`: the state is degraded
    overload_s: float = 1.0


@dataclass
class Job:
    """A set that waits, or that is stepped."""

    frames: Frames
    t: float | None
    driver: Driver | None
    began_s: float = 0.0
    flagged_s: float | None = None  # when the watchdog last told of it


@dataclass
class Swap:
    """A perceiver that is to take over between two steps."""

    fresh: Perceiver
    opens: Open  # what opens another one once this took over
    only_after: Open | None = None  # what must have opened the one at work: an upgrade of that one and no other
    done: bool = False
    error: CodriverError | None = None
