"""Times of a file's frames from the stamps in its container, of which one or all may be wrong."""

from __future__ import annotations

from collections.abc import Sequence

GAP_S = 1.0  # the last frame is not this much later than the one before it: nothing after it speaks for it


class Stamps:
    """Give it each stamp with the few that follow; it returns a time later than all before.

    A stamp that most of those after it fall short of is a slip, and the frame stands between its neighbours. Stamps
    that fall back for good, as where files were put one behind the other, go on from where they were.
    """

    def __init__(self, rate_hz: float) -> None:
        self._period_s = 1.0 / rate_hz
        self._t: float | None = None
        self._shift_s = 0.0
        self.problems: list[str] = []

    def time_s(self, stamp_s: float, following_s: Sequence[float]) -> float:
        at, coming = stamp_s + self._shift_s, [after_s + self._shift_s for after_s in following_s]
        before = -self._period_s if self._t is None else self._t
        ahead = sum(after < at for after in coming) * 2 > len(coming)
        if not coming and self._t is not None:
            ahead = at - before > max(GAP_S, 3 * self._period_s)
        if at > before and not ahead:
            self._t = at
        elif at <= before and coming and max(coming) <= before and at < coming[0]:
            self._shift_s += before + self._period_s - at
            self._t = before + self._period_s
            self._tell(f"its time stamps begin again at {stamp_s:.2f} s: they go on from {self._t:.2f} s")
        else:
            later = min((after for after in coming if after > before + 1e-3), default=before + 2 * self._period_s)
            self._t = before + min(self._period_s, (later - before) / 2)
            if at > before or (
                at < before and any(after != at for after in coming)
            ):  # a container without stamps says 0 for ever
                what = f"a time stamp of {stamp_s:.2f} s does not fit between its neighbours: {self._t:.2f} s is taken"
                self._tell(f"{what}, and so for others like it")
        return self._t

    def _tell(self, what: str) -> None:
        if not self.problems:  # the first says enough of a file
            self.problems.append(what)
