"""What the finder learns from: targets of an annotation, frames that vary, scenes beside drives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from codriver.errors import SourceError  # noqa: E402
from codriver.finder_graph import JOINT_POINTS, POINTS  # noqa: E402
from codriver.percept import Driver  # noqa: E402
from training.finder.pictures import FinderVaryConfig, drive_pictures, only_noise, scene_pictures, varied  # noqa: E402
from training.finder.targets import LEAST_WEIGHT, target_of, unusable_camera  # noqa: E402
from training.scenes import write_scenes  # noqa: E402
from workshop.aide_splits import read_split  # noqa: E402

pytestmark = pytest.mark.torch
DRIVER = Driver(
    face_px=(10, 20, 30, 40), body_px=(0, 0, 100, 50), keypoints=np.full((136, 3), [50, 25, 0.5], np.float32)
)


def test_points_are_shares_of_the_frame_and_boxes_are_two_corners() -> None:
    target = target_of(DRIVER, 200, 100)
    assert target.points[0].tolist() == [0.25, 0.25]
    assert target.points[-4:].ravel() == pytest.approx([0.05, 0.2, 0.2, 0.6, 0, 0, 0.5, 0.5])
    assert target.weights[0] == pytest.approx(LEAST_WEIGHT + 0.5) and target.presence.tolist() == [1, 1, 1]


def test_a_point_that_is_no_number_and_a_face_too_small_are_not_known() -> None:
    keypoints = DRIVER.keypoints.copy()
    keypoints[3] = np.nan
    target = target_of(replace(DRIVER, keypoints=keypoints, face_px=(10, 20, 3, 3)), 200, 100)
    assert target.weights[3] == 0 and target.weights[4] > 0 and target.weights[-4:].tolist() == [0, 0, 1, 1]
    assert target.presence.tolist() == [1, 0, 1]


def test_nobody_and_a_covered_lens_know_no_point() -> None:
    assert target_of(None, 1, 1).presence.tolist() == [0, 0, 1] and unusable_camera().presence.tolist() == [0, 0, 0]
    assert not target_of(None, 1, 1).weights.any()


def test_points_move_with_the_pixels_that_they_mark() -> None:
    pixels = np.zeros((144, 256, 3), np.uint8)
    pixels[70:75, 100:105] = 255
    points = np.tile(np.float32([102.5 / 256, 72.5 / 144]), (POINTS, 1))
    seen, moved = varied(pixels, points, np.random.default_rng(3), FinderVaryConfig(gain=0.0, shift=0.1, scale=0.2))
    rows, columns = np.nonzero(seen[..., 0] > 127)
    assert abs(moved[0, 0] * 256 - (columns.mean() + 0.5)) < 1 and abs(moved[0, 1] * 144 - (rows.mean() + 0.5)) < 1
    assert np.abs(moved[0] - points[0]).max() > 0.005  # it has moved at all


def test_noise_alone_teaches_that_the_camera_is_unusable_and_nothing_of_where_somebody_is(dataset: Path) -> None:
    pictures = drive_pictures(read_split(dataset, "train"), 3)
    _, _, weights, presence = pictures.batch([0, 1], FinderVaryConfig(only_noise=1.0), (0, 1))
    assert not weights.any() and not presence.any()
    assert pictures.weights.any() and pictures.presence.all()


def test_noise_alone_is_of_the_frames_form_and_no_two_frames_of_it_are_alike() -> None:
    first, second = (only_noise((144, 256, 3), np.random.default_rng(seed)) for seed in (0, 1))
    assert first.shape == (144, 256, 3) and first.dtype == np.uint8 and first.std() > 5 and (first != second).any()


def test_a_sensors_noise_changes_the_picture_and_nothing_that_is_said_of_it(dataset: Path) -> None:
    pictures = drive_pictures(read_split(dataset, "train"), 3)
    still = FinderVaryConfig(gain=0, shift=0, scale=0, only_noise=0, noisy=1.0)
    seen, points, weights, presence = pictures.batch([4], still, (0, 1))
    off = seen[0].numpy().astype(int) - pictures.pixels[4]
    assert 0.5 < off.std() <= still.noise and abs(off.mean()) < 2
    assert (points[0].numpy() == pictures.points[4]).all() and (weights[0].numpy() == pictures.weights[4]).all()
    assert presence.tolist() == [[1, 1, 1]]


def test_a_frame_varies_alike_in_any_batch_and_otherwise_in_another_epoch(dataset: Path) -> None:
    pictures = drive_pictures(read_split(dataset, "train"), 3)
    vary = FinderVaryConfig()
    alone, among = pictures.batch([4], vary, (0, 1)), pictures.batch([2, 4], vary, (0, 1))
    other = pictures.batch([4], vary, (0, 2))
    assert torch.equal(alone[0][0], among[0][1]) and torch.equal(alone[1][0], among[1][1])
    assert not torch.equal(alone[0], other[0])


def test_frames_of_a_drive_are_spread_over_each_clip(dataset: Path) -> None:
    refs = read_split(dataset, "train")
    pictures = drive_pictures(refs, 3)
    assert len(pictures) == 3 * len(refs) and pictures.clips[:4] == (refs[0].id,) * 3 + (refs[1].id,)
    assert pictures.pixels.shape[1:] == (144, 256, 3) and pictures.weights[:, : len(JOINT_POINTS)].all()


def test_scenes_say_who_is_there(tmp_path: Path) -> None:
    write_scenes(tmp_path / "scenes", each=1, seed=3, workers=1)
    pictures = scene_pictures(tmp_path / "scenes", 2)
    said = dict(zip(pictures.scenes, pictures.presence.tolist(), strict=True))
    assert len(pictures) == 12 and said["empty_seat"] == said["passenger_only"] == said["back_seat"] == [0, 0, 1]
    assert said["covered_lens"] == [0, 0, 0] and said["driver_and_passenger"] == [1, 1, 1]


def test_a_folder_without_scenes_says_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"training\.scenes"):
        scene_pictures(tmp_path)
