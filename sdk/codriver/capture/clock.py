"""Which time a frame has: its driver's, if that is on our clock, or its arrival's. And what is missing between."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from statistics import median

# Nothing is taken after it came: a driver's time later than this is of another clock, or of its wishes. The kernel's
# driver vivid stamps 90 % of a period ahead unless its control timestamp_source says "Start of Exposure".
AHEAD_S = 0.005
OLD_S = 2.0  # so is one from longer ago: drivers hold a few frames, not seconds of them
STALE_S = 0.3  # a frame as old as this when it is read lay in a queue
KNOWN = 16  # intervals from which the camera's period is known
JUDGED = 61


class Clock:
    """Of one camera, as long as it stays open."""

    def __init__(self) -> None:
        self.lost = 0  # frames that were taken and never came, by the gaps between capture times
        self.problem = ""  # what to say of the newest frame's time
        self._newest_s: float | None = None
        self._carried = 0.0  # periods by which the newest frame was late, so that a short interval after it is no news
        self._intervals_s: deque[float] = deque(maxlen=JUDGED)

    def time_s(self, driver_s: float | None, now_s: float) -> tuple[float, str]:
        """When a frame was taken, and by which clock. driver_s: what its driver says; now_s: monotonic, as it came."""
        self.problem = ""
        if driver_s is None:
            return now_s, "arrival"
        age_s = now_s - driver_s
        if not -AHEAD_S <= age_s <= OLD_S:
            side = "ahead of" if age_s < 0 else "behind"
            self.problem = f"its times are {_length(abs(age_s))} {side} the monotonic clock: the arrival's is taken"
        elif self._newest_s is not None and driver_s <= self._newest_s:
            self.problem = "its times do not go on: the arrival's is taken"
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
            periods = interval_s / _period_s(self._intervals_s) + self._carried
            self._carried = (periods - round(periods)) / 2  # half: the period is an estimate, whose error would add up
            self.lost = max(0, self.lost + round(periods) - 1)


def _period_s(intervals_s: Collection[float]) -> float:
    """Between two frames of which none was lost between: holds while a quarter of all intervals are such."""
    shortest_s = sorted(intervals_s)[len(intervals_s) // 4]
    return median(one for one in intervals_s if one < 1.5 * shortest_s)


def _length(seconds: float) -> str:
    return f"{seconds * 1e3:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
