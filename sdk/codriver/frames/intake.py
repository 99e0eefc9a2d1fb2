"""What becomes of each frame before it is encoded: refused, masked or taken; and how each camera is."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from codriver.config import Policy
from codriver.frames.check import Request, check_step
from codriver.frames.counts import Tally
from codriver.frames.health import Health, Look
from codriver.frames.preprocess import MAX_BAD_JOINTS, bad_joints
from codriver.frames.sync import jump_s, refusals, skews
from codriver.percept import Driver, ViewStatus
from codriver.tasks import JOINTS


@dataclass(frozen=True, kw_only=True)
class Taken:
    """One step's frames, sorted out."""

    request: Request  # what fits in time
    refused: Mapping[str, str]  # views whose frame's time does not fit, and why
    notes: tuple[str, ...]  # of time, for people
    jumped: bool  # time jumped: all that is remembered belongs to another recording


class Intake:
    """Counts every frame, and remembers of each camera what its health takes."""

    def __init__(self, views: tuple[str, ...], policy: Policy) -> None:
        self.tally = Tally(views)
        self._views = views
        self._timing = policy.timing
        self._health = Health(policy, views)
        self._last_t: float | None = None

    def take(self, frames: object, t: object, driver: object) -> Taken:
        """Check a step and sort its frames. A FrameError leaves all as it was, but for the counts."""
        request = self._checked(frames, t, driver)
        jumped_s = jump_s(self._last_t, request.t, self._timing)
        if jumped_s:
            self.clear()
            self.tally.reset()
        self._last_t = request.t
        refused = refusals(request.times_s, request.t, self._health.newest_s, self._timing)
        for view, refusal in refused.items():
            self.tally.count(refusal.kind, [view])
        paired = request.without(refused)
        jump = [f"time jumped by {jumped_s:+.1f} s: a new context begins"] if jumped_s else []
        return Taken(
            request=paired,
            refused={view: refusal.reason for view, refusal in refused.items()},
            notes=(*jump, *skews(paired.times_s, request.t, self._timing)),
            jumped=bool(jumped_s),
        )

    def judge(self, request: Request, looks: Mapping[str, Look]) -> dict[str, float]:
        """Judge the cameras by what their frames look like; return those to mask, and since which capture time."""
        unfit = self._health.judge(looks, request.times_s)
        self.tally.count("masked", unfit)
        return unfit

    def _checked(self, frames: object, t: object, driver: object) -> Request:
        given = tuple(frames) if isinstance(frames, Mapping) else ()
        self.tally.count("input", given)
        try:
            return check_step(self._views, self._last_t, frames, t, driver, self._timing)
        except BaseException:
            self.tally.count("rejected", given)
            raise

    @contextmanager
    def encoding(self, request: Request) -> Iterator[None]:
        """Count these frames as processed if they are encoded meanwhile, as failed if not."""
        result = "failed"
        try:
            yield
            result = "processed"
        finally:
            self.tally.count(result, request.frames)

    def statuses(self, t: float, taken: Taken) -> dict[str, ViewStatus]:
        """How each camera is after a step of time `t`."""
        return self._health.statuses(t, taken.refused)

    def go_on(self, other: Intake) -> None:
        """Go on after another one's last step, with its counts, but judge cameras anew."""
        self.tally, self._last_t = other.tally, other._last_t

    def clear(self) -> None:
        """Forget times and health, not the counts."""
        self._health.clear()
        self._last_t = None


def driver_notes(driver: Driver | None, found: Collection[str]) -> list[str]:
    """What to say of keypoints that are left out. found: the streams that could be had."""
    if driver is None or driver.keypoints is None or all(stream in found for stream in JOINTS):
        return []
    shares = bad_joints(driver.keypoints)
    return [
        f"{stream}: {share:.0%} of its points are not numbers, so it is left out"
        for stream, share in shares.items()
        if share > MAX_BAD_JOINTS
    ]
