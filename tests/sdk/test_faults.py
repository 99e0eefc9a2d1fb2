"""What becomes of the answers when cameras fail: 169 cases, and never an alarm without a reason."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pytest

from codriver.config import FAULTS, Policy
from codriver.engines.fake import FakeEngine
from codriver.frames.health import Health, look_at
from codriver.perceiver import Perceiver
from codriver.percept import Percept, Stats
from codriver.tasks import AIDE, VIEWS
from tests.faults import KINDS, PERIOD_S, Cameras, FaultInjector, drive, perceiver_with

FIRST = 30  # step of the first spoilt frame: the context is full
SECOND = 21  # frames, from the first to the last one second
LASTING = 50  # frames: permanent, as far as these tests look
REFILL = 30  # frames: ten good ones, three slots and the frame before them, at 20 Hz
DURATIONS = {"one frame": 1, "one second": SECOND, "permanent": LASTING}
PAIRS = tuple(combinations(VIEWS, 2))
SHOWS = {**dict.fromkeys(("absent", "none", "float", "grey"), "lost")}  # kind -> status in the end, if not its name
SHOWS |= dict.fromkeys(("late", "early", "duplicate", "out_of_order"), "refused")
DETECTED_S = {  # after the first spoilt frame was taken (reference/integration.md 4.2)
    "late": 2 * PERIOD_S,  # that is three periods after the last good one
    "lost": 1.0 - PERIOD_S,
    "frozen": 5 * PERIOD_S,
    "black": 0.5,
    "saturated": 0.5,
    "covered": 1.0,
    "refused": 0.0,
}


@dataclass(frozen=True)
class Case:
    kind: str
    cameras: tuple[str, ...]
    count: int

    @property
    def shown(self) -> str:
        return SHOWS.get(self.kind, self.kind)


MATRIX = [Case(kind, (view,), count) for kind in KINDS for view in VIEWS for count in DURATIONS.values()]
MATRIX += [Case(kind, pair, LASTING) for kind in ("absent", "black", "frozen", "covered") for pair in PAIRS]
MATRIX += [Case("absent", VIEWS, LASTING)]


@pytest.fixture(scope="module")
def perceiver() -> Perceiver:
    return perceiver_with()


def run_case(perceiver: Perceiver, case: Case) -> list[Percept]:
    perceiver.reset()
    fault = FaultInjector(case.kind, case.cameras, FIRST, case.count)
    steps = FIRST + case.count + (REFILL if case.count < LASTING else 0)
    percepts = []
    for number, percept, errors in drive(perceiver, Cameras(seed=1), fault, steps):
        malformed = fault.on(number) and case.kind in ("none", "float", "grey")
        assert [error.view for error in errors] == list(case.cameras if malformed else ())
        json.dumps(percept.to_dict(), allow_nan=False)  # every number is finite
        percepts.append(percept)
    return percepts


def test_the_matrix_has_169_cases() -> None:
    assert len(MATRIX) == len(set(MATRIX)) == 169


@pytest.mark.parametrize("case", MATRIX, ids=lambda case: f"{case.kind}-{'+'.join(case.cameras)}-{case.count}")
def test_a_fault_is_named_in_time_masked_and_recovered_from(perceiver: Perceiver, case: Case) -> None:
    percepts = run_case(perceiver, case)
    healthy = [view for view in VIEWS if view not in case.cameras]
    assert percepts[FIRST - 1].state == "ok" and percepts[FIRST - 1].reasons == ()
    for percept in percepts:
        assert all(percept.views[view].status == "ok" for view in healthy)
    for camera in case.cameras:
        check_detection(case, [percept.views[camera].status for percept in percepts[FIRST:]])
    check_answers(case, percepts[FIRST + case.count - 1])
    if case.count < LASTING:
        assert percepts[-1].state == "ok" and percepts[-1].reasons == ()
    check_conservation(perceiver.stats())


def check_detection(case: Case, statuses: list[str]) -> None:
    """statuses: of a spoilt camera, from its first spoilt frame on."""
    during, names = statuses[: case.count], {"ok", "late", case.shown}
    names |= {"lost"} if case.shown == "refused" else set()  # after a second without a usable frame
    assert set(during) <= names
    for name in {case.shown, "late"} & names if case.shown == "lost" else {case.shown}:
        due = round(DETECTED_S[name] / PERIOD_S)
        if due < case.count:
            assert name in during[: due + 1]
        else:
            assert name not in during
    if case.count == LASTING:
        assert during[-1] == ("lost" if case.shown == "refused" else case.shown)
    elif case.count == 1 and case.shown != "refused":
        assert set(statuses) == {"ok"}


def check_answers(case: Case, last: Percept) -> None:
    """last: the step of the last spoilt frame. Whoever lost all cameras that it needs has no answer by then."""
    if case.count == 1:
        assert all(result.valid for result in last.tasks.values())
        return
    for task in AIDE.tasks:
        blind = set(task.needs_any) <= set(case.cameras)
        result = last.tasks[task.name]
        assert result.valid != blind and (result.label is None) == blind and bool(result.reason) == blind
    assert last.state == ("invalid" if set(case.cameras) == set(VIEWS) else "degraded")
    for camera in case.cameras:
        assert any(reason.startswith(f"{camera}: {last.views[camera].status}, ") for reason in last.reasons)


def check_conservation(stats: Stats) -> None:
    for counts in stats.views.values():
        assert counts.input == counts.processed + counts.dropped + counts.refused


def test_what_a_faulty_camera_showed_before_it_was_found_out_is_forgotten() -> None:
    """The fuser's answer after a black second is that of a camera that was away for that second."""
    perceiver = perceiver_with(FakeEngine)
    black, away = (
        [p for _, p, _ in drive(perceiver, Cameras(), FaultInjector(kind, ("left",), FIRST, SECOND), FIRST + SECOND)][
            -1
        ]
        for kind in ("black", "absent")
        if not perceiver.reset()  # type: ignore[func-returns-value]
    )
    assert black.tasks == away.tasks
    assert (black.views["left"].status, away.views["left"].status) == ("black", "lost")


