"""Calibration data: real clips, all classes, and no INT8 without."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from codriver.errors import ConfigError  # noqa: E402
from codriver.percept import Driver  # noqa: E402
from codriver.tasks import AIDE, GESTURE_POINTS, GROUPS, STREAMS  # noqa: E402
from quantize.ptq.calibration import calibration_clips, choose, encoder_steps  # noqa: E402
from training.data.clip_files import ClipRecord  # noqa: E402
from training.data.clips import load_clips  # noqa: E402
from training.data.takes import FOUND  # noqa: E402
from training.model.uvm3tl import SIZES, UVM3TL  # noqa: E402
from workshop.aide_splits import read_split  # noqa: E402

pytestmark = pytest.mark.torch


def skewed_labels(clips: int = 400) -> np.ndarray:
    rng = np.random.default_rng(0)
    shares = [np.array([0.6] + [0.4 / (task.classes - 1)] * (task.classes - 1)) for task in AIDE.tasks]
    return np.stack([rng.choice(len(share), clips, p=share) for share in shares], axis=1)


def test_every_class_of_every_task_is_calibrated_on() -> None:
    labels = skewed_labels()
    picked = labels[choose(labels, 60, seed=0)]
    for k, task in enumerate(AIDE.tasks):
        counts = np.bincount(picked[:, k], minlength=task.classes)
        assert counts.min() >= 60 // task.classes // 2, (task.name, counts)


def test_the_choice_follows_the_seed_and_takes_no_clip_twice() -> None:
    labels = skewed_labels()
    assert choose(labels, 50, seed=1) == choose(labels, 50, seed=1) != choose(labels, 50, seed=2)
    assert len(set(choose(labels, 50, seed=1))) == 50


def test_more_clips_than_there_are_is_an_error() -> None:
    with pytest.raises(ConfigError, match="asks for 9 clips, the training split holds 4"):
        choose(np.zeros((4, 4), np.int64), 9, seed=0)


def test_it_is_known_which_clips_and_classes_were_calibrated_on(dataset: Path) -> None:
    refs = read_split(dataset, "train")
    calibration = calibration_clips(refs, UVM3TL(SIZES["tiny"]), 3, seed=5)
    assert len(set(calibration.ids) & {ref.id for ref in refs}) == 3 == len(calibration.clips)
    assert {task: sum(counts.values()) for task, counts in calibration.class_counts.items()} == dict.fromkeys(
        AIDE.names, 3
    )


def test_hands_that_no_finder_looks_for_are_calibrated_as_annotated_and_masked(dataset: Path) -> None:
    """The encoder's ranges must know what a caller may give; the fuser sees what a device sees without a caller."""
    model = UVM3TL(SIZES["tiny"]).eval()
    refs = read_split(dataset, "train")
    (found, annotated) = calibration_clips(refs, model, 2, seed=5, lookout=WithoutHands()).clips
    row = STREAMS.index("gesture")
    assert not found.mask[row].any() and found.frames["gesture"].any() and found.mask[STREAMS.index("posture")].all()
    assert annotated.mask[row].all()
    assert len(list(encoder_steps(model, [found, annotated], (3, 7)))) == 2
    found.frames["gesture"][3] = 0.0
    assert len(list(encoder_steps(model, [found, annotated], (3, 7)))) == 1


class WithoutHands:
    """Sees the driver where the annotation does, but for the hands."""

    id, parts = "without-hands", ("face", "body", "posture")

    @property
    def undisturbed(self) -> WithoutHands:
        return self

    def drivers(self, record: ClipRecord) -> dict[str, list[Driver | None]]:
        drivers: list[Driver | None] = []
        for some in map(record.driver, record.picked):
            assert some is not None and some.keypoints is not None
            keypoints = some.keypoints.copy()
            keypoints[list(GESTURE_POINTS)] = 0.0
            drivers.append(replace(some, keypoints=keypoints))
        return {FOUND: drivers}


def test_a_clip_that_lacks_a_stream_does_not_teach_the_ranges(dataset: Path) -> None:
    model = UVM3TL(SIZES["tiny"]).eval()
    clips = load_clips(read_split(dataset, "train")[:2], model.config, AIDE)
    clips[0].mask[4, 3] = 0.0
    steps = list(encoder_steps(model, clips, (3, 7)))
    assert len(steps) == 1 and len(steps[0]) == 3 * len(GROUPS)  # frames, features and motions of before
