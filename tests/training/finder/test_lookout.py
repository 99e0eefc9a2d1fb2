"""What a finder sees in clips: as a device does, and by how much it is off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from codriver.bundle.manifest import FinderSpec  # noqa: E402
from codriver.finder.finder import DriverFinder  # noqa: E402
from codriver.finder_graph import JOINT_POINTS  # noqa: E402
from codriver.percept import Driver  # noqa: E402
from codriver.tasks import AIDE, KEYPOINTS  # noqa: E402
from tests.tiny import finder_logits  # noqa: E402
from tests.untrained import untrained_finder_record  # noqa: E402
from training.data.clip_files import ClipRecord, read_record  # noqa: E402
from training.data.clips import found, load_clips, open_clips, read_frame  # noqa: E402
from training.data.sampling import UNIFORM  # noqa: E402
from training.data.takes import DISTURBED, FOUND  # noqa: E402
from training.finder.lookout import FinderLookout, InTorch, annotated, disturbed, make_lookout, off, seen  # noqa: E402
from training.finder.model import SIZES as FINDERS  # noqa: E402
from training.finder.model import Finder  # noqa: E402
from training.finder.run import FinderRun, fold_weights, load_finder, save_finder  # noqa: E402
from training.model.uvm3tl import SIZES  # noqa: E402
from training.trainer.checkpoint import save_weights  # noqa: E402
from workshop.aide_splits import read_split  # noqa: E402

pytestmark = pytest.mark.torch


class Told(torch.nn.Module):
    """Surely a driver, further right the brighter the frame is, so that every frame gives another place."""

    def __init__(self, **sees: object) -> None:
        super().__init__()
        self.sees = sees

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        shift = 0.02 * (float(pixels.float().mean()) - 127.0)
        return tuple(torch.from_numpy(some) for some in finder_logits(shift=shift, **self.sees).values())


@pytest.fixture
def record(dataset: Path) -> ClipRecord:
    return read_record(read_split(dataset, "train")[0], AIDE, UNIFORM)


def test_training_sees_in_each_slot_what_a_device_holds_that_steps_through_all_frames(record: ClipRecord) -> None:
    device, held = DriverFinder(FinderSpec(), InTorch(Told())), {}
    for number, path in sorted(record.paths["incar"].items()):
        t = number / 15
        held[number] = device.look(read_frame(path), t, None)
    drivers = seen(Told(), record)
    assert len(drivers) == 16
    for number, driver in zip(record.picked, drivers, strict=True):
        assert driver.face_px == held[number].face_px and np.array_equal(driver.keypoints, held[number].keypoints)
    assert len({driver.face_px for driver in drivers}) > 5


def test_an_annotation_that_is_off_by_as_much_as_the_finder_is_what_the_finder_saw(record: ClipRecord) -> None:
    truth, drivers = annotated(record), seen(Told(), record)
    for some, moved in zip(drivers, disturbed(truth, off(drivers, truth)), strict=True):
        np.testing.assert_allclose(moved.face_px, some.face_px, atol=1e-3)
        np.testing.assert_allclose(moved.body_px, some.body_px, atol=1e-3)
        joints = list(JOINT_POINTS)
        np.testing.assert_allclose(moved.keypoints[joints], some.keypoints[joints], atol=1e-3)


def test_errors_grow_with_the_driver_they_are_put_on(record: ClipRecord) -> None:
    truth = [Driver(face_px=(0, 0, 10, 20), body_px=(0, 0, 40, 80), keypoints=np.ones((KEYPOINTS, 3), np.float32))]
    larger = [Driver(face_px=(0, 0, 20, 40), body_px=(0, 0, 80, 160), keypoints=truth[0].keypoints)]
    finder = [Driver(face_px=(1, 2, 10, 20), body_px=(0, 0, 40, 80), keypoints=np.full((KEYPOINTS, 3), 5, np.float32))]
    by = off(finder, truth)
    assert disturbed(larger, by)[0].face_px == pytest.approx((2, 4, 20, 40))
    assert disturbed(larger, by)[0].keypoints[0] == pytest.approx([1 + 4 * 2, 1 + 4 * 2, 5])


def test_a_part_that_the_finder_left_out_is_left_out(record: ClipRecord) -> None:
    truth, drivers = annotated(record), seen(Told(), record)
    unseen = [replace(some, face_px=None, keypoints=None) for some in drivers[:8]] + drivers[8:]
    moved = disturbed(truth, off(unseen, truth))
    assert all(some.face_px is None and not some.keypoints.any() for some in moved[:8])
    assert all(some.body_px is not None for some in moved) and all(some.face_px is not None for some in moved[8:])


def test_nobody_seen_leaves_all_streams_of_the_driver_out(dataset: Path) -> None:
    nobody = FinderLookout(FinderRun(Told(presence=(-9.0, -9.0, 9.0)), untrained_finder_record()), (), "nobody")
    clip = found(load_clips(read_split(dataset, "val"), SIZES["tiny"], AIDE, lookout=nobody))[0]
    assert clip.mask[:4].all() and not clip.mask[4:].any() and not clip.frames["face"].any()


def test_a_clip_carries_both_takes_through_a_cache_that_tells_finders_apart(dataset: Path, tmp_path: Path) -> None:
    refs, config = read_split(dataset, "train"), SIZES["tiny"]
    by = off(seen(Told(spread_bins=100.0), read_record(refs[1], AIDE, UNIFORM)), [None] * 16)
    looks = [FinderLookout(FinderRun(Told(), untrained_finder_record()), [by], name) for name in ("one", "other")]
    sets = [open_clips(refs, config, AIDE, tmp_path, lookout=look) for look in looks]
    assert not set(sets[0].files) & set(sets[1].files)
    decoded, kept = load_clips(refs, config, AIDE, lookout=looks[0])[0], sets[0][0]
    for name in (FOUND, DISTURBED):
        assert np.array_equal(kept.takes[name].mask, decoded.takes[name].mask)
        assert all(np.array_equal(kept.takes[name].frames[s], some) for s, some in decoded.takes[name].frames.items())
    assert kept.takes[FOUND].mask.all() and not kept.takes[DISTURBED].mask.any()
    assert np.array_equal(found(sets[0])[0].frames["face"], kept.takes[FOUND].frames["face"])
    assert not np.array_equal(kept.frames["face"], kept.takes[FOUND].frames["face"])


def test_a_training_clip_is_looked_at_by_a_finder_that_did_not_learn_from_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    models = [Finder(FINDERS["tiny"]) for _ in range(3)]
    for k, model in enumerate(models[:2]):
        save_weights(tmp_path / fold_weights(k), model)
    save_finder(tmp_path, models[2], untrained_finder_record(folds=(("0001", "0003"), ("0002",))))
    run = load_finder(tmp_path)
    for clip, model in (("0001", models[0]), ("0002", models[1]), ("0003", models[0]), ("0009", models[2])):
        weights = run.finder_for(clip).state_dict()
        assert all(torch.equal(weights[name], some) for name, some in model.state_dict().items())


def test_who_looks_is_told_by_the_weights_and_by_whose_errors_disturb(dataset: Path, tmp_path: Path) -> None:
    save_finder(tmp_path, Finder(FINDERS["tiny"]), untrained_finder_record())
    alone, disturbing = make_lookout(tmp_path), make_lookout(tmp_path, read_split(dataset, "val"), AIDE)
    assert alone.id != disturbing.id != disturbing.undisturbed.id
    assert disturbing.describe()["disturbed_by"] == 1 and alone.describe()["disturbed_by"] == 0
