"""What a PerceiverWorker goes by, and what it is given to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from codriver.arrays import Image
from codriver.errors import CodriverError
from codriver.perceiver import Perceiver
from codriver.percept import Driver, Frame

Frames = Mapping[str, "Image | Frame"]
Open = Callable[[], Perceiver]


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
