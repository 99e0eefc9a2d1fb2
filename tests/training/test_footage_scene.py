"""Labels of the footage's outside views: they fit the picture, and the picture does not depend on them."""

from __future__ import annotations

import numpy as np
import pytest

from training.footage.clip import RenderedClip
from training.footage.labels import plan
from training.footage.mesh import CAR, HOOD, ROAD, SKY
from training.footage.outside.road import CAMERA_M, SHIFT
from training.footage.scene import Labels, drawn_numbers, labels
from training.footage.spec import ClipSpec


@pytest.fixture(scope="module")
def clip() -> RenderedClip:
    return RenderedClip(ClipSpec(5, 8, plan(40, 5)[8][1], 320, 180))


@pytest.fixture(scope="module")
def known(clip: RenderedClip) -> Labels:
    return next(labels(clip.road, "front", [22]))


def test_the_road_is_as_far_away_as_its_row_says(clip: RenderedClip, known: Labels) -> None:
    focal, centers = clip.road.lens("front", [22])
    rows, columns = np.nonzero(known.kinds == ROAD)
    expected = CAMERA_M * focal / (rows - centers[0, 1])
    assert np.allclose(known.depth_m[rows, columns], expected, rtol=1e-3)


def test_normals_are_unit_vectors_that_face_the_camera_or_unknown(known: Labels) -> None:
    lengths = np.linalg.norm(known.normals, axis=2)
    assert np.all((np.abs(lengths - 1) < 1e-4) | (lengths == 0))
    assert (lengths[known.kinds == SKY] == 0).all() and (lengths[known.kinds == HOOD] == 0).all()
    road = known.normals[known.kinds == ROAD]
    assert np.allclose(road, [0, -1, 0], atol=1e-4)


def test_sky_and_hood_have_no_distance_and_cars_have_numbers(known: Labels) -> None:
    assert (known.depth_m[np.isin(known.kinds, (SKY, HOOD))] == 0).all()
    assert (known.vehicles[known.kinds == CAR] >= 0).all()
    assert (known.depth_m[known.kinds == CAR] > 0).all()


def test_a_point_of_the_street_is_where_the_projection_puts_it(clip: RenderedClip, known: Labels) -> None:
    """Street coordinates of a pixel, projected again by hand, give the pixel."""
    focal, centers = clip.road.lens("front", [22])
    yaw = clip.road.ego.yaw[22] + np.radians(clip.road.mount_deg["front"])
    rows, columns = np.nonzero(known.kinds == ROAD)
    x, y = known.ground[rows, columns].T
    dx, dy = x - clip.road.ego.x[22], y - clip.road.ego.y[22]
    ahead, right = np.cos(yaw) * dx + np.sin(yaw) * dy, np.sin(yaw) * dx - np.cos(yaw) * dy
    assert np.allclose(right / ahead * focal + centers[0, 0], columns, atol=0.05)
    assert np.allclose(CAMERA_M / ahead * focal + centers[0, 1], rows, atol=0.05)


def test_labels_cover_the_shapes_that_the_picture_is_drawn_from(clip: RenderedClip) -> None:
    road = clip.road
    yaw = road.ego.yaw[[22]] + np.radians(road.mount_deg["front"])
    sheet = road.project("front", [22], yaw)
    numbers = drawn_numbers(sheet, 0, (180, 320))
    last = sheet.bounds[1] - 1  # drawn on top of all others
    middle = (sheet.shapes[last].mean(axis=0) / 2**SHIFT).round().astype(int)
    inside = 0 <= middle[1] < 180 and 0 <= middle[0] < 320
    assert len(sheet.items) == len(sheet.shapes) == sheet.corners.shape[2]
    assert not inside or numbers[middle[1], middle[0]] == last


def test_a_picture_is_drawn_alike_whatever_its_polygons_are_called_and_after_they_were_labelled(
    clip: RenderedClip,
) -> None:
    drawn = next(iter(clip.frames("front", [22]))).copy()
    next(labels(clip.road, "front", [22]))
    kinds = clip.road.mesh.kinds
    called = kinds.copy()
    try:
        kinds[:] = 0
        assert np.array_equal(next(iter(clip.frames("front", [22]))), drawn)
    finally:
        kinds[:] = called
