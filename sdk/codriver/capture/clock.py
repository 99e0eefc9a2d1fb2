"""Which time a frame has: its driver's, if that is on our clock, or its arrival's. And what is missing between."""

from __future__ import annotations

from collections import deque
from statistics import median

AHEAD_S = 0.005  # a driver's time later than this after its frame came is of another clock
OLD_S = 2.0  # so is one from longer ago: drivers hold a few frames, not seconds of them
STALE_S = 0.3  # a frame as old as this when it is read lay in a queue
KNOWN = 8  # intervals from which the camera's period is known
JUDGED = 31


class Clock:
    """Of one camera, as long as it stays open."""

    def __init__(self) -> None:
        self.lost = 0  # frames that were taken and never came, by the gaps between capture times
        self.problem = ""  # what to say of the newest frame's time
        self._newest_s: float | None = None
        self._intervals_s: deque[float] = deque(maxlen=JUDGED)

    def time_s(self, driver_s: float | None, now_s: float) -> tuple[float, str]:
        """When a frame was taken, and by which clock. driver_s: what its driver says; now_s: monotonic, as it came."""
        self.problem = ""
        if driver_s is None:
            return now_s, "arrival"
        age_s = now_s - driver_s
        if not -AHEAD_S <= age_s <= OLD_S:
            self.problem = (
                f"the time that it tells is {abs(age_s):.1f} s off the monotonic clock: the arrival's is taken"
            )
        elif self._newest_s is not None and driver_s <= self._newest_s:
            self.problem = "the time that it tells does not go on: the arrival's is taken"
        if self.problem:
            return now_s, "arrival"
        if age_s > STALE_S:
            self.problem = f"its frames are {age_s * 1e3:.0f} ms old when they are read"
        self._count(driver_s)
        self._newest_s = driver_s
        return driver_s, "capture"

    def _count(self, driver_s: float) -> None:
        if self._newest_s is None:
            return
        interval_s = driver_s - self._newest_s
        self._intervals_s.append(interval_s)
        if len(self._intervals_s) >= KNOWN:
            self.lost += max(0, round(interval_s / median(self._intervals_s)) - 1)
