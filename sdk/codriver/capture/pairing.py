"""Which instant a set of several cameras' frames is of, where each has its own times."""

from __future__ import annotations

from collections.abc import Sequence


def shared_time_s(newest_s: Sequence[float], now_s: float, last: tuple[float, float] | None, period_s: float) -> float:
    """What all cameras have a frame of: the oldest of their newest frames' times, but for cameras that lag behind.

    newest_s: of cameras that have a new frame. last: time of the last set, and when it was given. Without a new frame,
    and for frames older than the last set, time goes on as it does on the clock.
    """
    t = min((own_s for own_s in newest_s if own_s > max(newest_s) - period_s), default=now_s)
    if last is not None and (t <= last[0] or not newest_s):
        return last[0] + max(now_s - last[1], 1e-3)
    return t
