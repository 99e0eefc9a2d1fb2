"""The finder's figures on points that are made up."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from codriver.finder_graph import JOINT_POINTS, POINTS, points_of
from training.finder.pictures import Pictures
from training.finder.scores import frame_before, iou, mean_pose, score_points, score_presence

pytestmark = pytest.mark.torch


@pytest.fixture
def pictures() -> Pictures:
    """Three frames of two clips: joints at 0.5, face 0.4..0.6, body 0.2..0.8; 86.4 px high."""
    points = np.full((3, POINTS, 2), 0.5, np.float32)
    points[:, -4:] = np.array([[0.4, 0.4], [0.6, 0.6], [0.2, 0.2], [0.8, 0.8]])
    weights = np.ones((3, POINTS), np.float32)
    presence = np.ones((3, 3), np.float32)
    pixels = np.zeros((3, 144, 256, 3), np.uint8)
    return Pictures(pixels, points, weights, presence, ("a", "a", "b"), ("drive",) * 3)


def test_the_truth_scores_one(pictures: Pictures) -> None:
    assert set(score_points(pictures.points, pictures).values()) == {1.0}


def test_hands_that_nobody_looked_for_have_no_score_and_all_else_keeps_its_own(pictures: Pictures) -> None:
    fewer = pictures.of(points_of(gesture=False))
    found = fewer.points.copy()
    found[0, 5, 0] += 8.8 / 256
    scores = score_points(found, pictures)
    assert "pck_hands" not in scores and scores["pck_upper_body"] == pytest.approx(17 / 18)
    assert found.shape[1] == 30 and scores["face_iou"] == scores["body_iou"] == 1
    assert pictures.of(POINTS) is pictures


def test_a_point_counts_within_a_tenth_of_the_bodys_height(pictures: Pictures) -> None:
    found = pictures.points.copy()
    found[0, 5, 0] += 8.5 / 256  # left shoulder, px
    found[1, 5, 0] += 8.8 / 256
    scores = score_points(found, pictures)
    assert scores["pck_upper_body"] == pytest.approx(17 / 18) and scores["pck_hands"] == scores["pck_head"] == 1


def test_a_box_that_moved_by_half_has_an_iou_of_a_third(pictures: Pictures) -> None:
    found = pictures.points.copy()
    found[:, len(JOINT_POINTS) : len(JOINT_POINTS) + 2, 0] += 0.1
    scores = score_points(found, pictures)
    assert scores["face_iou"] == pytest.approx(1 / 3) and scores["face_iou_50"] == 0 and scores["body_iou"] == 1
    assert iou(np.zeros(4), np.array([1, 1, 2, 2])) == 0


def test_a_frame_without_a_driver_does_not_count(pictures: Pictures) -> None:
    found = pictures.points.copy()
    found[2] = 0
    pictures.presence[2, 0] = 0
    assert set(score_points(found, pictures).values()) == {1.0}


def test_the_frame_before_stays_within_its_clip(pictures: Pictures) -> None:
    pictures.points[:, 0, 0] = [0.1, 0.2, 0.3]
    assert frame_before(pictures)[:2, 0, 0] == pytest.approx([0.2, 0.1])


def test_the_mean_pose_leaves_out_what_is_not_known(pictures: Pictures) -> None:
    pictures.points[0, 7], pictures.weights[0, 7] = 9.0, 0.0
    assert mean_pose(pictures)[7].tolist() == [0.5, 0.5]


def test_presence_is_told_by_scene_as_far_as_it_is_known(pictures: Pictures) -> None:
    pictures.presence[0, 1] = np.nan
    told = np.array([[0.9, 0.1, 0.9], [0.1, 0.9, 0.9], [0.9, 0.9, 0.9]])
    scores = score_presence(told, pictures)["drive"]
    assert scores == {"driver": pytest.approx(2 / 3), "face": 1.0, "camera": 1.0}
