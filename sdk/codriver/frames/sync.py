"""Which time a set of frames has, and which of its frames belong to that time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from codriver.config import TimingConfig


class Refusal(NamedTuple):
    """Why a frame is not taken. kind: late, early, duplicate or out_of_order, as ViewCounts has it."""

    kind: str
    reason: str


def set_time(times_s: list[float], last_t: float | None, timing: TimingConfig) -> float:
    """The time that most frames agree on, so that one camera with a wrong clock does not move the others.

    times_s: capture times, at least one. Among equals: one that goes on from `last_t` without a jump, then the newest.
    """

    def rank(t: float) -> tuple[int, bool, float]:
        agreeing = sum(abs(t - other) <= timing.pair_s for other in times_s)
        return agreeing, last_t is None or 0 < t - last_t <= timing.jump_s, t

    return max(times_s, key=rank)


def refusals(
    times_s: Mapping[str, float], t: float, newest_s: Callable[[str], float | None], timing: TimingConfig
) -> dict[str, Refusal]:
    """The frames of a set that cannot be used, by view. newest_s: a view's newest accepted time in this recording."""
    found = {view: _refusal(own_s, t, newest_s(view), timing) for view, own_s in times_s.items()}
    return {view: refusal for view, refusal in found.items() if refusal is not None}


def _refusal(own_s: float, t: float, newest_s: float | None, timing: TimingConfig) -> Refusal | None:
    if newest_s is not None and own_s == newest_s:
        return Refusal("duplicate", f"the frame of {own_s:.3f} s came again")
    if newest_s is not None and own_s < newest_s:
        return Refusal("out_of_order", f"its frame of {own_s:.3f} s came after that of {newest_s:.3f} s")
    apart_s = own_s - t
    if abs(apart_s) <= timing.pair_s + 1e-9:
        return None
    kind, side = ("late", "behind") if apart_s < 0 else ("early", "ahead of")
    return Refusal(kind, f"{abs(apart_s) * 1e3:.0f} ms {side} its set, at most {timing.pair_s * 1e3:g} ms pair")


def skews(times_s: Mapping[str, float], t: float, timing: TimingConfig) -> list[str]:
    """What to say of frames that pair, but barely."""
    return [
        f"{view}: {abs(own_s - t) * 1e3:.0f} ms from its set, over {timing.warn_s * 1e3:g} ms"
        for view, own_s in times_s.items()
        if abs(own_s - t) > timing.warn_s + 1e-9
    ]


def jump_s(last_t: float | None, t: float, timing: TimingConfig) -> float:
    """How far time jumped since the last step, 0 if it went on."""
    apart_s = 0.0 if last_t is None else t - last_t
    return apart_s if abs(apart_s) > timing.jump_s + 1e-9 else 0.0
