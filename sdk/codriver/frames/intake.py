"""What becomes of each frame before it is encoded: refused, masked or taken; and how each camera is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from codriver.arrays import Arrays, Image
from codriver.config import Policy
from codriver.counts import StageClock, Tally
from codriver.device.cores import Cores
from codriver.frames.check import Request, check_step
from codriver.frames.health import Health, Look, look_at
from codriver.frames.preprocess import MAX_BAD_JOINTS, bad_joints, joint_inputs, stream_inputs
from codriver.frames.sync import jump_s, refusals, skews
from codriver.percept import Driver, DriverSight, ViewStatus
from codriver.tasks import JOINTS

# Where the driver is: given the in-car frame if there is one, its time, and what the caller says of the driver.
Find = Callable[[Image | None, float, Driver | None], DriverSight]


class Taken(NamedTuple):
    """One step's frames, sorted out."""

    request: Request  # what fits in time
    refused: Mapping[str, str]  # views whose frame's time does not fit, and why
    notes: tuple[str, ...]  # of time, for people
    jumped: bool  # time jumped: all that is remembered belongs to another recording


class Seen(NamedTuple):
    """What the frames of one step show."""

    inputs: Arrays  # stream -> what the encoder takes, of every stream that can be had from these frames
    times_s: Mapping[str, float]  # view -> capture time of its frame, of the views that are to be encoded
    masked: Mapping[str, float]  # the other views -> since which capture time they do not show the world
    sight: DriverSight  # where the driver is
    views: Mapping[str, ViewStatus]  # how each camera is
    notes: tuple[str, ...]  # of time and of the driver, for people


class Intake:
    """Counts every frame, and remembers of each camera what its health takes.

    places: image stream -> where the encoder takes its square picture from, (size, size, 3).
    """

    def __init__(self, policy: Policy, views: tuple[str, ...], places: Mapping[str, Image], cores: Cores) -> None:
        self.tally = Tally(views)
        self._views, self._places, self._cores = views, places, cores
        self._sizes_px = {stream: len(place) for stream, place in places.items()}
        self._policy, self._timing = policy, policy.timing
        self._health = Health(policy, views)
        self._last_t: float | None = None
        self._told: tuple[DriverSight, tuple[int, ...], Arrays] | None = None  # and the joints for that size of frame

    def take(self, frames: object, t: object, driver: object) -> Taken:
        """Check a step and sort its frames. A FrameError leaves all as it was, but for the counts."""
        request = self._checked(frames, t, driver)
        jumped_s = jump_s(self._last_t, request.t, self._timing)
        if jumped_s:
            self.clear()
            self.tally.add(resets=1)
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

    def see(self, taken: Taken, find: Find, clock: StageClock) -> Seen:
        """Find the driver, resize what the streams take, and judge each camera by what it shows."""
        request = taken.request
        with self.tally.failing(request.frames):
            sight, inputs, looks = self._looked_at(request, find, clock)
        masked = self._health.judge(looks, request.times_s, request.clocks)
        self.tally.count("masked", masked)
        notes = self._notes(sight.driver, {*inputs, *sight.reasons}) if "incar" in request.frames else []
        seen = Seen(
            inputs=inputs,
            times_s={view: t for view, t in request.times_s.items() if view not in masked},
            masked=masked,
            sight=sight,
            views=self._health.statuses(request.t, taken.refused),
            notes=(*taken.notes, *notes, *sight.notes),
        )
        clock.end("health")
        return seen

    def _looked_at(
        self, request: Request, find: Find, clock: StageClock
    ) -> tuple[DriverSight, Arrays, dict[str, Look]]:
        """The cameras share the cores. The in-car one comes first, in this thread: where the driver is must be known
        before it is cut. Each frame is looked at right after it was resized, while its pixels lie in a cache."""
        inputs: Arrays = {}
        looks: dict[str, Look] = {}
        sights: list[DriverSight] = []

        def look(view: str) -> None:
            driver, image = None, request.frames.get(view)
            if view == "incar":
                sights.append(find(image, request.times_s.get(view, request.t), request.driver))
                clock.end("find")
                driver = sights[0].driver
            if image is not None:
                joints = self._joints_of(sights[0], image) if driver else {}
                inputs.update(stream_inputs({view: image}, driver, self._sizes_px, self._places, joints))
                looks[view] = look_at(image)

        self._cores.each(look, ["incar", *(view for view in request.frames if view != "incar")])
        clock.end("preprocess")
        return sights[0], inputs, {view: looks[view] for view in request.frames}

    def _joints_of(self, sight: DriverSight, incar: Image) -> Arrays:
        """Found anew where the driver was: between two looks of the finder nothing moves."""
        if self._told is None or self._told[0] is not sight or self._told[1] != incar.shape:
            self._told = sight, incar.shape, joint_inputs(incar, sight.driver)
        return self._told[2]

    def _notes(self, driver: Driver, found: Collection[str]) -> list[str]:
        """What to say of the driver's parts that are left out. found: those that could be had, or have a reason."""
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
    why = {
        stream: f"{share:.0%} of its points are not numbers" if share > MAX_BAD_JOINTS else "all of its points are zero"
        for stream, share in bad_joints(driver.keypoints).items()
    }
    return [f"{stream}: {text}, so it is left out" for stream, text in why.items() if stream not in found]
