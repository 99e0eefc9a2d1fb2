"""Whether a camera still shows the world: lost, black, saturated, frozen or covered, told from a few thousand pixels.

Every frame is sub-sampled to about 90 lines (8 times for 720p); a check costs a fraction of a millisecond.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from codriver.arrays import Image
from codriver.config import HealthConfig, Policy
from codriver.percept import ViewStatus

LINES = 90  # rows kept of a landscape picture
BLOCKS = 4  # per side, for the Laplacian
EPSILON_S = 1e-6


class Look(NamedTuple):
    """What one frame looks like."""

    pixels: bytes  # those that were read
    mean: float  # level, 0..255
    std: float
    detail: Sequence[float]  # 4 x 4 blocks: variance of the Laplacian in each, level²


def look_at(image: Image) -> Look:
    """image: (H, W, 3) uint8. Only every n-th pixel of the green channel is read."""
    import cv2

    stride = max(1, min(image.shape[:2]) // LINES)
    sample = np.ascontiguousarray(image[::stride, ::stride, 1])
    mean, std = cv2.meanStdDev(sample)
    return Look(sample.tobytes(), float(mean[0, 0]), float(std[0, 0]), _detail(cv2, sample))


def _detail(cv2: Any, sample: Image) -> list[float]:
    """Mean square of the Laplacian in each of 4 x 4 blocks: its variance, as its mean is zero but for the rim.

    sample: (H, W) uint8. A picture of under four pixels a side has no blocks, and counts as full of detail.
    """
    height, width = (side - side % BLOCKS for side in sample.shape)
    if not (height and width):
        return [math.inf] * BLOCKS**2
    levels = sample.astype(np.float32)  # exact, and OpenCV's filter is faster on it than on bytes
    edges = cv2.Laplacian(levels, cv2.CV_32F)[:height, :width]
    blocks = cv2.resize(edges * edges, (BLOCKS, BLOCKS), interpolation=cv2.INTER_AREA)  # each block's mean
    detail: list[float] = blocks.ravel().tolist()
    return detail


class ViewHealth:
    """One camera's record: feed it every frame that is accepted, in order of time."""

    def __init__(self, config: HealthConfig) -> None:
        self.config = config
        self.clear()

    def clear(self) -> None:
        self.newest_s: float | None = None  # capture time of the newest frame accepted
        self.clock = ""  # what kind of time that is
        self.fault = ""  # one of FAULTS while there is one or the view recovers from it
        self.began_s = 0.0  # capture time of the first frame that is not to be trusted
        self._since_s: dict[str, float] = {}  # condition -> when it began to hold without a break
        self._repeats = 0  # frames since the picture last changed
        self._good = 0  # frames since the fault
        self._pixels: bytes | None = None

    def judge(self, look: Look, t: float, clock: str = "") -> None:
        """Take in what the view's newest frame looks like. t: its capture time, by `clock`."""
        self._note_conditions(look, t)
        faults = self._faults(t) if self._since_s else []
        if self.newest_s is not None and t - self.newest_s >= self.config.lost_s - EPSILON_S:
            self.fault, self.began_s, self._good = "lost", t, 0
        self.newest_s, self.clock = t, clock
        if faults:
            self.fault, self.began_s, self._good = faults[0], self._since_s[faults[0]], 0
        elif self.fault and not self._since_s:
            self._good += 1  # a frame shown twice neither counts nor starts over: 15 Hz in a stream of 30
            if self._good >= self.config.recovery_frames:
                self.fault = ""

    def _note_conditions(self, look: Look, t: float) -> None:
        limits = self.config
        flat = look.std < limits.flat_std
        black = flat and look.mean < limits.black_below
        saturated = flat and look.mean > limits.saturated_above
        same = look.pixels == self._pixels
        self._pixels, self._repeats = look.pixels, self._repeats + 1 if same else 0
        without_detail = sum(variance < limits.covered_below for variance in look.detail)
        blurred = without_detail >= limits.covered_share * len(look.detail)
        conditions = {  # in the order in which they are reported
            "black": black,
            "saturated": saturated,
            "frozen": same and not black and not saturated,  # such pictures repeat by themselves
            "covered": blurred and not black and not saturated,
        }
        self._since_s = {name: self._since_s.get(name, t) for name, holds in conditions.items() if holds}

    def _faults(self, t: float) -> list[str]:
        """The conditions that have held for long enough, the most telling first."""
        limits, frozen = self.config, self._repeats >= self.config.frozen_frames - 1
        needed_s = {"black": limits.flat_s, "saturated": limits.flat_s, "covered": limits.covered_s}
        needed_s["frozen"] = 0.0 if frozen else math.inf
        return [name for name, since_s in self._since_s.items() if t - since_s + EPSILON_S >= needed_s[name]]

    def status(self, now_s: float, refused: str = "") -> ViewStatus:
        """What to say of the view in a step of time `now_s`. refused: why its frame in this step was not taken."""
        if self.newest_s is None:
            return ViewStatus(status="refused" if refused else "never", age_s=None, reason=refused or "no frame yet")
        age_s = now_s - self.newest_s
        status, reason = self._how(age_s, now_s, refused)
        return ViewStatus(status=status, age_s=age_s, reason=reason, clock=self.clock)

    def _how(self, age_s: float, now_s: float, refused: str) -> tuple[str, str]:
        if age_s >= self.config.lost_s - EPSILON_S:
            tail = f"; {refused}" if refused else ""
            return "lost", f"no frame for {age_s:.1f} s{tail}"
        if refused:
            return "refused", refused
        if self.fault:
            return self.fault, self._fault_reason(now_s)
        if age_s >= self.config.late_s - EPSILON_S:
            return "late", f"no frame for {age_s:.2f} s"
        return "ok", ""

    def _fault_reason(self, now_s: float) -> str:
        if self._good:
            return f"was {self.fault}; {self._good} of {self.config.recovery_frames} good frames since"
        for_s = now_s - self.began_s
        return {
            "black": f"no light for {for_s:.1f} s",
            "saturated": f"nothing but white for {for_s:.1f} s",
            "frozen": f"the same picture for {for_s:.1f} s",
            "covered": f"no detail for {for_s:.1f} s: something on the lens, or fog",
            "lost": "back after silence",
        }[self.fault]


class Health:
    """All cameras."""

    def __init__(self, policy: Policy, views: Iterable[str]) -> None:
        self.views = {view: ViewHealth(policy.health_of(view)) for view in views}
        self._masked = policy.masked

    def judge(
        self, looks: Mapping[str, Look], times_s: Mapping[str, float], clocks: Mapping[str, str]
    ) -> dict[str, float]:
        """Take in one set of frames; return the views not to be used, and since which capture time not."""
        unfit = {}
        for view, look in looks.items():
            health = self.views[view]
            health.judge(look, times_s[view], clocks.get(view, ""))
            if health.fault in self._masked:
                unfit[view] = health.began_s
        return unfit

    def statuses(self, now_s: float, refused: Mapping[str, str]) -> dict[str, ViewStatus]:
        """refused: view -> why its frame in this step was not taken."""
        return {view: health.status(now_s, refused.get(view, "")) for view, health in self.views.items()}

    def newest_s(self, view: str) -> float | None:
        """Capture time of the newest frame that was accepted."""
        return self.views[view].newest_s

    def clear(self) -> None:
        for health in self.views.values():
            health.clear()
