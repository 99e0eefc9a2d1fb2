"""What becomes of each frame before it is encoded: refused, masked or taken; and how each camera is."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from codriver.arrays import Arrays
from codriver.config import Policy
from codriver.frames.check import Request, check_step
from codriver.frames.counts import Tally
from codriver.frames.health import Health, look_at
from codriver.frames.preprocess import MAX_BAD_JOINTS, bad_joints, stream_inputs
from codriver.frames.sync import jump_s, refusals, skews
from codriver.percept import Driver, ViewStatus
from codriver.stage_clock import Clock
from codriver.tasks import JOINTS


@dataclass(frozen=True, kw_only=True)
class Taken:
    """One step's frames, sorted out."""

    request: Request  # what fits in time
    refused: Mapping[str, str]  # views whose frame's time does not fit, and why
    notes: tuple[str, ...]  # of time, for people
    jumped: bool  # time jumped: all that is remembered belongs to another recording


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the frames of one step show."""

    inputs: Arrays  # stream -> what the encoder takes, of every stream that can be had from these frames
    times_s: Mapping[str, float]  # view -> capture time of its frame, of the views that are to be encoded
    masked: Mapping[str, float]  # the other views -> since which capture time they do not show the world
    notes: tuple[str, ...]  # of the driver, for people


class Intake:
    """Counts every frame, and remembers of each camera what its health takes.

    sizes_px: image stream -> side of the square picture that the encoder takes of it.
    """

    def __init__(self, policy: Policy, views: tuple[str, ...], sizes_px: Mapping[str, int]) -> None:
        self.tally = Tally(views)
        self._views, self._sizes_px = views, sizes_px
        self._policy, self._timing = policy, policy.timing
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

    def see(self, request: Request, clock: Clock) -> Seen:
        """Resize each frame and judge its camera by what it shows.

        Each frame is resized and looked at before the next, while its pixels lie in a cache.
        """
        inputs: Arrays = {}
        looks = {}
        for view, image in request.frames.items():
            inputs |= stream_inputs({view: image}, request.driver, self._sizes_px)
            clock.end("preprocess")
            looks[view] = look_at(image)
            clock.end("health")
        masked = self._health.judge(looks, request.times_s, request.clocks)
        self.tally.count("masked", masked)
        return Seen(
            inputs=inputs,
            times_s={view: t for view, t in request.times_s.items() if view not in masked},
            masked=masked,
            notes=tuple(self._notes(request, inputs)),
        )

    def _notes(self, request: Request, found: Collection[str]) -> list[str]:
        """What to say of the driver's parts that are left out. found: the streams that could be had."""
        driver = request.driver
        if driver is None or "incar" not in request.frames:
            return []
        boxes = {"face": driver.face_px, "body": driver.body_px}
        lost = [s for s in boxes if s in self._sizes_px and boxes[s] is not None and s not in found]
        what = "its box holds too little of the in-car frame, so it is left out"
        return [*(f"{stream}: {what}" for stream in lost), *driver_notes(driver, found)]

    def _checked(self, frames: object, t: object, driver: object) -> Request:
        given = tuple(frames) if isinstance(frames, Mapping) else ()
        self.tally.count("input", given)
        try:
            return check_step(self._views, self._last_t, frames, t, driver, self._timing)
        except BaseException:
            self.tally.count("rejected", given)
            raise

    @contextmanager
    def encoding(self, views: Iterable[str]) -> Iterator[None]:
        """Count the frames of these views as processed if they are encoded meanwhile, as failed if not."""
        result = "failed"
        try:
            yield
            result = "processed"
        finally:
            self.tally.count(result, views)

    @contextmanager
    def failing(self, views: Iterable[str]) -> Iterator[None]:
        """Count the frames of these views as failed if an error ends the step meanwhile."""
        try:
            yield
        except BaseException:
            self.tally.count("failed", views)
            raise

    def statuses(self, t: float, taken: Taken) -> dict[str, ViewStatus]:
        """How each camera is after a step of time `t`."""
        return self._health.statuses(t, taken.refused)

    def go_on(self, other: Intake) -> None:
        """Go on after another one's last step. If the policy is another, cameras are judged anew."""
        self._last_t = other._last_t
        if other._policy == self._policy:
            self._health = other._health

    def clear(self) -> None:
        """Forget times and health, not the counts."""
        self._health.clear()
        self._last_t = None


def driver_notes(driver: Driver, found: Collection[str]) -> list[str]:
    """What to say of keypoints that are left out. found: the streams that could be had."""
    if driver.keypoints is None or all(stream in found for stream in JOINTS):
        return []
    shares = bad_joints(driver.keypoints)
    return [
        f"{stream}: {share:.0%} of its points are not numbers, so it is left out"
        for stream, share in shares.items()
        if share > MAX_BAD_JOINTS
    ]
