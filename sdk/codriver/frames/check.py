"""What a step is given, checked before anything happens. Past this door all of it is trusted."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from codriver.arrays import Box, Image
from codriver.config import TimingConfig
from codriver.errors import FrameError
from codriver.frames.sync import jump_s, set_time
from codriver.percept import CLOCKS, Driver, Frame
from codriver.tasks import KEYPOINTS


class Request(NamedTuple):
    """One step's input, checked."""

    frames: Mapping[str, Image]  # view -> (H, W, 3) uint8
    times_s: Mapping[str, float]  # view -> capture time
    t: float  # of the set, seconds
    driver: Driver | None  # boxes of four numbers, keypoints (136, 3) float32
    clocks: Mapping[str, str] = {}  # view -> what kind of time its frame has, where told

    def without(self, views: Collection[str]) -> Request:
        if not views:
            return self
        kept = {view: frame for view, frame in self.frames.items() if view not in views}
        return self._replace(frames=kept, times_s={view: self.times_s[view] for view in kept})


def check_step(
    views: tuple[str, ...], last_t: float | None, frames: object, t: object, driver: object, timing: TimingConfig
) -> Request:
    """Check one step's input; a FrameError says what came, what was expected and what to do.

    Times of single frames are finite here, but may still not belong to the set's: see sync.py.
    """
    images, own_s, clocks = check_frames(views, frames)
    if t is None and own_s:
        t = set_time(list(own_s.values()), last_t, timing)
    at = check_time(last_t, t, timing)
    return Request(
        frames=images,
        times_s={view: own_s.get(view, at) for view in images},
        t=at,
        driver=check_driver(driver),
        clocks=clocks,
    )


def check_frames(views: tuple[str, ...], frames: object) -> tuple[dict[str, Image], dict[str, float], dict[str, str]]:
    """View -> image, all of them known and uint8 (H, W, 3); view -> time, and which clock's, of those with their own.

    views: the names that the bundle knows.
    """
    known = ", ".join(views)
    if not isinstance(frames, Mapping):
        raise FrameError(f"frames: got {type(frames).__name__}, expected a dict of arrays by view: {known}")
    images, own_s, clocks = {}, {}, {}
    for view, frame in frames.items():
        if view not in views:
            raise FrameError(f"frames: view {view!r} is not one of {known}{_hint(view, views)}")
        if frame is None:
            raise FrameError(f"view {view!r}: got None; leave a view without a frame out of the dict", view)
        if isinstance(frame, Frame):
            if frame.t is not None:
                own_s[view] = _own_seconds(view, frame.t)
            clocks[view] = _clock(view, frame.clock)
            frame = frame.image
        images[view] = check_frame(view, frame)
    return images, own_s, clocks


def sort_out(frames: Mapping[str, Any]) -> tuple[dict[str, Any], list[FrameError]]:
    """The frames whose form can be used, and why the others cannot. None of them is an error here."""
    fit, errors = {}, []
    for view, frame in frames.items():
        try:
            check_frame(view, frame.image if isinstance(frame, Frame) else frame)
            fit[view] = frame
        except FrameError as error:
            errors.append(error)
    return fit, errors


def _own_seconds(view: str, t: object) -> float:
    try:
        return _seconds(t)
    except FrameError as error:
        raise FrameError(f"view {view!r}: {error}", view) from error


def _clock(view: str, clock: object) -> str:
    if not isinstance(clock, str) or clock not in CLOCKS:
        raise FrameError(f"view {view!r}: got clock {clock!r}, expected one of {', '.join(filter(None, CLOCKS))}", view)
    return clock


def _hint(view: object, views: tuple[str, ...]) -> str:
    import difflib

    near = difflib.get_close_matches(str(view).lower(), views, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else "; leave it out"


def check_time(last_t: float | None, t: object, timing: TimingConfig) -> float:
    """Seconds, after `last_t` or so far before it that time has jumped. None is now, on the monotonic clock."""
    seconds = time.monotonic() if t is None else _seconds(t)
    if last_t is not None and seconds <= last_t and not jump_s(last_t, seconds, timing):
        raise FrameError(
            f"t: got {seconds}, expected a time after the last step's {last_t}; "
            "drop the frame, or call reset() to begin a new recording"
        )
    return seconds


def _seconds(t: object) -> float:
    if isinstance(t, bool | np.bool_) or not isinstance(t, int | float | np.integer | np.floating):
        raise FrameError(f"t: got {type(t).__name__}, expected seconds; convert a datetime with .timestamp()")
    try:
        seconds = float(t)
    except OverflowError:  # a whole number beyond all floats
        seconds = math.inf
    if not math.isfinite(seconds):
        raise FrameError(f"t: got {seconds}, expected a finite capture time in seconds")
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


def check_frame(view: str, frame: object) -> Image:
    """Return the frame if it is (H, W, 3) uint8; a FrameError says what came otherwise."""
    if not isinstance(frame, np.ndarray):
        raise FrameError(f"view {view!r}: got {type(frame).__name__}, expected a numpy array (H, W, 3) uint8", view)
    if frame.dtype != np.uint8:
        raise FrameError(
            f"view {view!r}: got {frame.dtype} {frame.shape}, expected uint8 (H, W, 3); "
            "scale float images to 0..255 and cast with .astype(np.uint8)",
            view,
        )
    if frame.ndim != 3 or frame.shape[2] != 3 or min(frame.shape) < 1:
        raise FrameError(
            f"view {view!r}: got shape {frame.shape}, expected (H, W, 3); "
            "drop an alpha channel with frame[..., :3], stack a grey image three times",
            view,
        )
    return frame


def check_box(name: str, box_px: object) -> Box:
    """Return the box if it is four numbers, whatever they cover; a FrameError says what came otherwise."""
    expected = "expected four numbers: x, y, width, height in pixels"
    try:
        values = _real(box_px).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise FrameError(f"{name}: got {str(box_px)[:80]!r}, {expected}") from error
    if values.shape != (4,):
        raise FrameError(f"{name}: got shape {values.shape}, {expected}")
    return tuple(values.tolist())


def _real(values: object) -> NDArray[Any]:
    """As an array, if it holds no complex number: NumPy would drop half of each with a warning."""
    array = np.asarray(values)
    if array.dtype.kind == "c":
        raise TypeError("complex numbers")
    return array


def check_keypoints(keypoints: object) -> NDArray[np.float32]:
    """Return the keypoints as float32 (136, 3), NaN and all; a FrameError says what came otherwise."""
    expected = f"expected an array ({KEYPOINTS}, 3): Halpe-136, x y score"
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            values = _real(keypoints).astype(np.float32, copy=False)
    except (TypeError, ValueError) as error:
        raise FrameError(f"keypoints: got {type(keypoints).__name__}, {expected}") from error
    if values.shape != (KEYPOINTS, 3):
        raise FrameError(f"keypoints: got shape {values.shape}, {expected}")
    return values