def test_a_policy_may_report_a_fault_without_masking_it() -> None:
    case = Case("frozen", ("incar",), LASTING)
    percepts = run_case(perceiver_with(policy=Policy(masked=("black",))), case)
    assert percepts[-1].views["incar"].status == "frozen" and percepts[-1].driver_emotion.valid


def test_an_infrared_camera_may_be_dark(perceiver: Perceiver) -> None:
    policy = Policy().with_view("incar", black_below=0.5, flat_std=0.5)
    case = Case("black", ("incar",), LASTING)
    assert run_case(perceiver, case)[-1].state == "degraded"
    assert run_case(perceiver_with(policy=policy), case)[-1].state == "ok"


@pytest.mark.parametrize("missing", [some for size in (1, 2, 3, 4) for some in combinations(VIEWS, size)])
def test_each_set_of_missing_cameras_leaves_the_tasks_that_need_none_of_them(
    perceiver: Perceiver, missing: tuple[str, ...]
) -> None:
    """15 of 15: the driver's tasks need `incar`, the road's any of the other three."""
    perceiver.reset()
    fault = FaultInjector("absent", missing, 0, LASTING)
    *_, (_, percept, _) = drive(perceiver, Cameras(), fault, LASTING)
    driver, road = "incar" not in missing, not {"front", "left", "right"} <= set(missing)
    assert {name: result.valid for name, result in percept.tasks.items()} == {
        "driver_emotion": driver,
        "driver_behavior": driver,
        "traffic_context": road,
        "vehicle_behavior": road,
    }
    assert percept.state == ("degraded" if driver or road else "init")
    assert {view for view, status in percept.views.items() if status.status == "never"} == set(missing)


@pytest.mark.parametrize("moving", [False, True], ids=["noisy static", "nominal"])
def test_no_alarm_in_10_000_healthy_frames(moving: bool) -> None:
    """Four cameras, 2500 frames each. Static: one scene under a sensor's noise. Nominal: the scene passes by, and the
    light changes."""
    random = np.random.default_rng(5)
    health = Health(Policy(), VIEWS)
    scenes = random.integers(20, 200, (len(VIEWS), 12, 16, 3)).repeat(6, axis=1).repeat(6, axis=2)  # 72 x 96 px
    noise = random.normal(0, 1.5, (37, 72, 96, 3)).round().astype(np.int16)
    for number in range(2500):
        light = round(70 * np.sin(number / 50)) if moving else 0
        frames = {}
        for place, view in enumerate(VIEWS):
            scene = np.roll(scenes[place], number * 3, axis=1) if moving else scenes[place]
            grain = noise[(number + 9 * place) % len(noise)]
            frames[view] = np.clip(scene + grain + light, 0, 255).astype(np.uint8)
        assert not health.judge({v: look_at(f) for v, f in frames.items()}, dict.fromkeys(VIEWS, number / 30), {})
        assert all(status.status == "ok" for status in health.statuses(number / 30, {}).values())


def test_every_fault_that_a_policy_can_mask_occurs_in_the_matrix() -> None:
    assert set(FAULTS) <= {case.shown for case in MATRIX}
