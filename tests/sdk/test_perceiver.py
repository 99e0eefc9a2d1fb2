"""Stepping: what is remembered, what is answered, and what is refused without a trace."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codriver.arrays import Arrays
from codriver.errors import CodriverError, ConfigError, FrameError
from codriver.perceiver import Perceiver
from codriver.percept import Driver, Percept
from codriver.tasks import AIDE, GROUP_OF, GROUPS, STREAMS, VIEWS
from tests.spies import Spy
from tests.tiny import answers, make_tiny_bundle, run, tiny_steps

FRAME = np.zeros((20, 30, 3), np.uint8)
ROAD = ("front", "left", "right")
STREAM_SLOTS = tuple(f"{stream}_slot" for stream in STREAMS)


def without(steps: list[Any], number: int, *views: str) -> list[Any]:
    """The steps with these views taken out of one of them."""
    frames, t, driver = steps[number]
    kept = {view: frame for view, frame in frames.items() if view not in views}
    return [*steps[:number], (kept, t, driver), *steps[number + 1 :]]


# What a percept says


def test_a_full_context_answers_every_task(perceiver: Perceiver) -> None:
    percept = run(perceiver, tiny_steps(17))
    assert percept.state == "ok" and percept.context == 1.0
    assert set(percept.tasks) == set(AIDE.names) and set(percept.views) == set(VIEWS)
    for task in AIDE.tasks:
        result = percept.tasks[task.name]
        assert result.valid and result.reason == ""
        assert tuple(result.probabilities) == task.labels
        assert sum(result.probabilities.values()) == pytest.approx(1.0, abs=1e-12)
        assert result.index is not None and result.label == task.labels[result.index]
        assert result.probability == max(result.probabilities.values())
    assert all((view.status, view.age_s, view.reason) == ("ok", 0.0, "") for view in percept.views.values())
    assert percept.model == perceiver.manifest.id


def test_a_percept_is_json_ready(perceiver: Perceiver) -> None:
    percept = perceiver.step({"incar": FRAME}, 0.0)
    content = json.loads(json.dumps(percept.to_dict(), allow_nan=False))
    assert content["schema"] == 3 and content["tasks"]["driver_emotion"]["label"] is None


def test_latency_is_told_by_stage(perceiver: Perceiver) -> None:
    latency_ms = run(perceiver, tiny_steps(2)).latency_ms
    assert list(latency_ms) == ["health", "find", "preprocess", "encode", "fuse", "total"]
    assert 0 < sum(list(latency_ms.values())[:4]) <= latency_ms["total"]


def test_until_half_the_context_is_there_no_answer_is_given(perceiver: Perceiver) -> None:
    percepts = [perceiver.step(*step) for step in tiny_steps(9)]
    for number, percept in enumerate(percepts[:8]):  # the first frame shows no change: nothing to remember
        assert percept.state == "init" and percept.context == number / 16
        for result in percept.tasks.values():
            assert (result.valid, result.label, result.index, result.probability) == (False, None, None, None)
            assert not result.probabilities
            assert result.reason == f"gathering context: {number * 0.2:.1f} of 1.6 s"
    assert percepts[8].state == "ok" and percepts[8].context == 0.5


def test_sequence_counts_steps_through_reset_and_leaves_out_refused_ones(perceiver: Perceiver) -> None:
    first = perceiver.step({"incar": FRAME}, 1.0).sequence
    with pytest.raises(FrameError):
        perceiver.step({"incar": None}, 2.0)
    assert perceiver.step({"incar": FRAME}, 2.0).sequence == first + 1
    perceiver.reset()
    assert perceiver.step({"incar": FRAME}, 1.0).sequence == first + 2


def test_sequence_begins_at_0(bundle_path: Path) -> None:
    with Perceiver.open(bundle_path, threads=1) as perceiver:
        assert perceiver.step({"incar": FRAME}, 1.0).sequence == 0


def test_any_number_of_threads_gives_the_same_answers_bit_by_bit(bundle_path: Path) -> None:
    given = []
    for threads in (1, 2, 5):
        with Perceiver.open(bundle_path, engine="fake", threads=threads) as perceiver:
            given.append([answers(perceiver.step(*step)) for step in tiny_steps(12)])
    assert given[0] == given[1] == given[2]


def test_time_is_now_unless_given(perceiver: Perceiver) -> None:
    first, second = (perceiver.step({"incar": FRAME}).t for _ in range(2))
    assert 0 < first < second


# Views that stay away


def test_a_camera_grows_late_then_lost_and_comes_back(perceiver: Perceiver) -> None:
    steps = tiny_steps(60, rate_hz=10)
    for number in range(20, 40):
        steps = without(steps, number, "left")
    percepts = [perceiver.step(*step) for step in steps]
    left = [percept.views["left"] for percept in percepts]
    assert [view.status for view in left[18:33]] == ["ok"] * 3 + ["late"] * 8 + ["lost"] * 4
    assert left[20].age_s == pytest.approx(0.1)
    assert left[24].age_s == pytest.approx(0.5) and "no frame for 0.50 s" in left[24].reason
    assert "no frame for 1.3 s" in left[32].reason
    assert [view.status for view in left[40:50]] == ["lost"] * 9 + ["ok"]
    assert left[43].reason == "was lost; 4 of 10 good frames since"
    assert [percept.state for percept in percepts[18:52]] == ["ok"] * 3 + ["degraded"] * 28 + ["ok"] * 3


def test_a_camera_that_never_came_says_so(perceiver: Perceiver) -> None:
    percept = run(perceiver, tiny_steps(16, views=ROAD))
    assert (percept.views["incar"].status, percept.views["incar"].age_s) == ("never", None)
    assert percept.state == "degraded"


def test_without_the_in_car_view_the_driver_has_no_answer_and_the_road_has(perceiver: Perceiver) -> None:
    percept = run(perceiver, tiny_steps(16, views=ROAD))
    assert not percept.driver_emotion.valid and not percept.driver_behavior.valid
    assert percept.driver_emotion.reason == "no frame to trust from incar, or none 0.2 s before it"
    assert percept.traffic_context.valid and percept.vehicle_behavior.valid


@pytest.mark.parametrize("missing", [(), ("left",), ("left", "right"), ("front", "left", "right"), ("incar",)])
def test_a_task_is_valid_while_one_view_that_it_needs_is_fresh(perceiver: Perceiver, missing: tuple[str, ...]) -> None:
    steps = tiny_steps(20)
    for number in range(18, 20):
        steps = without(steps, number, *missing)
    percept = run(perceiver, steps)
    for task in AIDE.tasks:
        assert percept.tasks[task.name].valid == (not set(task.needs_any) <= set(missing))
    assert percept.state == ("degraded" if missing else "ok")


def test_a_view_just_missed_still_counts_as_fresh(perceiver: Perceiver) -> None:
    percept = run(perceiver, without(tiny_steps(31, rate_hz=15), 30, "incar"))
    assert percept.driver_emotion.valid and percept.views["incar"].age_s == pytest.approx(1 / 15)
    assert percept.state == percept.views["incar"].status == "ok"


def test_state_is_invalid_when_no_task_has_an_answer(tmp_path: Path) -> None:
    path = make_tiny_bundle(tmp_path / "b", ("incar", "front"), golden=False)
    with Perceiver.open(path, threads=1) as perceiver:
        manifest = perceiver.manifest
        assert manifest.views == ("incar", "front") and len(manifest.tasks) == 4
        run(perceiver, tiny_steps(16, views=("incar", "front")))
        percept = perceiver.step({"incar": FRAME}, 3.3)
        assert percept.state == "degraded" and not percept.traffic_context.valid
    path = make_tiny_bundle(tmp_path / "c", ("incar",), golden=False)
    with Perceiver.open(path, threads=1) as perceiver:
        assert list(run(perceiver, tiny_steps(16, views=("incar",))).tasks) == [
            "driver_emotion",
            "driver_behavior",
        ]


# Time


def scene(t: float) -> dict[str, np.ndarray]:
    """Frames that depend on nothing but the tenth of a second they were taken in."""
    random = np.random.default_rng(round(t * 10))
    return {view: random.integers(0, 256, (24, 24, 3), np.uint8) for view in VIEWS}


def test_10_15_and_30_hz_fill_the_same_slots(spies: tuple[Perceiver, Spy, Spy]) -> None:
    perceiver, _, fuser = spies
    seen = {}
    for rate_hz in (10, 15, 30):
        run(perceiver, [(scene(n / rate_hz), n / rate_hz) for n in range(16 * rate_hz // 5 + 1)])  # 3.2 s
        seen[rate_hz] = fuser.inputs[-1]
    for rate_hz in (10, 15, 30):
        assert seen[rate_hz]["mask"][0, :4].all() and not seen[rate_hz]["mask"][0, 4:].any()
    np.testing.assert_array_equal(seen[10]["front_slot"], seen[30]["front_slot"])


def test_45_frames_at_15_hz_reach_the_fuser_as_2_5_to_44(spies: tuple[Perceiver, Spy, Spy]) -> None:
    perceiver, encoder, fuser = spies
    run(perceiver, tiny_steps(45, rate_hz=15))
    alone = [encoder.engine.infer(inputs)["outside_slot"][0] for inputs in encoder.inputs]
    expected = np.stack([alone[index] for index in range(2, 45, 3)])  # the first has none before it
    np.testing.assert_array_equal(fuser.inputs[-1]["front_slot"][0, 1:], expected)
    assert fuser.inputs[-1]["mask"][..., 1:].all() and not fuser.inputs[-1]["mask"][..., 0].any()


def test_a_dropped_frame_masks_two_slots_of_its_stream_alone_and_changes_the_next(
    spies: tuple[Perceiver, Spy, Spy],
) -> None:
    perceiver, _, fuser = spies
    steps = tiny_steps(16)
    run(perceiver, steps)
    whole = fuser.inputs[-1]
    run(perceiver, without(steps, 10, "left"))
    holed = fuser.inputs[-1]
    left = VIEWS.index("left")
    assert np.argwhere(whole["mask"] != holed["mask"]).tolist() == [[0, left, 10], [0, left, 11]]
    assert not holed["left_slot"][0, 10:12].any() and whole["left_slot"][0, 10:12].any()
    differ = {name: np.argwhere((whole[name] != holed[name]).reshape(16, -1).any(1)) for name in STREAM_SLOTS}
    left_slots = differ.pop("left_slot").ravel().tolist()
    assert left_slots == [10, 11, 12]  # 11 cannot tell what changed, and 12 has no motion before it
    assert not any(len(slots) for slots in differ.values())


def test_a_dropped_step_changes_the_answer_and_is_forgotten_once_out_of_reach(perceiver: Perceiver) -> None:
    steps = tiny_steps(30)
    whole = run(perceiver, steps[:16])
    assert run(perceiver, steps[:10] + steps[11:16]).context == 13 / 16 and whole.context == 15 / 16
    whole, holed = run(perceiver, steps), run(perceiver, steps[:10] + steps[11:])
    assert answers(whole) == answers(holed)


def test_an_absent_stream_is_masked_and_not_remembered(spies: tuple[Perceiver, Spy, Spy]) -> None:
    perceiver, encoder, fuser = spies
    steps = [(frames, t, None) for frames, t, _ in tiny_steps(17, views=("incar", "front"))]
    run(perceiver, steps)
    inputs = fuser.inputs[-1]
    assert inputs["mask"][0].all(axis=1).tolist() == [True, True] + [False] * 6
    for name in ("left", "right", "face", "body", "posture", "gesture"):
        group = GROUP_OF[name]
        row = GROUPS[group].index(name)
        assert not inputs[f"{name}_slot"].any()
        assert not encoder.inputs[-1][group][row].any() and not encoder.inputs[-1][f"{group}_before"][row].any()


def test_a_gap_longer_than_the_context_starts_over(perceiver: Perceiver) -> None:
    steps = tiny_steps(16)
    run(perceiver, steps)
    percept = perceiver.step(steps[0][0], 100.0, steps[0][2])
    assert percept.state == "init" and percept.context == 0.0
    assert perceiver.step(steps[0][0], 100.2, steps[0][2]).context == 1 / 16


def test_only_differences_of_time_matter(perceiver: Perceiver) -> None:
    steps = tiny_steps(20, rate_hz=8)
    moved = [(frames, t + 1.7e9, driver) for frames, t, driver in steps]
    first, second = run(perceiver, steps), run(perceiver, moved)
    assert first.tasks == second.tasks and first.context == second.context


# Determinism


@pytest.mark.parametrize("engine", ["auto", "fake"])
def test_the_same_steps_give_the_same_answers_bit_by_bit(bundle_path: Path, engine: str) -> None:
    steps = tiny_steps(18, rate_hz=10)
    with (
        Perceiver.open(bundle_path, engine=engine, threads=1) as one,
        Perceiver.open(bundle_path, engine=engine, threads=1) as two,
    ):
        for step in steps:
            assert answers(one.step(*step)) == answers(two.step(*step))
        last = answers(run(two, steps))
        assert answers(run(one, steps)) == last


def test_two_perceivers_in_turns_do_not_touch_each_other(bundle_path: Path) -> None:
    ours, others = tiny_steps(16), tiny_steps(16, seed=7)
    with Perceiver.open(bundle_path, threads=1) as one, Perceiver.open(bundle_path, threads=1) as two:
        alone = answers(run(one, ours))
        one.reset()
        for step, other in zip(ours, others, strict=True):
            percept = one.step(*step)
            two.step(*other)
        assert answers(percept) == alone


def test_a_percept_does_not_change_under_later_steps(perceiver: Perceiver) -> None:
    steps = tiny_steps(16)
    percept = run(perceiver, steps[:12])
    before = json.dumps(percept.to_dict())
    for step in steps[12:]:
        perceiver.step(*step)
    assert json.dumps(percept.to_dict()) == before


def test_the_users_arrays_are_neither_kept_nor_changed(perceiver: Perceiver) -> None:
    steps = tiny_steps(16)
    expected = answers(run(perceiver, steps))
    perceiver.reset()
    for frames, t, driver in steps:
        lent = {view: frame.copy() for view, frame in frames.items()}
        percept = perceiver.step(lent, t, driver)
        for view, frame in lent.items():
            np.testing.assert_array_equal(frame, frames[view])
            frame[:] = 0  # a camera that fills the same buffer again
    assert answers(percept) == expected


def test_reset_is_as_good_as_new(bundle_path: Path, perceiver: Perceiver) -> None:
    steps = tiny_steps(16)
    run(perceiver, tiny_steps(30, seed=9))
    with Perceiver.open(bundle_path, threads=1) as fresh:
        assert answers(run(perceiver, steps)) == answers(run(fresh, steps))


def test_warming_up_in_between_changes_nothing(perceiver: Perceiver) -> None:
    steps = tiny_steps(16)
    expected = answers(run(perceiver, steps))
    perceiver.reset()
    for step in steps:
        percept = perceiver.step(*step)
        perceiver.warm_up()
    assert answers(percept) == expected


def test_rgb_frames_give_the_answers_of_the_same_frames_in_bgr(bundle_path: Path, perceiver: Perceiver) -> None:
    steps = tiny_steps(12)
    swapped = [({v: f[..., ::-1] for v, f in frames.items()}, t, driver) for frames, t, driver in steps]
    with Perceiver.open(bundle_path, threads=1, color="rgb") as rgb:
        assert answers(run(rgb, swapped)) == answers(run(perceiver, steps))


@pytest.mark.parametrize("shape", [(1, 1, 3), (12, 12, 3), (3, 2000, 3), (720, 1280, 3), (2000, 3, 3), (37, 53, 3)])
def test_frames_of_any_size_are_fine(perceiver: Perceiver, shape: tuple[int, ...]) -> None:
    frames = {view: np.full(shape, 128, np.uint8) for view in VIEWS}
    assert [perceiver.step(frames, t).context for t in (0.0, 0.2)] == [0.0, 1 / 16]


def test_frames_that_are_views_of_larger_arrays_are_fine(perceiver: Perceiver) -> None:
    steps = tiny_steps(16)
    expected = answers(run(perceiver, steps))
    wide = [({v: np.repeat(f, 2, axis=1)[:, ::2] for v, f in frames.items()}, t, driver) for frames, t, driver in steps]
    assert answers(run(perceiver, wide)) == expected


# The driver


def mask_of(spy: Spy) -> dict[str, bool]:
    names = ("incar", "front", "left", "right", "face", "body", "posture", "gesture")
    return dict(zip(names, spy.inputs[-1]["mask"][0, :, -1].astype(bool).tolist(), strict=True))


KEYPOINTS = np.ones((136, 3), np.float32)


@pytest.mark.parametrize(
    ("driver", "present"),
    [
        (None, set()),
        (Driver(), set()),
        (Driver(face_px=(5, 5, 12, 12)), {"face"}),
        (Driver(body_px=[2, 0, 20, 20]), {"body"}),
        (Driver(body_px=np.array([2, 0, 20, 20])), {"body"}),
        (Driver(keypoints=KEYPOINTS), {"posture", "gesture"}),
        (Driver(keypoints=np.where(np.arange(136)[:, None] < 26, np.nan, KEYPOINTS)), {"gesture"}),
        (Driver(keypoints=np.full((136, 3), np.nan)), set()),
        (Driver(keypoints=np.full((136, 3), 1e300)), set()),
        (Driver(face_px=(5, 5, 9, 12)), set()),  # too small
        (Driver(face_px=(100, 100, 50, 50)), set()),  # outside
        (Driver(face_px=(-6, 5, 12, 12)), set()),  # too little of it inside
        (Driver(face_px=(float("nan"), 5, 12, 12)), set()),
        (Driver(face_px=(5, 5, float("inf"), 12)), set()),
        (Driver(face_px=(5, 5, -12, -12)), set()),
        (Driver(body_px=(-1e9, -1e9, 2e9, 2e9)), {"body"}),
    ],
)
def test_a_part_of_the_driver_is_present_if_it_can_be_seen(
    spies: tuple[Perceiver, Spy, Spy], driver: Driver | None, present: set[str]
) -> None:
    perceiver, _, fuser = spies
    for t in (0.0, 0.2):
        perceiver.step({"incar": FRAME, "front": FRAME}, t, driver)
    assert {name for name, there in mask_of(fuser).items() if there} == {"incar", "front"} | present


def test_without_an_in_car_frame_in_the_same_step_there_is_nothing_to_crop(
    spies: tuple[Perceiver, Spy, Spy],
) -> None:
    perceiver, _, fuser = spies
    driver = Driver(face_px=(5, 5, 12, 12), keypoints=KEYPOINTS)
    perceiver.step({"incar": FRAME, "front": FRAME}, 0.0, driver)
    perceiver.step({"front": FRAME}, 0.2, driver)
    assert [name for name, there in mask_of(fuser).items() if there] == ["front"]


def test_the_face_is_cut_out_of_the_in_car_view(spies: tuple[Perceiver, Spy, Spy]) -> None:
    perceiver, encoder, _ = spies
    frame = np.zeros((60, 80, 3), np.uint8)
    frame[10:30, 40:60] = (10, 20, 30)
    perceiver.step({"incar": frame}, 0.0, Driver(face_px=(40, 10, 20, 20)))
    assert (encoder.inputs[-1]["face"] == (10, 20, 30)).all()


# Ownership


def test_a_perceiver_shared_by_two_threads_says_so(spies: tuple[Perceiver, Spy, Spy]) -> None:
    perceiver, encoder, _ = spies
    inside, leave = threading.Event(), threading.Event()
    infer = encoder.infer

    def slow(inputs: Arrays) -> Arrays:
        inside.set()
        leave.wait(10)
        return infer(inputs)

    encoder.infer = slow  # type: ignore[method-assign]
    done: list[Percept] = []
    thread = threading.Thread(target=lambda: done.append(perceiver.step({"incar": FRAME}, 0.0)))
    thread.start()
    assert inside.wait(10)
    for call in (
        lambda: perceiver.step({"incar": FRAME}, 1.0),
        perceiver.reset,
        perceiver.close,
        perceiver.warm_up,
    ):
        with pytest.raises(CodriverError, match="at work in another thread"):
            call()
    leave.set()
    thread.join(10)
    assert perceiver.step({"incar": FRAME}, 1.0).sequence == done[0].sequence + 1


def test_threads_may_take_turns(perceiver: Perceiver) -> None:
    steps = tiny_steps(16)
    expected = answers(run(perceiver, steps))
    perceiver.reset()
    found: list[Percept] = []
    for step in steps:
        thread = threading.Thread(target=lambda step=step: found.append(perceiver.step(*step)))
        thread.start()
        thread.join()
    assert answers(found[-1]) == expected


def test_a_closed_perceiver_says_so_and_may_be_closed_again(bundle_path: Path) -> None:
    with Perceiver.open(bundle_path, threads=1) as perceiver:
        pass
    perceiver.close()
    for call in (lambda: perceiver.step({"incar": FRAME}), perceiver.reset, perceiver.warm_up):
        with pytest.raises(CodriverError, match="this Perceiver is closed; open the bundle again"):
            call()


# Options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "tpu"}, "engine 'tpu': expected auto, fastest or one of"),
        ({"threads": 0}, "threads 0: expected a whole number from 1 to 256"),
        ({"threads": 257}, "threads 257: expected a whole number from 1 to 256"),
        ({"threads": 1.5}, "threads 1.5"),
        ({"threads": True}, "threads True"),
        ({"color": "yuv"}, "color 'yuv': expected one of bgr, rgb"),
    ],
)
def test_options_that_cannot_be_meant_are_config_errors(
    bundle_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        Perceiver.open(bundle_path, **options)


def test_the_path_may_be_a_text_or_a_path(bundle_path: Path) -> None:
    with Perceiver.open(str(bundle_path), engine="onnxruntime", threads=1, color="bgr") as perceiver:
        assert perceiver.manifest.name == "tiny"
