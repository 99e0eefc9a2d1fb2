"""Faults of the camera over every kind of map and box, alone and beside the four answers: invalid with a reason within
the threshold, never older than the bundle says, and back again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codriver import Frame, Perceiver
from codriver.dense.results import Boxes, Segmentation
from codriver.dense.spec import DenseSpec
from codriver.dense_tasks import DENSE_TASK_SETS
from codriver.engines.base import Arrays
from codriver.errors import EngineError, FrameError
from tests.tiny import make_tiny_bundle, tiny_steps
from tests.tiny_road import CAMERA, combined_manifest, make_tiny_road, road_manifest, scenery

RATE_HZ = 10
SPECS = {
    name: DenseSpec(task_set=name, tasks=some.names, height_px=32, width_px=64)
    for name, some in DENSE_TASK_SETS.items()
    if name != "cityscapes-small"
}
FAULTS: Mapping[str, Any] = {  # what the camera shows, and the seconds after which nothing is to be believed
    "black": (lambda k: np.zeros((*CAMERA, 3), np.uint8), 0.5),
    "frozen": (lambda k: scenery(4), 0.5),
    "covered": (lambda k: np.full((*CAMERA, 3), 90 + 5 * (k % 9), np.uint8), 1.0),
    "lost": (lambda k: None, 1.0),
}
GOOD, BAD, AFTER = 5, 15, 15  # pictures before the fault, while it lasts, after it


@pytest.fixture(scope="module", params=("alone", "combined"))
def perceivers(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Perceiver]]:
    made = road_manifest if request.param == "alone" else combined_manifest
    folder = tmp_path_factory.mktemp("kinds")
    opened = {
        name: Perceiver.open(make_tiny_road(folder / name, made(spec)), threads=1) for name, spec in SPECS.items()
    }
    yield opened
    for perceiver in opened.values():
        perceiver.close()


def driven(perceiver: Perceiver, fault: str) -> list[Any]:
    """Good pictures, the fault, good pictures. Where there are four cameras the other three stay well."""
    show, _ = FAULTS[fault]
    others = tiny_steps(GOOD + BAD + AFTER, RATE_HZ)
    perceiver.reset()
    found = []
    for k, (frames, t, driver) in enumerate(others):
        front = show(k) if GOOD <= k < GOOD + BAD else scenery(k)
        beside = {v: frames[v] for v in perceiver.bundle.manifest.views if v != "front"}
        shown = beside | ({} if front is None else {"front": front})
        found.append(perceiver.step(shown, t, driver if beside else None))
    return found


def holds_nothing(result: Any) -> bool:
    """While invalid nothing can be read that looks like an answer."""
    return not {"values", "classes", "boxes_px", "scores", "on"} & set(dir(result)) and "shares" not in result.to_dict()


def test_the_matrix_has_every_kind() -> None:
    kinds = {task.kind for spec in SPECS.values() for task in spec.asked}
    assert kinds == {"detection", "segmentation", "disparity", "depth", "normals", "edges", "saliency"}


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("fault", FAULTS)
def test_no_kind_answers_about_a_camera_that_fails(perceivers: dict[str, Perceiver], fault: str, name: str) -> None:
    perceiver, within_s = perceivers[name], FAULTS[fault][1]
    found, hold_s = driven(perceiver, fault), SPECS[name].hold_s
    assert all(result.valid for percept in found[:GOOD] for result in percept.dense.values())
    for percept in found:
        assert set(percept.dense) == set(SPECS[name].tasks)
        for result in percept.dense.values():
            assert holds_nothing(result) if not result.valid else percept.t - result.t <= hold_s + 1e-6
            assert result.valid or result.reason.startswith("front: ")
    failed = found[GOOD + round(RATE_HZ * within_s) : GOOD + BAD]
    assert failed and not any(result.valid for percept in failed for result in percept.dense.values())
    assert {percept.views["front"].status for percept in failed} == {fault}
    assert all(result.valid and result.t == percept.t for percept in found[-1:] for result in percept.dense.values())


def test_the_driver_is_answered_while_the_front_camera_fails(perceivers: dict[str, Perceiver]) -> None:
    perceiver = perceivers["bdd100k"]
    found = driven(perceiver, "lost")
    assert not found[GOOD + BAD - 1].drivable_area.valid
    assert not perceiver.bundle.manifest.tasks or found[GOOD + BAD - 1].driver_emotion.valid


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_left_out_no_answer_is_older_than_the_bundle_says(
    perceivers: dict[str, Perceiver], seed: int
) -> None:
    """Pictures missing at random, steps at random distances, a road of its own rate."""
    random = np.random.default_rng(seed)
    perceiver, hold_s = perceivers["nyudv2"], SPECS["nyudv2"].hold_s
    perceiver.reset()
    t, newest, held = 0.0, -9.0, 0
    for k in range(120):
        t += float(random.uniform(0.02, 0.3))
        shown = {"front": scenery(k)} if random.random() < 0.4 else {}
        newest = t if shown else newest
        percept = perceiver.step(shown, t)
        for result in percept.dense.values():
            assert not result.valid or (result.t == newest and t - result.t <= hold_s + 1e-6)
        held += percept.depth.valid and not shown
    assert held > 5


BAD_FRAMES: Mapping[str, Any] = {
    "no array": "front",
    "floats": scenery(0).astype(np.float32),
    "grey": scenery(0)[..., 0],
    "four channels": np.zeros((*CAMERA, 4), np.uint8),
    "empty": np.zeros((0, 160, 3), np.uint8),
    "a time that is none": Frame(scenery(0), float("nan")),
}


@pytest.mark.parametrize("what", BAD_FRAMES)
def test_every_bad_picture_is_a_frame_error_and_changes_nothing(perceivers: dict[str, Perceiver], what: str) -> None:
    perceiver = perceivers["cityscapes"]
    perceiver.reset()
    before = perceiver.step({"front": scenery(0)}, 0.0)
    with pytest.raises(FrameError):
        perceiver.step({"front": BAD_FRAMES[what]}, 0.1)
    after = perceiver.step({}, 0.2)
    assert after.sequence == before.sequence + 1 and after.disparity.t == 0.0


class Broken:
    """A dense engine that fails, or gives NaN."""

    def __init__(self, real: Any, how: str) -> None:
        self.real, self.how = real, how

    def infer(self, inputs: Arrays) -> Arrays:
        if self.how == "raises":
            raise EngineError("the graph did not run; restart")
        return {name: np.full_like(values, np.nan) for name, values in self.real.infer(inputs).items()}

    def close(self) -> None: ...


@pytest.mark.parametrize("how", ["raises", "gives NaN"])
@pytest.mark.parametrize("name", SPECS)
def test_a_graph_that_fails_is_an_engine_error_and_leaves_no_answer_of_before(
    perceivers: dict[str, Perceiver], how: str, name: str
) -> None:
    bundle = perceivers[name].bundle
    perceiver = Perceiver(bundle)
    assert perceiver.step({"front": scenery(0)}, 0.0).dense[SPECS[name].tasks[0]].valid
    broken = Perceiver(replace(bundle, dense=Broken(bundle.dense, how)))
    with pytest.raises(EngineError):
        broken.step({"front": scenery(1)}, 0.0)
    assert not any(result.valid for result in broken.step({}, 0.1).dense.values())


@pytest.mark.parametrize("rate_s", [0.0, 0.4])
def test_after_a_swap_to_a_combined_bundle_the_same_bits_come_as_if_it_had_been_there_all_along(
    rate_s: float, tmp_path: Path
) -> None:
    """Twice the same stream, swapped at the same steps: the same bits. And the road's are those of no swap at all."""
    four = make_tiny_bundle(tmp_path / "four", golden=False)
    both = make_tiny_road(tmp_path / "both", combined_manifest(replace(SPECS["bdd100k"], every_s=rate_s)))
    steps = tiny_steps(16)

    def streamed(first: Path, swaps: Mapping[int, Path]) -> list[dict[str, Any]]:
        told = []
        with Perceiver.open(first, threads=1) as perceiver:
            for k, step in enumerate(steps):
                if k in swaps:
                    perceiver.swap(Perceiver.open(swaps[k], threads=1))
                percept = perceiver.step(*step)
                maps = {
                    n: r.boxes_px if isinstance(r, Boxes) else r.classes for n, r in percept.dense.items() if r.valid
                }
                told.append({"tasks": percept.tasks, "maps": {n: some.tobytes() for n, some in maps.items()}})
                assert all(isinstance(r, Boxes | Segmentation) for r in percept.dense.values())
        return told

    swapped = streamed(four, {6: both, 12: four})
    assert swapped == streamed(four, {6: both, 12: four})
    assert [bool(step["maps"]) for step in swapped] == [6 <= k < 12 for k in range(16)]
    whole = streamed(both, {})
    if not rate_s:
        assert [step["maps"] for step in swapped[6:12]] == [step["maps"] for step in whole[6:12]]
    assert [step["tasks"] for step in swapped] == [step["tasks"] for step in whole]
