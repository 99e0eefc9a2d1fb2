"""The two coordinates of a pixel mean the same in picture, map and box, on the way to the network and back."""

from __future__ import annotations

import numpy as np
import pytest

from training.dense.geometry import IGNORE, LabelLetterbox, mirror_boxes
from training.dense.zoom import Zoom

SIZES = [((180, 320), (96, 160)), ((720, 1280), (384, 640)), ((100, 90), (64, 96)), ((33, 57), (32, 64))]


@pytest.mark.parametrize(("camera", "network"), SIZES)
def test_a_marked_block_lands_at_the_same_place_in_picture_map_and_box(
    camera: tuple[int, int], network: tuple[int, int]
) -> None:
    box = LabelLetterbox(camera, network)
    scale = min(network[0] / camera[0], network[1] / camera[1])
    side = int(np.ceil(4 / scale))
    y, x = camera[0] // 3, camera[1] // 2
    image = np.zeros((*camera, 3), dtype=np.uint8)
    classes = np.zeros(camera, dtype=np.uint8)
    image[y : y + side, x : x + side] = 255
    classes[y : y + side, x : x + side] = 1
    (x1, y1, x2, y2), *_ = box.boxes(np.array([[x, y, x + side, y + side]], dtype=np.float32))
    inside = box.window
    for found in (box.image(image)[..., 0] > 127, box.classes(classes) == 1, box.thin(classes) == 1):
        rows, columns = np.nonzero(found)
        kept = (rows >= inside[0].start) & (rows < inside[0].stop)
        rows, columns = rows[kept], columns[kept]
        assert abs((rows.min() + rows.max() + 1) / 2 - (y1 + y2) / 2) <= 0.75
        assert abs((columns.min() + columns.max() + 1) / 2 - (x1 + x2) / 2) <= 0.75


def test_bars_are_unknown_in_maps_and_grey_in_pictures() -> None:
    box = LabelLetterbox((180, 320), (96, 160))
    assert box.inner == (90, 160) and box.corner == (3, 0)
    assert (box.classes(np.ones((180, 320), dtype=np.uint8))[:3] == IGNORE).all()
    assert (box.image(np.zeros((180, 320, 3), dtype=np.uint8))[-3:] == 114).all()


def test_a_line_of_one_pixel_is_not_lost_by_shrinking() -> None:
    lines = np.zeros((180, 320), dtype=np.uint8)
    lines[:, 161] = 1
    box = LabelLetterbox((180, 320), (48, 80))
    assert (box.thin(lines)[box.window] == 1).any(axis=1).all()
    assert not (box.classes(lines)[box.window] == 1).any()


def test_boxes_come_back_to_where_they_were_and_end_at_the_border() -> None:
    box = LabelLetterbox((180, 320), (96, 160))
    boxes = np.array([[10, 20, 50, 60], [300, 100, 320, 180]], dtype=np.float32)
    assert np.allclose(box.boxes_back(box.boxes(boxes)), boxes, atol=1e-4)
    outside = box.boxes_back(np.array([[-20, -20, 500, 500]], dtype=np.float32))
    assert outside.tolist() == [[0, 0, 320, 180]]


def test_a_map_of_cells_comes_back_with_each_cell_over_its_own_pixels() -> None:
    box = LabelLetterbox((192, 320), (96, 160))
    cells = np.arange(24 * 40).reshape(24, 40) % 251
    back = box.classes_back(cells.astype(np.uint8))
    assert back.shape == (192, 320)
    assert (back == np.repeat(np.repeat(cells, 8, axis=0), 8, axis=1)).all()


def test_a_mirror_exchanges_left_and_right_of_a_box_as_of_its_pixels() -> None:
    picture = np.zeros((20, 40), dtype=np.uint8)
    picture[5:9, 3:10] = 1
    mirrored = mirror_boxes(np.array([[3, 5, 10, 9]], dtype=np.float32), 40)
    rows, columns = np.nonzero(picture[:, ::-1])
    assert mirrored.tolist() == [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]


@pytest.mark.parametrize(("zoom", "top", "left"), [(2.0, 10.0, 20.0), (1.3, 3.7, 11.2), (3.0, 0.0, 40.0)])
def test_a_marked_pixel_lands_at_the_same_place_in_every_label_of_an_enlarged_part(
    zoom: float, top: float, left: float
) -> None:
    box = Zoom((64, 96), zoom, top, left)
    y, x = 18, 45
    image = np.zeros((64, 96, 3), np.uint8)
    image[y, x] = 255
    marks = (image[..., 0] // 255).astype(np.uint8)
    normals = np.zeros((64, 96, 3), np.float32)
    normals[y, x] = (0, 0.6, 0.8)
    (x1, y1, x2, y2), *_ = box.boxes(np.array([[x, y, x + 1, y + 1]], dtype=np.float32))
    assert (x2 - x1, y2 - y1) == pytest.approx((zoom, zoom))
    found = [box.classes(marks), box.thin(marks), box.values(marks.astype(np.float32)), box.values(normals)[..., 2] > 0]
    for some in (*found, box.image(image)[..., 0] > 60):
        rows, columns = np.nonzero(some)
        assert abs((rows.min() + rows.max() + 1) / 2 - (y1 + y2) / 2) <= 0.75
        assert abs((columns.min() + columns.max() + 1) / 2 - (x1 + x2) / 2) <= 0.75


def test_what_is_enlarged_looks_nearer() -> None:
    pytest.importorskip("torch")
    from codriver.dense_tasks import CITYSCAPES, NYUDV2
    from training.dense.kinds import depth, disparity

    box, whole = Zoom((64, 96), 2.0, 5.0, 7.0), np.full((64, 96), 6.0, dtype=np.float32)
    assert np.unique(depth.fitted(NYUDV2["depth"], whole, box)).tolist() == [3.0]
    assert np.unique(disparity.fitted(CITYSCAPES["disparity"], whole, box)).tolist() == [12.0]


def test_boxes_end_at_the_border_of_the_part_and_what_is_nearly_gone_is_dropped() -> None:
    pytest.importorskip("torch")
    from codriver.dense_tasks import BDD100K
    from training.dense.kinds import detection
    from training.dense.scene import Vehicles

    boxes = np.array([[30, 20, 50, 40], [10, 20, 25, 40], [0, 0, 9, 9], [3, 20, 21, 40]], dtype=np.float32)
    truth = Vehicles(boxes, np.array([False, True, False, False]))
    found = detection.fitted(BDD100K["vehicles"], truth, Zoom((64, 96), 2.0, 10.0, 20.0))
    assert found.boxes.tolist() == [[20, 20, 60, 60], [0, 20, 10, 60]] and found.ignored.tolist() == [False, True]
