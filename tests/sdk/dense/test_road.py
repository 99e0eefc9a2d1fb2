"""A Perceiver that answers with maps and boxes: alone, beside the four answers, and with a camera that fails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from codriver import Perceiver
from codriver.errors import BundleError, FrameError
from codriver.verify.golden import check_golden
from tests.tiny import make_tiny_bundle, tiny_files, tiny_steps, write_bundle
from tests.tiny_road import (
    CAMERA,
    EVERY_KIND,
    SPEC,
    answers_of,
    combined_manifest,
    make_tiny_road,
    road_manifest,
    scenery,
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_road(tmp_path_factory.mktemp("road") / "road.bundle")


@pytest.fixture
def perceiver(bundle: Path) -> Iterator[Perceiver]:
    with Perceiver.open(bundle, threads=1) as opened:
        yield opened


@pytest.fixture(scope="module")
def combined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = replace(SPEC, every_s=0.4)
    return make_tiny_road(tmp_path_factory.mktemp("both") / "both.bundle", combined_manifest(spec))


def seconds(perceiver: Perceiver, images: list[np.ndarray | None], rate_hz: float = 10.0) -> list[Any]:
    return [perceiver.step({} if i is None else {"front": i}, k / rate_hz) for k, i in enumerate(images)]


def test_one_picture_is_enough_for_an_answer(perceiver: Perceiver) -> None:
    image = scenery(1)
    percept = perceiver.step({"front": image}, 3.0)
    expected: Any = answers_of(SPEC, image)
    assert percept.state == "ok" and percept.tasks == {} and set(percept.dense) == set(SPEC.tasks)
    assert (percept.drivable_area.classes == expected["drivable_area"].classes).all()
    assert (percept.vehicles.boxes_px == expected["vehicles"].boxes_px).all() and percept.vehicles.t == 3.0
    assert percept.to_dict()["dense"]["lane_lines"]["valid"]


def test_red_and_blue_change_places_for_frames_in_rgb(bundle: Path) -> None:
    with Perceiver.open(bundle, threads=1, color="rgb") as perceiver:
        percept = perceiver.step({"front": np.ascontiguousarray(scenery(1)[..., ::-1])}, 0.0)
    expected: Any = answers_of(SPEC, scenery(1))
    assert (percept.drivable_area.classes == expected["drivable_area"].classes).all()


def test_an_answer_belongs_to_the_caller(perceiver: Perceiver) -> None:
    first = perceiver.step({"front": scenery(1)}, 0.0).drivable_area.classes
    kept = first.copy()
    perceiver.step({"front": scenery(2) // 2}, 0.1)
    assert (first == kept).all()


def test_a_map_is_held_no_longer_than_the_bundle_says(perceiver: Perceiver) -> None:
    found = seconds(perceiver, [scenery(0), *[None] * 9])
    assert [percept.drivable_area.valid for percept in found] == [True] * 6 + [False] * 4  # 0.5 s
    assert "no frame for 0.60 s" in found[6].drivable_area.reason and found[6].state == "invalid"
    assert "classes" not in dir(found[6].drivable_area)


FAULTS = {
    "black": (lambda k: np.zeros((*CAMERA, 3), np.uint8), 0.5),
    "frozen": (lambda k: scenery(0), 0.5),
    "covered": (lambda k: np.full((*CAMERA, 3), 90 + 5 * (k % 9), np.uint8), 1.0),
    "lost": (lambda k: None, 1.0),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_camera_that_fails_has_no_map_from_its_threshold_on_and_has_one_again_later(
    perceiver: Perceiver, fault: str
) -> None:
    frame, within_s = FAULTS[fault]
    images = [*(scenery(k) for k in range(5)), *(frame(k) for k in range(15)), *(scenery(100 + k) for k in range(15))]
    found = seconds(perceiver, images)
    failed = found[5 + round(10 * within_s) : 20]
    assert failed and not any(result.valid for percept in failed for result in percept.dense.values())
    assert all(percept.views["front"].status == fault for percept in failed)
    assert all(percept.drivable_area.reason.startswith("front: ") for percept in failed)
    assert found[-1].drivable_area.valid and found[-1].drivable_area.t == pytest.approx(3.4)


def test_a_refused_frame_changes_nothing(perceiver: Perceiver) -> None:
    perceiver.step({"front": scenery(0)}, 0.0)
    with pytest.raises(FrameError, match="expected uint8"):
        perceiver.step({"front": scenery(0).astype(float)}, 0.1)
    with pytest.raises(FrameError, match="view 'incar' is not one of front"):
        perceiver.step({"incar": scenery(0)}, 0.1)
    assert perceiver.step({}, 0.2).drivable_area.t == 0.0


def test_stepping_twice_gives_the_same_bits(perceiver: Perceiver) -> None:
    def once() -> list[Any]:
        perceiver.reset()
        return [percept.to_dict()["dense"] for percept in seconds(perceiver, [scenery(k) for k in range(4)])]

    assert once() == once()


def test_the_four_answers_are_the_same_beside_the_road(combined: Path, tmp_path: Path) -> None:
    alone = make_tiny_bundle(tmp_path / "alone.bundle", golden=False)
    steps = tiny_steps(12)
    with Perceiver.open(alone, threads=1) as four, Perceiver.open(combined, threads=1) as both:
        for step in steps:
            a, b = four.step(*step), both.step(*step)
            assert a.tasks == b.tasks and a.driver == b.driver
    assert b.state == "ok" and b.drivable_area.valid and "dense" in b.latency_ms and "dense" not in a.latency_ms


def test_the_road_is_looked_at_at_its_own_rate(combined: Path) -> None:
    with Perceiver.open(combined, threads=1) as both:
        times = [both.step(*step).drivable_area.t for step in tiny_steps(5)]  # 5 Hz
    assert times == [0.0, 0.0, 0.4, 0.4, 0.8]


def test_who_is_late_already_answers_the_driver_and_looks_at_the_road_next_time(combined: Path) -> None:
    with Perceiver.open(combined, threads=1) as both:
        percepts = [both.step(*step, deadline_ms=ms) for step, ms in zip(tiny_steps(2), (1e-6, None), strict=True)]
    assert percepts[0].deadline_missed and "deadline was over" in percepts[0].drivable_area.reason
    assert percepts[1].drivable_area.t == pytest.approx(0.2)


def test_a_bundle_with_the_road_takes_over_mid_stream_and_back(combined: Path, tmp_path: Path) -> None:
    alone = make_tiny_bundle(tmp_path / "alone.bundle", golden=False)
    steps = tiny_steps(12)
    with Perceiver.open(alone, threads=1) as perceiver:
        for step in steps[:10]:
            perceiver.step(*step)
        perceiver.swap(Perceiver.open(combined, threads=1))
        with_road = perceiver.step(*steps[10])
        perceiver.swap(Perceiver.open(alone, threads=1))
        without = perceiver.step(*steps[11])
    assert with_road.drivable_area.valid and with_road.driver_emotion.valid and with_road.events[0].kind == "swapped"
    assert without.dense == {} and without.driver_emotion.valid


@pytest.mark.parametrize("spec", [SPEC, EVERY_KIND], ids=["road", "room"])
def test_a_bundle_proves_itself_on_its_golden_picture(spec: Any, tmp_path: Path) -> None:
    with Perceiver.open(make_tiny_road(tmp_path / "road.bundle", road_manifest(spec)), threads=1) as perceiver:
        found = check_golden(perceiver)
    assert {difference.task for difference in found} == set(spec.tasks)
    assert all(difference.ok and difference.max_abs < 1e-4 for difference in found)


def test_another_graph_does_not_prove_itself(bundle: Path, tmp_path: Path) -> None:
    draft = road_manifest()
    files = {path.relative_to(bundle).as_posix(): path for path in bundle.rglob("*") if path.is_file()}
    del files["manifest.json"]
    image = np.ascontiguousarray(scenery(9)[::-1])
    golden = next(path for path in files if path.endswith(".png") and cv2.imread(str(files[path])).shape[:2] == CAMERA)
    done, data = cv2.imencode(".png", image // 8)
    write_bundle(tmp_path / "other", replace(draft, golden="golden/golden.json"), {**files, golden: data.tobytes()})
    with Perceiver.open(tmp_path / "other", threads=1) as perceiver:
        assert done and not all(difference.ok for difference in check_golden(perceiver))


def test_a_manifest_whose_parts_do_not_fit_is_refused(tmp_path: Path) -> None:
    variant = road_manifest().variants[0]
    wrong = {
        "expected, in order, of vehicles, drivable_area": replace(SPEC, tasks=("lane_lines", "vehicles")),
        "expected multiples of 32": replace(SPEC, height_px=90),
    }
    for message, spec in wrong.items():
        with pytest.raises(BundleError, match=message):
            write_bundle(tmp_path / "bundle", road_manifest(spec), {str(variant.dense): b"x"})
    with pytest.raises(BundleError, match="has no dense, the bundle declares a dense"):
        write_bundle(tmp_path / "bundle", road_manifest(variants=(replace(variant, dense=None),)), {})
    with pytest.raises(BundleError, match="has a dense, the bundle declares no dense"):
        write_bundle(tmp_path / "bundle", replace(combined_manifest(), dense=None), tiny_files(combined_manifest()) | {
            "ort-x86/dense.onnx": b"x", "ort-x86-7bit/dense.onnx": b"x"})  # fmt: skip
