"""What a step is given, checked before anything happens. Past this door all of it is trusted."""

from __future__ import annotations

import difflib
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from codriver.errors import FrameError
from codriver.percept import Driver
from codriver.preprocess import Image, check_box, check_frame, check_keypoints


@dataclass(frozen=True, kw_only=True)
class Request:
    """One step's input, checked."""

    frames: Mapping[str, Image]  # view -> (H, W, 3) uint8
    t: float  # capture time, seconds
    driver: Driver | None  # boxes of four numbers, keypoints (136, 3) float32


def check_step(views: tuple[str, ...], last_t: float | None, frames: object, t: object, driver: object) -> Request:
    """Check one step's input; a FrameError says what came, what was expected and what to do."""
    return Request(frames=check_frames(views, frames), t=check_time(last_t, t), driver=check_driver(driver))


def check_frames(views: tuple[str, ...], frames: object) -> dict[str, Image]:
    """View -> frame, all of them known and uint8 (H, W, 3). views: the names that the bundle knows."""
    known = ", ".join(views)
    if not isinstance(frames, Mapping):
        raise FrameError(f"frames: got {type(frames).__name__}, expected a dict of arrays by view: {known}")
    if not frames:
        raise FrameError(f"frames: got no frame, expected at least one of {known}; skip the step instead")
    for view in frames:
        if view not in views:
            raise FrameError(f"frames: view {view!r} is not one of {known}{_hint(view, views)}")
        if frames[view] is None:
            raise FrameError(f"view {view!r}: got None; leave a view without a frame out of the dict")
    return {view: check_frame(view, frames[view]) for view in frames}


def _hint(view: object, views: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(str(view).lower(), views, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else "; leave it out"


def check_time(last_t: float | None, t: object) -> float:
    """Seconds as a float, after `last_t`. None is now, on the monotonic clock."""
    if t is None:
        t = time.monotonic()
    if isinstance(t, bool | np.bool_) or not isinstance(t, int | float | np.integer | np.floating):
        raise FrameError(f"t: got {type(t).__name__}, expected seconds; convert a datetime with .timestamp()")
    try:
        seconds = float(t)
    except OverflowError:  # a whole number beyond all floats
        seconds = math.inf
    if not math.isfinite(seconds):
        raise FrameError(f"t: got {seconds}, expected a finite capture time in seconds")
    if last_t is not None and seconds <= last_t:
        raise FrameError(
            f"t: got {seconds}, expected a time after the last step's {last_t}; "
            "drop the frame, or call reset() to begin a new recording"
        )
    return seconds


def check_driver(driver: object) -> Driver | None:
    """The same driver with each part as plain numbers, in the right shape."""
    if driver is None:
        return None
    if not isinstance(driver, Driver):
        raise FrameError(f"driver: got {type(driver).__name__}, expected codriver.Driver(face_px=..., ...)")
    return Driver(
        face_px=None if driver.face_px is None else check_box("driver.face_px", driver.face_px),
        body_px=None if driver.body_px is None else check_box("driver.body_px", driver.body_px),
        keypoints=None if driver.keypoints is None else check_keypoints(driver.keypoints),
    )
